"""What the service says of itself: is it alive, is it ready, which model it serves."""

import time
from functools import partial

from service.gate import Gate
from service.messages import Reply, Request, Route, json_reply
from service.model import Model
from service.version import VERSION

# Whoever may ask the service may see these; golden and background rows and hashes are of no use to a caller.
PUBLIC = {"name", "version", "features", "labels", "layers", "training", "metrics", "reference"}


def routes(model: Model, gate: Gate) -> list[Route]:
    """Every route answered here."""
    public = json_reply(model.manifest.model_dump(mode="json", include=PUBLIC)).body
    return [
        Route("GET", "/", _index),
        Route("GET", "/livez", _alive, hot=True),
        Route("GET", "/readyz", partial(_ready, gate), hot=True),
        Route("GET", "/health", partial(_health, model, gate, time.monotonic())),
        Route("GET", "/model", lambda _: Reply(200, public)),
    ]


def _index(_: Request) -> Reply:
    paths = {"predict": "/predict", "model": "/model", "health": "/health", "live": "/livez", "ready": "/readyz"}
    paths |= {"docs": "/docs", "openapi": "/openapi.json"}
    return json_reply({"service": "menagerie", "version": VERSION, "paths": paths})


def _alive(_: Request) -> Reply:
    return json_reply({"status": "alive"})


def _ready(gate: Gate, _: Request) -> Reply:
    gate.require_ready()
    return json_reply({"status": "ready"})


def _health(model: Model, gate: Gate, started: float, _: Request) -> Reply:
    document = {
        "live": True,
        "ready": not gate.draining,
        "version": VERSION,
        "uptime_seconds": round(time.monotonic() - started, 3),
        "model": model.identity,
    }
    return json_reply(document, 503 if gate.draining else 200)
