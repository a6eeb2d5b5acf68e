"""What .gitattributes says of each file, as git understands it."""

import subprocess

import pytest
from support.gunicorn_server import ROOT

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="no checkout of git")

GENERATED = ["requirements", ".env.example", "models/store", "docs/pictures/comparison.svg"]
VENDORED = ["service/web/static/vendor"]


def git(*arguments: str, standard_input: str | None = None) -> list[str]:
    command = ["git", "-C", str(ROOT), *arguments]
    return subprocess.run(command, input=standard_input, check=True, capture_output=True, text=True).stdout.splitlines()


def files_with(attribute: str, value: str) -> set[str]:
    files = git("ls-files", "--cached", "--others", "--exclude-standard")
    found = git("check-attr", "--stdin", attribute, standard_input="\n".join(files))
    return {line.split(": ")[0] for line in found if line.endswith(f": {value}")}


@pytest.mark.parametrize(("attribute", "paths"), [("linguist-generated", GENERATED), ("linguist-vendored", VENDORED)])
def test_reviews_collapse_what_nobody_wrote(attribute: str, paths: list[str]) -> None:
    """Locks, bundles with their reports, charts, and files of other projects."""
    assert set(git("ls-files", *paths)) <= files_with(attribute, "set")


def test_reviews_show_what_somebody_wrote() -> None:
    hidden = files_with("linguist-generated", "set") | files_with("linguist-vendored", "set")
    assert not [path for path in hidden if path.endswith((".py", ".md", ".toml"))]


def test_git_changes_no_byte_that_a_hash_covers() -> None:
    """Line endings are those of the repository everywhere else, whatever a contributor's system prefers."""
    bundles = set(git("ls-files", "models/store", "tests/fuzz/corpus"))
    assert bundles <= files_with("text", "unset")
    assert not [line for line in git("ls-files", "--eol") if line.startswith(("i/crlf", "i/mixed"))]
