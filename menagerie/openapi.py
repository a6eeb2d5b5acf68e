"""`menagerie openapi`."""

from typing import TYPE_CHECKING, Any

import click

from menagerie.errors import reported_errors
from menagerie.options import check_target, choose_model, load_settings, model_options, read_key, url_options

if TYPE_CHECKING:
    from service.settings import Settings


@click.command()
@url_options
@model_options
def openapi(url: str | None, api_key: str | None, **model: Any) -> None:
    """Print the OpenAPI document of the service with a model."""
    changes = choose_model(**model)
    check_target(url, api_key, changes)
    with reported_errors():
        from menagerie.client import print_json

        name = changes.get("model_name", "")
        print_json(_fetch(url, api_key, name) if url else _build(load_settings(changes)))


def _fetch(url: str, api_key: str | None, name: str) -> Any:
    from menagerie.client import ask, remote_client

    return ask(remote_client(url, read_key(api_key), name), "GET", "/openapi.json")


def _build(settings: "Settings") -> Any:
    from menagerie.client import open_catalog
    from service.app.routes import ROUTES
    from service.openapi.document import build_document
    from service.openapi.model_types import ModelTypes

    types = ModelTypes(open_catalog(settings).default.current.model, settings.max_rows, settings.max_explained_rows)
    return build_document(types, ROUTES, requires_key=settings.requires_key)
