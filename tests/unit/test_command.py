"""`menagerie`: its help, its options, what it refuses before it does anything, and shell completion."""

import re
from pathlib import Path

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result

from menagerie.command import cli
from menagerie.options import choose_model
from service.version import VERSION

COMMANDS = ["serve", "predict", "explain", "score", "train", "adopt", "bundle", "keys", "openapi"]


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, prog_name="menagerie")


def listed_commands(help_text: str) -> dict[str, str]:
    """The commands in a help text, each with its description."""
    return dict(re.findall(r"^  (\w+)  +(\S.*)$", help_text.split("Commands:\n")[1], re.MULTILINE))


def test_help_lists_the_commands_in_the_order_of_their_use() -> None:
    """Each has a whole sentence."""
    commands = listed_commands(invoke("--help").output)
    assert list(commands) == COMMANDS
    assert [sentence for sentence in commands.values() if not sentence.endswith(".") or "..." in sentence] == []
    assert list(listed_commands(invoke("bundle", "-h").output)) == ["list", "verify", "shadow", "promote", "rollback"]


def test_version_is_that_of_the_service() -> None:
    assert invoke("--version").output == f"menagerie, version {VERSION}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str) -> None:
    """That of training, adoption and scoring comes from their own parsers, and names this command."""
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert re.match(rf"usage: menagerie {command} ", result.output, re.IGNORECASE)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("nonsense", "No such command 'nonsense'"),
        ("predictt a=1", "Did you mean 'predict'?"),
        ("predict", "give a row, or a CSV file with --csv"),
        ("predict --csv nowhere.csv", "nowhere.csv"),
        ("predict a=1 --store a --model-dir b", "--store and --model-dir exclude each other"),
        ("predict a=1 --url localhost:8000", "does not begin with http:// or https://"),
        ("predict a=1 --url http://localhost:8000 --model-dir x", "--url excludes --store and --model-dir"),
        ("openapi --url http://localhost:8000 --store x", "--url excludes --store and --model-dir"),
        ("serve --models a,b --model-dir x", "--models and --model-dir exclude each other"),
        ("predict a=1 --api-key x", "--api-key is only valid with --url"),
        ("predict a=1 --url http://localhost --api-key @nowhere", "cannot read nowhere"),
        ("predict a=1 --url http://localhost --api-key \u00fc", "must be one word of ASCII characters"),
        ("explain", "give a row"),
        ("serve app:app", "'app:app' belongs to no option"),
        ("serve --port 65536", "65536 is not in the range 0<=x<=65535"),
        ("serve --workers 0", "0 is not in the range 1<=x<=255"),
        ("serve --threads 4", "No such option '--threads'"),
        ("bundle promote", "Missing argument 'VERSION'"),
        ("bundle promote one", "'one' is not a valid integer"),
        ("bundle verify 0", "0 is not in the range x>=1"),
        ("train --bogus", "unrecognized arguments: --bogus (see menagerie train --help)"),
        ("adopt", "(see menagerie adopt --help)"),
        ("score only-one", "menagerie score: error: the following arguments are required: OUTPUT"),
    ],
)
def test_wrong_usage_ends_with_2_and_a_sentence(arguments: str, reason: str) -> None:
    result = invoke(*arguments.split())
    assert result.exit_code == 2
    assert reason in result.output


def test_model_options_become_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Relative paths count from here; a model that has its own folder brings its name, unless one is given."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MENAGERIE_MODEL_NAME", raising=False)
    (tmp_path / "churn" / "3").mkdir(parents=True)
    (tmp_path / "churn" / "3" / "manifest.json").write_text('{"name": "churn"}')
    (tmp_path / "odd" / "1").mkdir(parents=True)
    (tmp_path / "odd" / "1" / "manifest.json").write_text("[]")
    assert choose_model(None, None, None) == {}
    assert choose_model(None, "x", None) == {"model_name": "x"}
    assert choose_model(Path("a"), None, None) == {"model_store": tmp_path / "a", "model_dir": None}
    for folder in (Path("churn"), Path("churn/3")):
        assert choose_model(None, None, folder) == {"model_dir": tmp_path / folder, "model_name": "churn"}
    assert choose_model(None, "x", Path("churn")) == {"model_dir": tmp_path / "churn", "model_name": "x"}
    for folder in (Path("odd"), Path("nowhere")):
        assert choose_model(None, None, folder) == {"model_dir": tmp_path / folder}
    monkeypatch.setenv("MENAGERIE_MODEL_NAME", "y")
    assert choose_model(None, None, Path("churn")) == {"model_dir": tmp_path / "churn"}


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        ([], "", COMMANDS),
        (["bundle"], "p", ["promote"]),
        (["predict"], "--m", ["--model-dir"]),
        (["serve"], "--w", ["--workers"]),
        (["train"], "--dec", ["--decimal"]),
        (["adopt"], "--lab", ["--label", "--labels"]),
        (["score"], "--p", ["--prefix", "--part-rows"]),
    ],
)
def test_shell_completes_commands_and_options(words: list[str], incomplete: str, expected: list[str]) -> None:
    completions = BashComplete(cli, {}, "menagerie", "_MENAGERIE_COMPLETE").get_completions(words, incomplete)
    assert [each.value for each in completions] == expected


def test_shell_completes_files_of_training() -> None:
    completions = BashComplete(cli, {}, "menagerie", "_MENAGERIE_COMPLETE").get_completions(["train", "--data"], "my")
    assert [(each.type, each.value) for each in completions] == [("file", "my")]


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it ends training and scoring."""

    @click.command()
    def wait() -> None:
        raise KeyboardInterrupt

    monkeypatch.setitem(cli.commands, "wait", wait)
    result = invoke("wait")
    assert (result.exit_code, result.output) == (130, "stopped\n")
