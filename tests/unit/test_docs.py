"""The README and the pages of docs/ agree with the code."""

import re
import tomllib
from pathlib import Path

import pytest
from support.gunicorn_server import ROOT

from service.settings import PREFIX, SHIPPED_STORE, Settings
from service.version import VERSION

README = (ROOT / "README.md").read_text()
PAGES = [ROOT / name for name in ("README.md", "CHANGELOG.md")] + sorted((ROOT / "docs").rglob("*.md"))
TEST_SETTINGS = {"MENAGERIE_REQUIRE_ALL"}


def test_every_setting_is_documented() -> None:
    """The README's table of settings has a row with the name, default and description of each."""
    for name, field in Settings.model_fields.items():
        default = field.default if field.default != SHIPPED_STORE else SHIPPED_STORE.relative_to(ROOT)
        default = str(default).lower() if isinstance(default, bool) else default
        shown = "none" if default in {"", None} else f"`{default}`"
        assert f"| `{PREFIX}{name.upper()}` | {shown} | {field.description} |" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_settings_that_exist(page: Path) -> None:
    """No page mentions a variable that the service would refuse."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | TEST_SETTINGS
    assert set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_resolve(page: Path) -> None:
    """Every relative link and image of a page is a file of the project."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


def test_make_targets_of_the_readme_exist() -> None:
    """Each `make x` in the README is a phony target of the Makefile."""
    targets = set(re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split())
    assert set(re.findall(r"\bmake ([a-z]+)", README)) <= targets | {"is"}


def test_version_is_the_same_everywhere() -> None:
    """pyproject.toml, the image's label and the service agree."""
    assert tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"] == VERSION
    assert f'image.version="{VERSION}"' in (ROOT / "Dockerfile").read_text()


def test_lock_files_contain_no_url() -> None:
    """Locks contain names, versions and hashes only, so that any package index can serve them."""
    locks = sorted((ROOT / "requirements").glob("*.txt"))
    assert len(locks) == 5
    for lock in locks:
        assert "://" not in lock.read_text()


def test_smaller_locks_are_subsets_of_larger_ones() -> None:
    """One environment can grow from serving to training to testing, because no pin differs."""
    serve, train, otel, score, dev = (
        set(re.findall(r"^\S+==\S+", (ROOT / "requirements" / f"{name}.txt").read_text(), re.MULTILINE))
        for name in ("serve", "train", "otel", "score", "dev")
    )
    assert serve <= train <= dev
    assert serve <= otel <= dev
    assert serve <= score <= dev
