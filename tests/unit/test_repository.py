"""What the repository says to git, GitHub and editors: workflows, templates, .env.example, CITATION.cff."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from check_jsonschema import main as check_jsonschema
from click.testing import CliRunner
from support.gunicorn_server import ROOT

from service.settings import PREFIX, SHIPPED_STORE, Settings
from service.version import VERSION
from supply.env_example import EXAMPLE, env_example

GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
FORMS = sorted(set((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")) - {GITHUB / "ISSUE_TEMPLATE" / "config.yml"})
MAKEFILE = (ROOT / "Makefile").read_text()
MAKE_TARGETS = re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()
SCHEMAS = [
    *(("github-workflows", path) for path in WORKFLOWS),
    *(("github-issue-forms", path) for path in FORMS),
    ("github-issue-config", GITHUB / "ISSUE_TEMPLATE" / "config.yml"),
    ("dependabot", GITHUB / "dependabot.yml"),
    ("citation-file-format", ROOT / "CITATION.cff"),
]


def jobs() -> list[Any]:
    """Each job of each workflow, with the workflow's name and the job's."""
    workflows = {path.name: yaml.safe_load(path.read_text()) for path in WORKFLOWS}
    return [
        pytest.param(job, id=f"{workflow}:{name}")
        for workflow, content in workflows.items()
        for name, job in content["jobs"].items()
    ]


@pytest.mark.parametrize(("schema", "path"), SCHEMAS, ids=lambda value: value if isinstance(value, str) else value.name)
def test_files_for_github_are_valid(schema: str, path: Path) -> None:
    """Against the schema of each format, as published at schemastore.org."""
    options = ["--builtin-schema", f"vendor.{schema}", "--default-filetype", "yaml", str(path)]
    result = CliRunner().invoke(check_jsonschema, options)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_to_a_commit(path: Path) -> None:
    """A tag can be moved; the release is in a comment."""
    uses = re.findall(r"uses: (.*)", path.read_text())
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_only_reads_unless_a_job_says_otherwise(path: Path) -> None:
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["group"]


@pytest.mark.parametrize("job", jobs())
def test_every_job_ends_in_time(job: dict[str, Any]) -> None:
    assert job["timeout-minutes"] <= 120


@pytest.mark.parametrize("job", jobs())
def test_jobs_run_commands_that_exist(job: dict[str, Any]) -> None:
    """Each `make` of a workflow names a target, and each script is there and executable."""
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    assert set(re.findall(r"\bmake ([a-z][a-z-]*)", commands)) <= set(MAKE_TARGETS)
    for script in re.findall(r"(?<![\w/])(\.(?:ci|github)/\w+)", commands):
        assert (ROOT / script).stat().st_mode & 0o100, script


def test_workflows_check_what_a_contributor_checks() -> None:
    commands = {step.get("run") for workflow in jobs() for step in workflow.values[0]["steps"]}
    assert {"make check", "make test-unit", ".ci/run"} <= commands


def test_hooks_run_the_tools_of_make_check() -> None:
    """Each hook runs a line of `make check`; only the audit, which needs a network, is left out."""
    check = MAKEFILE.split("\ncheck:")[1].split("\n\n")[0]
    lines = [line.strip().replace("$(BIN)", ".venv/bin") for line in check.splitlines()[1:]]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    assert [hook["entry"] for hook in repository["hooks"]] == [line for line in lines if "supply.audit" not in line]


def test_env_example_is_current() -> None:
    """`python -m supply.env_example` writes it."""
    assert EXAMPLE.read_text() == env_example()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_env_example_has_every_setting(name: str) -> None:
    """With its description and its default, which the service accepts when the # is removed."""
    field = Settings.model_fields[name]
    (value,) = re.findall(
        rf"^# {re.escape(field.description or '')}\n#{PREFIX}{name.upper()}=(.*)$", EXAMPLE.read_text(), re.MULTILINE
    )
    assert shlex.split(value) == ([value] if value else [])  # a shell that reads the file finds no syntax of its own
    settings = Settings.model_validate({name: value} if value else {})
    expected = SHIPPED_STORE.relative_to(ROOT) if name == "model_store" else getattr(Settings(), name)
    assert getattr(settings, name) == expected


def test_citation_has_the_version() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == VERSION
    assert citation["license"] in (ROOT / "LICENSE").read_text()


def test_forms_have_distinct_names() -> None:
    forms = [yaml.safe_load(path.read_text()) for path in FORMS]
    assert [form["name"] for form in forms] == ["Bug", "Feature", "Question"]
