"""`menagerie serve`: the options as environment variables, then as `python -m service`."""

import os
from pathlib import Path
from typing import Any

import click

from menagerie.options import choose_model, model_options


@click.command(options_metavar="[OPTIONS] [-- GUNICORN_OPTIONS]")
@model_options
@click.option(
    "--models", help="Names of models with commas between, or * for all in the store.  [env: MENAGERIE_MODELS]"
)
@click.option("--host", help="Address to listen on.  [default: all addresses]")
@click.option("--port", type=click.IntRange(0, 65_535), help="Port; 0: any free one.  [env: PORT; default: 8000]")
@click.option("--workers", type=click.IntRange(1, 255), help="Worker processes.  [env: WEB_CONCURRENCY; default: 2]")
@click.argument("gunicorn_options", nargs=-1, type=click.UNPROCESSED, metavar="")
def serve(  # noqa: PLR0913, PLR0917 (one for each option)
    store: Path | None,
    name: str | None,
    model_dir: Path | None,
    models: str | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    gunicorn_options: tuple[str, ...],
) -> None:
    """Serve models over HTTP: one, or with --models several.

    What follows -- goes to gunicorn: menagerie serve -- --certfile cert.pem --keyfile key.pem
    """
    if gunicorn_options and not gunicorn_options[0].startswith("-"):
        raise click.UsageError(f"{gunicorn_options[0]!r} belongs to no option: see --help")
    for field, value in (choose_model(store, name, model_dir) | _choose_models(models, model_dir)).items():
        os.environ[f"MENAGERIE_{field.upper()}"] = str(value or "")  # an empty variable counts as not set
    for variable, number in {"PORT": port, "WEB_CONCURRENCY": workers}.items():
        if number is not None:
            os.environ[variable] = str(number)
    from service.__main__ import main

    main([*_bind(host), *gunicorn_options])


def _choose_models(models: str | None, model_dir: Path | None) -> dict[str, Any]:
    """The settings of which models to serve: those with the names, or the one in the folder."""
    if models and model_dir:
        raise click.UsageError("--models and --model-dir exclude each other: leave out one of them")
    if models:
        return {"models": models, "model_dir": None}
    return {"models": None} if model_dir else {}


def _bind(host: str | None) -> list[str]:
    """The option of gunicorn's for an address with the port of the environment."""
    if not host:
        return []
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return ["--bind", f"{host}:{os.environ.get('PORT') or 8000}"]
