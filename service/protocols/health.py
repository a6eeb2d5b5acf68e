"""What the service says of itself: is it alive, is it ready, which model it serves."""

import time
from functools import partial

from service.app.pipeline import Gate
from service.http.messages import Reply, Request, Route, json_reply
from service.inference.model import Model
from service.inference.registry import Shelf
from service.version import VERSION

# Whoever may ask the service may see these; golden and background rows and hashes are of no use to a caller.
PUBLIC = {"name", "version", "features", "labels", "layers", "training", "metrics", "reference"}


def routes(shelf: Shelf, gate: Gate) -> list[Route]:
    """What the service as a whole says of itself."""
    return [
        Route("GET", "/livez", _alive, hot=True, open=True),
        Route("GET", "/readyz", partial(_ready, gate), hot=True, open=True),
        Route("GET", "/health", partial(_health, shelf, gate), hot=True, open=True),
    ]


def model_routes(model: Model) -> list[Route]:
    """What one version of the model says of itself."""
    public = json_reply(model.manifest.model_dump(mode="json", include=PUBLIC, exclude_unset=True)).body
    return [Route("GET", "/model", lambda _: Reply(200, public))]


def index(_: Request) -> Reply:
    """The paths that there are, for whoever asks for ``/`` and is no browser."""
    paths = {"predict": "/predict", "model": "/model", "health": "/health", "live": "/livez", "ready": "/readyz"}
    paths |= {"explain": "/explain", "drift": "/drift", "docs": "/docs"}
    paths |= {"openapi": "/openapi.json", "metrics": "/metrics"}
    # ``status`` is what KServe's client of its V1 protocol looks for at this path to see whether a server lives.
    return json_reply({"service": "menagerie", "version": VERSION, "status": "alive", "paths": paths})


def _alive(_: Request) -> Reply:
    return json_reply({"status": "alive"})


def _ready(gate: Gate, _: Request) -> Reply:
    gate.require_ready()
    return json_reply({"status": "ready"})


def _health(shelf: Shelf, gate: Gate, request: Request) -> Reply:
    refused = shelf.refused
    if not gate.trusts(request):
        refused = dict.fromkeys(refused, "ask with an API key to be told why")
    document = {
        "live": True,
        "ready": not gate.draining,
        "version": VERSION,
        "uptime_seconds": round(time.monotonic() - gate.started, 3),
        "model": shelf.current.model.identity,
        "versions": shelf.versions,
        "refused": refused,
    }
    return json_reply(document, 503 if gate.draining else 200)
