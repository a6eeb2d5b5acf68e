"""docs/architecture.md against the files: a newcomer can rely on its tree, its diagrams and its tables.

Other pages are checked for the paths that they name.
"""

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from support.gunicorn_server import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
FILE = re.compile(r"(\w+/)*\w+(\.\w+)+")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
FOLDERS = "benchmarks|deploy|docs|menagerie|models|service|supply|tests"
EXAMPLES = {"service/protocols/table.py"}  # of docs/extending.md
STATIC = ROOT / "service" / "web" / "static"


def tree_files() -> Iterator[str]:
    """The files that the page's tree names, each with its path from the root."""
    folders: list[str] = []
    for line in PAGE.split("```")[1].strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        for word in line.split():
            if word.endswith("/"):
                folders = [*folders[:depth], word]
            elif FILE.fullmatch(word):
                yield "".join(folders[:depth]) + word
            else:
                break


def python_files() -> set[str]:
    """The Python files of both halves and of the command; an ``__init__.py`` says only that a folder is a package."""
    files = [path for half in ("menagerie", "models", "service") for path in (ROOT / half).rglob("*.py")]
    return {str(PurePosixPath(path.relative_to(ROOT))) for path in files if path.name != "__init__.py"}


def test_every_file_of_the_tree_exists() -> None:
    """No file of the tree was moved or renamed since."""
    assert [file for file in tree_files() if not (ROOT / file).is_file()] == []


def test_every_python_file_is_in_the_tree_once() -> None:
    """A new file gets its place in the tree."""
    files = list(tree_files())
    assert sorted(python_files() - set(files)) == []
    assert len(files) == len(set(files))


def test_every_package_is_in_the_diagram_of_layers() -> None:
    """The first diagram has a node for each package of service/."""
    diagram = PAGE.split("```mermaid")[1].split("```")[0]
    packages = {path.parent.name for path in (ROOT / "service").glob("*/__init__.py")}
    assert packages <= set(re.findall(r"\w+", diagram))


def test_every_module_of_the_page_is_in_its_table() -> None:
    """The table of JavaScript modules has each file of static/, and no other."""
    table = PAGE.split("## The page")[1].split("\n## ")[0]
    assert set(re.findall(r"`(\w+\.js)`", table)) == {path.name for path in STATIC.glob("*.js")}


def test_files_in_the_diagram_of_a_request_exist() -> None:
    """The second diagram names files by their path in service/."""
    diagram = PAGE.split("```mermaid")[2].split("```")[0]
    files = re.findall(r"\w+/\w+\.py", diagram)
    assert len(files) > 5
    assert [file for file in files if not (ROOT / "service" / file).is_file()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_pages_name_only_files_that_exist(page: Path) -> None:
    """No page names a file by a path that it had once."""
    files = set(re.findall(rf"(?<![^.\w]/)\b((?:{FOLDERS})/[\w./-]*\w\.[a-z]+)\b", page.read_text()))
    assert {file for file in files if not (ROOT / file).exists()} <= EXAMPLES
