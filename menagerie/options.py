"""The options of several subcommands, and the settings that follow from them."""

import os
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from service.settings import Settings

_F = TypeVar("_F", bound=Callable[..., Any])
_FOLDER = click.Path(file_okay=False, path_type=Path)


def _check_url(_context: click.Context, _option: click.Parameter, url: str | None) -> str | None:
    if url and not url.lower().startswith(("http://", "https://")):
        raise click.BadParameter(f"{url!r} does not begin with http:// or https://")
    return url


def model_options(command: _F) -> _F:
    """Add the options that choose a model; `choose_model` takes their values."""
    for option in (
        click.option(
            "--model-dir",
            type=_FOLDER,
            help="A bundle's folder, or a folder of versions, instead of a store.  [env: MENAGERIE_MODEL_DIR]",
        ),
        click.option("--name", help="Name of the model.  [env: MENAGERIE_MODEL_NAME; default: animals]"),
        click.option(
            "--store",
            type=_FOLDER,
            help="Folder with the models.  [env: MENAGERIE_MODEL_STORE; default: the shipped model's]",
        ),
    ):
        command = option(command)
    return command


def url_options(command: _F) -> _F:
    """Add the options that choose a running service; `check_target` and `read_key` take their values."""
    for option in (
        click.option("--api-key", help="API key for --url; @FILE reads it from a file, @- from standard input."),
        click.option("--url", callback=_check_url, help="A running service, such as http://localhost:8000."),
    ):
        command = option(command)
    return command


def choose_model(store: Path | None, name: str | None, model_dir: Path | None) -> dict[str, Any]:
    """The settings that the options change, by field; paths are absolute.

    A model that has its own folder keeps the name in its manifest, unless another one is given.
    """
    if store and model_dir:
        raise click.UsageError("--store and --model-dir exclude each other: leave out one of them")
    chosen: dict[str, Any] = {}
    if store:
        chosen |= {"model_store": store.absolute(), "model_dir": None}
    if model_dir:
        chosen["model_dir"] = model_dir.absolute()
        if not name and not os.environ.get("MENAGERIE_MODEL_NAME"):
            from service.server.model_folders import read_name

            name = read_name(model_dir)
    return chosen | ({"model_name": name} if name else {})


def check_target(url: str | None, api_key: str | None, changes: Mapping[str, Any]) -> None:
    """Refuse options that choose both a running service and a folder; a name is that of one of the service's models."""
    if url and changes.keys() - {"model_name"}:
        raise click.UsageError("--url excludes --store and --model-dir: the service has its own models")
    if api_key and not url:
        raise click.UsageError("--api-key is only valid with --url")


def load_settings(changes: Mapping[str, Any]) -> "Settings":
    """The settings of the environment with some changes.

    Raises:
        StartupError: a variable of the environment is invalid.
    """
    from service.settings import Settings

    return Settings.load().model_copy(update=dict(changes))


def read_key(given: str | None) -> str | None:
    """The key that ``--api-key`` gives, or that is in the file which it names."""
    if not given:
        return None
    try:
        key = given if given[0] != "@" else sys.stdin.read() if given == "@-" else Path(given[1:]).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise click.UsageError(f"cannot read {given[1:]} ({getattr(error, 'strerror', 'it is no text')})") from None
    if not re.fullmatch(r"[!-~]+", key.strip()):
        raise click.UsageError("the API key must be one word of ASCII characters, and a file must have nothing else")
    return key.strip()
