"""The Open Inference Protocol over REST (KServe's V2), under ``/v2``: server, model and repository; inference.

Sources: the protocol's specification (github.com/kserve/open-inference-protocol) and, in Triton's documentation, its
extensions for statistics, for a model's configuration and for the model repository.
"""

from collections.abc import Callable, Mapping
from typing import Any

from service.http.errors import BadTensorError, ModelControlError, NotJsonError, UnacceptableError
from service.http.messages import Request, Response, json_response
from service.http.routing import JSON, Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import Model
from service.inference.registry import Registry
from service.protocols.oip_datatypes import InputType, input_types_of
from service.protocols.oip_infer import BYTES, OipRow, infer
from service.protocols.oip_outputs import outputs_of
from service.protocols.oip_request import LENGTH_HEADER
from service.protocols.readiness import Readiness
from service.version import VERSION

_EXTENSIONS = ["binary_tensor_data", "classification", "model_configuration", "model_repository(index)", "statistics"]
_PLATFORM = "keras_litert"
CONFIG_TYPES = {
    "FP32": "TYPE_FP32",
    "BYTES": "TYPE_STRING",
    "BOOL": "TYPE_BOOL",
    "INT64": "TYPE_INT64",
}  # what Triton's configurations call them


_declare = Declare(Protocol.OIP, "v2_")


class Oip:
    """``statistics`` gives the counts and the times in ns of a model version, by name."""

    def __init__(
        self, catalog: Catalog, readiness: Readiness, statistics: Callable[[Model], Mapping[str, int]]
    ) -> None:
        self._catalog = catalog
        self._readiness = readiness
        self._statistics = statistics

    @_declare("GET", "/v2", "ServerMetadata")
    def server(self, _: Request) -> Response:
        """Name, version and extensions of the server."""
        return json_response({"name": "menagerie", "version": VERSION, "extensions": _EXTENSIONS})

    @_declare("GET", "/v2/health/live", "Live", public=True, on_event_loop=True)
    def live(self, _: Request) -> Response:
        """Whether the process is running."""
        return json_response({"live": True})

    @_declare("GET", "/v2/health/ready", "ServerReady", more={503: "ServerReady"}, public=True, on_event_loop=True)
    def ready(self, _: Request) -> Response:
        """Whether the server accepts inference requests."""
        return self._readiness.respond({"live": True})

    @_declare("POST", "/v2/repository/index", "RepositoryIndex")
    def index(self, _: Request) -> Response:
        """Versions in the repository, with their states.

        The request's body is ignored.
        """
        registries = self._catalog.registries
        return json_response([entry for each in registries for entry in _index(each, self._catalog.fault(each))])

    @_declare("POST", "/v2/repository/models/{model}/load", "object", errors=[ModelControlError], on_event_loop=True)
    def load(self, _: Request) -> Response:
        """How to load a model: requests change nothing, so the response is always an error.

        The request's body is ignored.
        """
        raise ModelControlError(
            "requests load no models: copy the version into the folder <store>/<model>/<version>/, where the service "
            "finds it within MENAGERIE_POLL_SECONDS; the file <store>/<model>/CURRENT chooses the version that serves"
        )

    @_declare("POST", "/v2/repository/models/{model}/unload", "object", errors=[ModelControlError], on_event_loop=True)
    def unload(self, _: Request) -> Response:
        """How to unload a model: requests change nothing, so the response is always an error.

        The request's body is ignored.
        """
        raise ModelControlError(
            "requests unload no models: remove the folder <store>/<model>/, if MENAGERIE_MODELS is *; a model that the "
            "settings name is served until they no longer do, and the service is restarted"
        )

    @_declare("GET", "/v2/models/{model}[/versions/{version}]", "ModelMetadata")
    def model(self, request: Request) -> Response:
        """Input and output tensors of the model."""
        model = self._catalog.select(request).model
        document = {
            "name": model.identity["name"],
            "versions": [str(version) for version in self._catalog.registry_of(request).versions],
            "platform": _PLATFORM,
            "inputs": _inputs(model),
            "outputs": _outputs(model),
        }
        return json_response(document)

    @_declare(
        "GET",
        "/v2/models/{model}[/versions/{version}]/ready",
        "ModelReady",
        more={503: "ModelReady"},
        on_event_loop=True,
    )
    def model_ready(self, request: Request) -> Response:
        """Whether the model is ready."""
        return self._readiness.respond_for(request, {"name": request.parameters["model"]})

    @_declare("GET", "/v2/models/{model}[/versions/{version}]/config", "ModelConfiguration")
    def model_config(self, request: Request) -> Response:
        """Configuration of the model in Triton's form.

        For tools that read the configuration before they send requests. The batch size is the number of rows.
        """
        model, validator, _ = self._catalog.select(request)
        document = {
            "name": model.identity["name"],
            "platform": _PLATFORM,
            "version_policy": {"latest": {"num_versions": 1}},
            "max_batch_size": validator.max_rows,
            "input": [_configuration(tensor) for tensor in _inputs(model)],
            "output": [_configuration(tensor) for tensor in _outputs(model)],
        }
        return json_response(document)

    @_declare("GET", "/v2/models/stats", "Statistics")
    def stats(self, _: Request) -> Response:
        """Inference statistics since the start."""
        return json_response({"model_stats": [self._model_statistics(model) for model in self._catalog.models]})

    @_declare("GET", "/v2/models/{model}[/versions/{version}]/stats", "Statistics")
    def model_stats(self, request: Request) -> Response:
        """Inference statistics of the model since the start."""
        model = self._catalog.select(request).model
        models = [model] if "version" in request.parameters else self._catalog.registry_of(request).models
        return json_response({"model_stats": [self._model_statistics(each) for each in models]})

    @_declare(
        "POST",
        "/v2/models/{model}[/versions/{version}]/infer",
        {JSON: ["InferenceResponse"], BYTES: ["binary"]},
        accepts={JSON: ["InferenceRequest"], BYTES: ["binary"]},
        errors=[NotJsonError, BadTensorError, UnacceptableError],
        headers=[LENGTH_HEADER],
        on_event_loop=True,
        inference=True,
        row_codec=OipRow,
    )
    def model_infer(self, request: Request) -> Response:
        """Run inference with the model.

        The input may be binary (`application/octet-stream`). Then `Inference-Header-Content-Length` is the length of
        the JSON in bytes, and the input's `parameters.binary_data_size` is the number of bytes that follow it, row by
        row, little-endian. With a length of 0 the whole body is rows of FP32. `binary_data` or `binary_data_output`
        requests binary outputs; the response's header then has the length of its JSON.
        """
        version = self._catalog.select(request)
        return infer(version.model, version.validator, request)

    def _model_statistics(self, model: Model) -> dict[str, Any]:
        """Over all workers and protocols since the start. Nothing is queued or cached, so those counts stay 0."""
        totals = self._statistics(model)
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


