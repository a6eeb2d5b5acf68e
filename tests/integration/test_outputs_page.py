"""The curl commands of docs/outputs.md, each against a model of the kind that its section is about."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import markdown_commands
from support.gunicorn_server import ROOT, Server, serving
from support.headed_models import NAME, Headed

PAGE = ROOT / "docs" / "outputs.md"
MODELS = {
    "Regression": ("regression", "one input"),
    "Multi-label": ("multi_label", "one input"),
    "Two labels from one probability": ("binary", "one input"),
    "Several outputs and inputs": ("several", "several inputs"),
}


def _sections() -> dict[str, str]:
    """The text of each section by its heading."""
    return dict(re.findall(r"^## (.*)\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module", params=MODELS)
def section(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Server]]:
    """A section as a page of its own, and a service with its model."""
    folder = tmp_path_factory.mktemp("section")
    page = folder / "section.md"
    page.write_text(_sections()[request.param])
    Headed.publish(folder / "store", *MODELS[request.param])
    with serving(MENAGERIE_MODEL_STORE=str(folder / "store"), MENAGERIE_MODEL_NAME=NAME, WEB_CONCURRENCY="1") as server:
        yield page, server


def test_curl_outputs_are_those_of_the_page(section: tuple[Path, Server]) -> None:
    page, server = section
    curls = markdown_commands.curl_blocks(page)
    assert len(curls) >= 2
    assert markdown_commands.command_blocks(page) == curls
    for command, shown in curls:
        markdown_commands.require_output(server, command, shown)


def test_every_command_is_in_a_section_with_a_model() -> None:
    without = {heading: text for heading, text in _sections().items() if heading not in MODELS}
    assert not [heading for heading, text in without.items() if "```sh" in text]
