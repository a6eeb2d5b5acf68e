"""What the service says of itself: is it alive, is it ready, which model it serves."""

import time
from functools import partial

from service.messages import Handler, Reply, Request, json_reply
from service.model import Model
from service.version import VERSION

# Whoever may ask the service may see these; golden and background rows and hashes are of no use to a caller.
_PUBLIC = {"name", "version", "features", "labels", "layers", "training", "metrics", "reference"}


def handlers(model: Model) -> dict[str, Handler]:
    """Every route answered here, by path; all of them are ``GET``."""
    public = json_reply(model.manifest.model_dump(mode="json", include=_PUBLIC)).body
    return {
        "/": _index,
        "/livez": _alive,
        "/readyz": _ready,
        "/health": partial(_health, model, time.monotonic()),
        "/model": lambda _: Reply(200, public),
    }


def _index(_: Request) -> Reply:
    paths = {"predict": "/predict", "model": "/model", "health": "/health", "live": "/livez", "ready": "/readyz"}
    return json_reply({"service": "menagerie", "version": VERSION, "paths": paths})


def _alive(_: Request) -> Reply:
    return json_reply({"status": "alive"})


def _ready(_: Request) -> Reply:
    """A model is loaded and passed its self-test before the first request is accepted, or the process ended."""
    return json_reply({"status": "ready"})


def _health(model: Model, started: float, _: Request) -> Reply:
    return json_reply(
        {
            "live": True,
            "ready": True,
            "version": VERSION,
            "uptime_seconds": round(time.monotonic() - started, 3),
            "model": model.identity,
        }
    )
