"""The README and the other pages agree with the code."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from support import markdown_commands
from support.gunicorn_server import ROOT

from menagerie.bundle import bundle
from menagerie.command import cli
from service.app.routes import ROUTES
from service.http import errors
from service.http.errors import RequestError
from service.http.routing import Protocol
from service.settings import PREFIX, SHIPPED_STORE, Settings
from service.version import VERSION

DOCS = ROOT / "docs"
API = (DOCS / "api.md").read_text()
SETTINGS = (DOCS / "settings.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PAGES = [
    *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md")),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "models", "tests")),
    *sorted(DOCS.rglob("*.md")),
]
TEST_SETTINGS = {"MENAGERIE_REQUIRE_ALL"}
MAKE_TARGETS = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[0].split()
# Errors that only the protocols of docs/protocols.md and docs/clouds.md have.
ERRORS_OF_OTHER_PROTOCOLS = {
    errors.ModelControlError,
    errors.BadTensorError,
    errors.BadInstancesError,
    errors.NotCsvError,
    errors.NotAcceptableError,
}


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def section(page: str, heading: str) -> str:
    """The text under a heading of the second level."""
    return page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]


def table_rows(text: str) -> list[list[str]]:
    """The cells of each row of all tables in a text, without the rows of headings."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
    rulers = [number for number, row in enumerate(rows) if set("".join(row)) == {"-"}]
    return [row for number, row in enumerate(rows) if not {number, number + 1} & set(rulers)]


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def error_classes(base: type[RequestError] = RequestError) -> Iterator[type[RequestError]]:
    yield base
    for error in base.__subclasses__():
        yield from error_classes(error)


def test_every_setting_is_documented() -> None:
    """docs/settings.md has one row with the name, default and description of each setting, and no other row."""
    expected = []
    for name, field in Settings.model_fields.items():
        default = field.default if field.default != SHIPPED_STORE else SHIPPED_STORE.relative_to(ROOT)
        default = str(default).lower() if isinstance(default, bool) else default
        shown = "none" if default in {"", None} else f"`{default}`"
        expected.append([f"`{PREFIX}{name.upper()}`", shown, field.description])
    rows = [row for row in table_rows(SETTINGS) if row[0].startswith(f"`{PREFIX}")]
    assert sorted(rows) == sorted(expected)


def test_documented_gunicorn_settings_are_those_of_the_configuration() -> None:
    """docs/settings.md names some of gunicorn's settings with the values in gunicorn.conf.py."""
    configuration = (ROOT / "service" / "gunicorn.conf.py").read_text()
    rows = table_rows(section(SETTINGS, "gunicorn").split("| gunicorn setting |")[1])
    assert len(rows) > 3
    for name, value, _ in rows:
        assert re.search(rf"^{name.strip('`')} = {re.escape(value.strip('`'))}(?!\S)", configuration, re.MULTILINE), (
            name
        )


def test_every_endpoint_is_documented() -> None:
    """docs/api.md lists the endpoints outside /v1 and /v2, and says which need an API key."""
    documented = {
        (method, path, key == "no")
        for endpoints, _, key in table_rows(section(API, "Endpoints"))
        for method, path in re.findall(r"`([A-Z]+) (/[^`]*)`", endpoints)
    }
    native = [route for route in ROUTES if route.protocol in {Protocol.NATIVE, Protocol.SERVICE}]
    assert documented == {(route.method, route.path, route.public) for route in native}


def test_every_error_is_documented() -> None:
    """docs/api.md lists the status and type of each error that the native protocol has, and names the others."""
    rows = [row for row in table_rows(section(API, "Errors")) if row[0].isdigit()]
    native = [error for error in error_classes() if error not in ERRORS_OF_OTHER_PROTOCOLS]
    assert sorted(row[:2] for row in rows) == sorted(
        [str(error.status.value), f"`{error.problem}`"] for error in native
    )
    assert all(f"`{error.problem}`" in API for error in ERRORS_OF_OTHER_PROTOCOLS)


def test_every_fault_code_is_documented() -> None:
    """docs/api.md lists each code that a fault of a request can have."""
    sources = [
        "inference/validation.py",
        "inference/mixed_validation.py",
        "http/strict_json.py",
        "protocols/explain.py",
        "protocols/clouds/csv_rows.py",
    ]
    code = "".join((ROOT / "service" / name).read_text() for name in sources)
    codes = set(re.findall(r"Fault\(\s*[^,]+, \"(\w+)\"", code)) | {errors.OUT_OF_BOUNDS, errors.UNKNOWN_CATEGORY}
    rows = table_rows(section(API, "Errors").split("| code |")[1])
    assert [row[0].strip("`") for row in rows if row[0].strip("`") not in codes] == []
    assert sorted(row[0].strip("`") for row in rows) == sorted(codes)


def test_index_lists_every_page() -> None:
    """docs/README.md has a row for each page of docs/, and one for the decision records."""
    names = {page.name for page in DOCS.glob("*.md")} - {"README.md"}
    assert names | {"decisions/"} <= {
        row[0].split("]")[0].strip("[") for row in table_rows((DOCS / "README.md").read_text())
    }


def test_every_subcommand_is_documented() -> None:
    """docs/command.md has each command of `menagerie`, and those of `menagerie bundle`."""
    rows = table_rows(section((DOCS / "command.md").read_text(), "Commands").split("| command |")[1])
    documented = {name for row in rows if row[0] for name in re.findall(r"`([a-z ]+)`", row[0])}
    assert {*cli.commands} - {"bundle"} <= documented
    assert {name.removeprefix("bundle ") for name in documented} >= {*bundle.commands}


def test_readme_is_short() -> None:
    """A newcomer reads it whole."""
    assert len((ROOT / "README.md").read_text().splitlines()) <= 150


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_pages_name_only_settings_that_exist(page: Path) -> None:
    """No page mentions a variable that the service would refuse."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | TEST_SETTINGS
    assert set(re.findall(rf"(?<!_){PREFIX}[A-Z_]*[A-Z]", page.read_text())) <= known


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_relative_links_resolve(page: Path) -> None:
    """Every relative link and image of a page is a file of the project, and has the heading that it names."""
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        file = page.parent / target if target else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_make_targets_exist(page: Path) -> None:
    """Each `make x` in code is a phony target of the Makefile."""
    code = re.findall(r"`([^`\n]+)`", page.read_text()) + [block for block, _ in markdown_commands.command_blocks(page)]
    targets = {target for text in code for target in re.findall(r"\bmake ([a-z][a-z-]*)", text)}
    assert targets <= set(MAKE_TARGETS)


def test_contributors_find_every_make_target() -> None:
    """CONTRIBUTING.md has a row for each target."""
    rows = table_rows(section(CONTRIBUTING, "Commands"))
    assert sorted(row[0] for row in rows) == sorted(f"`make {target}`" for target in MAKE_TARGETS)


def test_version_is_the_same_everywhere() -> None:
    """pyproject.toml reads the service's version, and the image's label agrees."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert pyproject["project"]["dynamic"] == ["version"]
    assert pyproject["tool"]["hatch"]["version"]["path"] == "service/version.py"
    assert f'image.version="{VERSION}"' in (ROOT / "Dockerfile").read_text()


def test_example_of_a_first_change_is_current() -> None:
    """CONTRIBUTING.md quotes a message of the code, and names its file."""
    example = section(CONTRIBUTING, "Your first change")
    (message,) = re.findall(r'"detail":("[^"]+")', example)
    (path,) = re.findall(r"names the line in `(.*?)`", example)
    assert message in (ROOT / path).read_text()
