"""Where to ask for a model: the paths that `GET /` and `GET /models` list, and that the command asks."""

from collections.abc import Mapping
from urllib.parse import quote

DEFAULT_MODEL_PATHS = {
    "model": "/model",
    "predict": "/predict",
    "explain": "/explain",
    "drift": "/drift",
    "shadow": "/shadow",
    "openapi": "/openapi.json",
    "docs": "/docs",
}


def path_of_model(name: str, path: str) -> str:
    """Where a model has what the default model has at ``path``."""
    return f"/models/{quote(name, safe='')}" + ("" if path == "/model" else path)


def list_model_paths(name: str) -> Mapping[str, str]:
    """All paths of a model; those of the protocols are only the beginnings."""
    quoted = quote(name, safe="")
    return {
        **{part: path_of_model(name, path) for part, path in DEFAULT_MODEL_PATHS.items()},
        "docs": f"/docs?model={quoted}",
        "page": f"/models/{quoted}/",
        "oip": f"/v2/models/{quoted}",
        "tfserving": f"/v1/models/{quoted}",
    }
