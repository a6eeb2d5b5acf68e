"""`menagerie bundle`: the versions of a model in a store, and which of them serves."""

from typing import TYPE_CHECKING, Any

import click

from menagerie.errors import CommandError, reported_errors
from menagerie.group import CommandGroup
from menagerie.options import choose_model, load_settings, model_options

if TYPE_CHECKING:
    from menagerie.versions import Versions


@click.group(cls=CommandGroup)
def bundle() -> None:
    """List, verify, compare, promote and roll back versions of a model."""


@bundle.command(name="list")
@model_options
def list_versions(**model: Any) -> None:
    """List the versions, and say which one serves.

    Files are compared with the hashes in the manifest; menagerie bundle verify also runs the network.
    """
    with reported_errors():
        for line in _open(model).describe():
            click.echo(line)


@bundle.command()
@click.argument("numbers", nargs=-1, type=click.IntRange(min=1), metavar="[VERSION]...")
@model_options
def verify(numbers: tuple[int, ...], **model: Any) -> None:
    """Check whether versions can be served.

    Without VERSION, all are checked, as the service does it: the size and hash of every file, and in a separate process
    the network's outputs for the rows that training stored with their outputs.
    """
    failed = 0
    with reported_errors():
        versions = _open(model)
        for number in numbers or versions.numbers:
            if reason := versions.find_fault(number):
                failed += 1
                click.echo(f"version {number} is refused: {reason}", err=True)
            else:
                click.echo(f"version {number} can be served")
    if failed:
        raise CommandError(f"{failed} of {len(numbers or versions.numbers)} versions cannot be served")


@bundle.command()
@click.argument("number", type=click.IntRange(min=1), metavar="[VERSION]", required=False)
@click.option("--stop", is_flag=True, help="Compare no version any more.")
@model_options
def shadow(number: int | None, *, stop: bool, **model: Any) -> None:
    """Compare a version with the serving one, before it serves.

    It is verified, then its number is written into SHADOW. A running service follows within seconds: after each
    response it computes what this version would have answered, and GET /shadow reports the differences. A version that
    is still to be trained can be named too: it will be compared instead of serving at once.
    """
    if stop == bool(number):
        raise click.UsageError("give either the number of a version or --stop")
    with reported_errors():
        versions = _open(model)
        click.echo(versions.set_shadow(number) if number else versions.stop_shadow())


@bundle.command()
@click.argument("number", type=click.IntRange(min=1), metavar="VERSION")
@model_options
def promote(number: int, **model: Any) -> None:
    """Let a version serve.

    It is verified, then its number is written into CURRENT, and SHADOW is deleted if it names this version. A running
    service follows within seconds, and then serves no other version before that is promoted.
    """
    with reported_errors():
        _promote(_open(model), number)


@bundle.command()
@model_options
def rollback(**model: Any) -> None:
    """Let the version before the serving one serve."""
    with reported_errors():
        versions = _open(model)
        _promote(versions, versions.find_previous())


def _open(model: dict[str, Any]) -> "Versions":
    from menagerie.versions import Versions

    return Versions(load_settings(choose_model(**model)))


def _promote(versions: "Versions", number: int) -> None:
    for warning in versions.promote(number):
        click.echo(f"warning: {warning}", err=True)
    click.echo(f"{versions.name} {number} is the version to serve")