def _index(registry: Registry, fault: str) -> list[dict[str, str]]:
    """The entries of a model's versions in the repository's index; of a model without any, one with its ``fault``."""
    ready = [(str(version), "READY", "") for version in registry.versions]
    refused = [(version, "UNAVAILABLE", reason) for version, reason in registry.refused.items()]
    return [
        {"name": registry.name, "version": version, "state": state, "reason": reason}
        for version, state, reason in ready + refused or [("", "UNAVAILABLE", fault)]
    ]


def _inputs(model: Model) -> list[dict[str, Any]]:
    types = input_types_of.of(model)
    return [_input_metadata(name, types.by_name[name]) for name in types.names]


def _input_metadata(name: str, kind: InputType) -> dict[str, Any]:
    """The metadata of an input; ``optional``, as Triton's configuration has it, only where it is true."""
    metadata = _metadata(name, kind.datatype, len(kind.features))
    return {**metadata, "optional": True} if kind.is_optional else metadata


def _outputs(model: Model) -> list[dict[str, Any]]:
    outputs = outputs_of.of(model).by_name.values()
    return [_metadata(output.name, output.datatype, *output.widths) for output in outputs]


def _metadata(name: str, datatype: str, *widths: int) -> dict[str, Any]:
    """A tensor's metadata; -1 stands for the number of rows."""
    return {"name": name, "datatype": datatype, "shape": [-1, *widths]}


def _configuration(tensor: dict[str, Any]) -> dict[str, Any]:
    """The same in a Triton configuration, whose ``dims`` leave out the rows."""
    optional = {"optional": True} if "optional" in tensor else {}
    data_type = CONFIG_TYPES[tensor["datatype"]]
    return {"name": tensor["name"], "data_type": data_type, "dims": tensor["shape"][1:], **optional}


def _duration(count: int, nanoseconds: int) -> dict[str, int]:
    return {"count": count, "ns": nanoseconds}
