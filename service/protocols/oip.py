"""The Open Inference Protocol over REST (KServe's V2), under ``/v2``: its routes, and what it tells of itself.

Sources: the protocol's specification (github.com/kserve/open-inference-protocol) and, in Triton's documentation, its
extensions for statistics, for a model's configuration and for the model repository. `infer` answers inferences.
"""

from typing import Any

from service.app.pipeline import Gate
from service.http.errors import NotReadyError
from service.http.messages import Reply, Request, Route, json_reply
from service.inference.model import Model
from service.inference.registry import Shelf
from service.inference.validation import Validator
from service.protocols.oip_infer import INPUT, LABEL, PROBABILITIES, WARNINGS, Inferring
from service.version import VERSION

_EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository(index)", "statistics"]
_PLATFORM = "keras_litert"
_CONFIG_TYPES = {"FP32": "TYPE_FP32", "BYTES": "TYPE_STRING"}  # what Triton's configurations call them


def routes(model: Model, validator: Validator, shelf: Shelf, gate: Gate) -> list[Route]:
    """Every route under ``/v2``."""
    infer = model.statistics.counted(Inferring(model, validator).answer)
    about = About(model, shelf, gate, validator.max_rows)
    found: list[Route] = [
        Route("GET", "/v2", about.server),
        Route("GET", "/v2/health/live", about.live, hot=True, open=True),
        Route("GET", "/v2/health/ready", about.ready, hot=True, open=True),
        Route("GET", "/v2/models/stats", about.statistics),
        Route("POST", "/v2/repository/index", about.index),
    ]
    for path in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route("GET", path, about.model),
            Route("GET", f"{path}/ready", about.model_ready, hot=True),
            Route("GET", f"{path}/config", about.config),
            Route("GET", f"{path}/stats", about.statistics),
            Route("POST", f"{path}/infer", infer, hot=True),
        ]
    return found


class About:
    """What the protocol tells of the server and of its model."""

    def __init__(self, model: Model, shelf: Shelf, gate: Gate, max_rows: int) -> None:
        self._model = model
        self._shelf = shelf
        self._gate = gate
        self._max_rows = max_rows
        self._name = model.identity["name"]
        self._inputs = [_told(INPUT, "FP32", len(model.features))]
        self._outputs = [
            _told(PROBABILITIES, "FP32", len(model.labels)),
            _told(LABEL, "BYTES"),
            _told(WARNINGS, "BYTES"),
            *(_told(layer.name, "FP32", layer.units) for layer in model.manifest.layers[:-1]),
        ]

    def server(self, _: Request) -> Reply:
        return json_reply({"name": "menagerie", "version": VERSION, "extensions": _EXTENSIONS})

    def live(self, _: Request) -> Reply:
        return json_reply({"live": True})

    def ready(self, _: Request) -> Reply:
        """``live`` beside ``ready``: both readings of the specification find what they look for."""
        return self._ready({"live": True})

    def model_ready(self, request: Request) -> Reply:
        self._model.require(request.parameters)
        return self._ready({"name": self._name})

    def model(self, request: Request) -> Reply:
        """The model's tensors; -1 stands for the number of rows."""
        self._model.require(request.parameters)
        document = {
            "name": self._name,
            "versions": [str(version) for version in self._shelf.versions],
            "platform": _PLATFORM,
            "inputs": self._inputs,
            "outputs": self._outputs,
        }
        return json_reply(document)

    def config(self, request: Request) -> Reply:
        """The same as Triton configures a model, for tools that ask before they load it; a batch is rows."""
        self._model.require(request.parameters)
        document = {
            "name": self._name,
            "platform": _PLATFORM,
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": self._max_rows,
            "input": [_configured(tensor) for tensor in self._inputs],
            "output": [_configured(tensor) for tensor in self._outputs],
        }
        return json_reply(document)

    def index(self, _: Request) -> Reply:
        """What is loaded, and why the rest of the store is not."""
        ready = [(str(version), "READY", "") for version in self._shelf.versions]
        refused = [(version, "UNAVAILABLE", reason) for version, reason in self._shelf.refused.items()]
        document = [
            {"name": self._name, "version": version, "state": state, "reason": reason}
            for version, state, reason in ready + refused
        ]
        return json_reply(document)

    def statistics(self, request: Request) -> Reply:
        """Of the version that the path names, or of every one that is loaded."""
        if request.parameters:
            self._model.require(request.parameters)
        models = [self._model] if "version" in request.parameters else self._shelf.models
        return json_reply({"model_stats": [_counted(model) for model in models]})

    def _ready(self, document: dict[str, Any]) -> Reply:
        try:
            self._gate.require_ready()
        except NotReadyError as error:
            reply = json_reply({**document, "ready": False, "error": error.detail}, error.status.value)
            reply.headers.update(error.headers)
            return reply
        return json_reply({**document, "ready": True})


def _counted(model: Model) -> dict[str, Any]:
    """Over all workers and protocols since the start; nothing waits in a queue or comes from a cache."""
    totals = model.statistics.totals()
    none = _duration(0, 0)
    return {
        **model.identity,
        "last_inference": totals["last_ms"],
        "inference_count": totals["rows"],
        "execution_count": totals["runs"],
        "inference_stats": {
            "success": _duration(totals["successes"], totals["success_ns"]),
            "fail": _duration(totals["failures"], totals["failure_ns"]),
            "queue": none,
            "compute_input": none,
            "compute_infer": _duration(totals["runs"], totals["run_ns"]),
            "compute_output": none,
            "cache_hit": none,
            "cache_miss": none,
        },
        "batch_stats": [],
    }


def _told(name: str, datatype: str, *widths: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": [-1, *widths]}


def _configured(tensor: dict[str, Any]) -> dict[str, Any]:
    """A tensor of the metadata; ``dims`` leave out the rows."""
    return {"name": tensor["name"], "data_type": _CONFIG_TYPES[tensor["datatype"]], "dims": tensor["shape"][1:]}


def _duration(count: int, nanoseconds: int) -> dict[str, int]:
    return {"count": count, "ns": nanoseconds}
