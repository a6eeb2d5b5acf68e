"""The commands of docs/protocols.md, as a reader would type them."""

import pytest
from support import markdown_commands
from support.gunicorn_server import ROOT, Server

CURLS = markdown_commands.curl_blocks(ROOT / "docs" / "protocols.md")


def test_every_protocol_is_shown() -> None:
    """The page asks in each of them, and has no command that asks nothing."""
    asked = " ".join(command for command, _ in CURLS)
    assert all(f"localhost:8000/{protocol}" in asked for protocol in ("v1", "v2"))
    assert markdown_commands.command_blocks(ROOT / "docs" / "protocols.md") == CURLS


@pytest.mark.parametrize(("command", "shown"), CURLS)
def test_a_curl_of_the_page_answers_what_it_shows(server: Server, command: str, shown: str) -> None:
    """The answer on the page is the answer of the shipped model."""
    markdown_commands.require_output(server, command, shown)
