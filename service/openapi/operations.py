"""Every route as OpenAPI tells of it: what it is for, what it asks, what it answers. A test holds both together."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from service.http.errors import (
    BadInstancesError,
    BadTensorError,
    NotExplainableError,
    NotFoundError,
    NotJsonError,
    RequestError,
)
from service.http.errors import UnacceptableError as Unacceptable
from service.http.media_types import JSON
from service.openapi.model_types import REFERENCE, Vocabulary
from service.protocols.oip_infer import INPUT

Content = dict[str, Any]  # media type -> what OpenAPI calls a media type object

PROBLEM = "application/problem+json"
_OF_A_PAGE = ("text/css", "text/html", "text/javascript", "text/plain", "image/svg+xml")
BYTES: Content = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_RAW = """
Numbers may also come as bytes (`application/octet-stream`): `Inference-Header-Content-Length` says how many bytes of
the body are JSON; the input's `parameters.binary_data_size` says how many follow, row by row, little-endian. With a
length of 0 the whole body is rows of FP32. Outputs come as bytes where `binary_data` or `binary_data_output` asks for
it, and the answer's header says how long its JSON is.
"""


class Operation(NamedTuple):
    """One route. ``answers`` has the content by status, but for ``errors``, whose shape the protocol gives.

    ``parameters`` and ``headers`` name those that the request and the good answer may have beside what all have.
    """

    name: str
    summary: str
    answers: Mapping[int, Content]
    description: str = ""
    asked: Content | None = None
    errors: Sequence[type[RequestError]] = ()
    parameters: Sequence[str] = ()
    headers: Sequence[str] = ()
    guarded: bool = False


def operations(words: Vocabulary) -> dict[tuple[str, str], Operation]:
    """Every operation by method and path."""
    return _service() | _page() | _native(words) | _inference(words) | _serving(words)


def _service() -> dict[tuple[str, str], Operation]:
    ready, health = content("Ready"), content("Health")
    problem, text = content("Problem", media=PROBLEM), {"schema": {"type": "string"}}
    files = {"text/css": text, "text/javascript": text, "image/png": BYTES["application/octet-stream"]}
    return {
        ("GET", "/"): Operation(
            "index", "The paths, or the page for a browser", {200: content("Index") | {"text/html": text}, 304: {}}
        ),
        ("GET", "/livez"): Operation("alive", "Whether the process runs", {200: content("Alive")}),
        ("GET", "/readyz"): Operation("ready", "Whether predictions are answered", {200: ready, 503: problem}),
        ("GET", "/health"): Operation("health", "Both, and what runs", {200: health, 503: health}),
        ("GET", "/model"): Operation("model", "What the model is", {200: content("ModelDescription")}),
        ("GET", "/drift"): Operation(
            "drift", "Whether what is asked looks like the training rows", {200: content("Drift")}
        ),
        ("GET", "/metrics"): Operation(
            "metrics",
            "What is counted, for Prometheus",
            {200: {"text/plain": text, "application/openmetrics-text": text}},
            "In OpenMetrics where `Accept` names it. Whichever worker is asked answers for all of them.",
        ),
        ("GET", "/openapi.json"): Operation("openapi", "This document", {200: {JSON: {"schema": {"type": "object"}}}}),
        ("GET", "/docs"): Operation("docs", "This document as a page to try it out", {200: {"text/html": text}}),
        ("GET", "/docs/{file}"): Operation("docs_file", "What that page loads", {200: files}, errors=[NotFoundError]),
    }


def _page() -> dict[tuple[str, str], Operation]:
    text: Content = {kind: {"schema": {"type": "string"}} for kind in _OF_A_PAGE}
    files = {200: text | {JSON: {"schema": {"type": "object"}}}, 304: {}}
    return {
        ("GET", "/page/{file}"): Operation("page_file", "What the page loads", files, errors=[NotFoundError]),
        ("GET", "/page/vendor/{file}"): Operation("page_vendor", "What it uses", files, errors=[NotFoundError]),
        ("GET", "/page/report"): Operation("report", "Which files the model's report has", {200: content("Report")}),
        ("GET", "/page/report/{file}"): Operation("report_file", "One of them", files, errors=[NotFoundError]),
    }


def _native(words: Vocabulary) -> dict[tuple[str, str], Operation]:
    row, listed = words.example, list(words.example.values())
    one: dict[str, Any] = {"by name": {"features": row}, "in the schema's order": {"features": listed}}
    many: dict[str, Any] = {"several, in either form": {"instances": [row, listed]}}
    return {
        ("POST", "/predict"): Operation(
            "predict",
            "Which label a row gets, or each of several",
            {200: content("Prediction", "Predictions")},
            asked=content("OneRow", "ManyRows", examples=one | many),
            errors=[NotJsonError, Unacceptable],
        ),
        ("POST", "/explain"): Operation(
            "explain",
            "How the network came to its answer for one row",
            {200: content("Explanation")},
            asked=content("OneRow", examples=one),
            errors=[NotJsonError, Unacceptable, NotExplainableError],
        ),
    }


def _inference(words: Vocabulary) -> dict[tuple[str, str], Operation]:
    found = {
        ("GET", "/v2"): Operation("v2_server", "What serves", {200: content("ServerMetadata")}),
        ("GET", "/v2/health/live"): Operation("v2_live", "Whether the process runs", {200: content("Live")}),
        ("GET", "/v2/health/ready"): Operation("v2_ready", "Whether inferences are answered", _either("ServerReady")),
        ("GET", "/v2/models/stats"): Operation("v2_stats", "What was asked so far", {200: content("Statistics")}),
        ("POST", "/v2/repository/index"): Operation(
            "v2_index",
            "The models that are served",
            {200: {JSON: {"schema": {"type": "array", "items": _reference("RepositoryModel")}}}},
            "A body is not read: no model is there that is not ready.",
        ),
    }
    infer = content("InferenceRequest", examples=_inferences(words)) | BYTES
    length, errors = "Inference-Header-Content-Length", [NotJsonError, BadTensorError, Unacceptable]
    for path, name, of in _both("/v2/models", "v2_model"):
        found |= {
            ("GET", path): Operation(name, f"The tensors of {of}", {200: content("ModelMetadata")}),
            ("GET", f"{path}/ready"): Operation(f"{name}_ready", f"Whether {of} answers", _either("ModelReady")),
            ("GET", f"{path}/config"): Operation(
                f"{name}_config", f"{of.capitalize()} as Triton configures one", {200: content("ModelConfiguration")}
            ),
            ("GET", f"{path}/stats"): Operation(
                f"{name}_stats", f"What {of} was asked so far", {200: content("Statistics")}
            ),
            ("POST", f"{path}/infer"): Operation(
                f"{name}_infer",
                f"Tensors through {of}",
                {200: content("InferenceResponse") | BYTES},
                _RAW,
                infer,
                errors,
                [length],
                [length],
            ),
        }
    return found


def _inferences(words: Vocabulary) -> dict[str, Any]:
    listed = list(words.example.values())
    tensor = {"name": INPUT, "shape": [1, len(listed)], "datatype": "FP32", "data": listed}
    several = tensor | {"shape": [2, len(listed)], "data": [listed, listed]}
    wanted = [{"name": "label"}, {"name": "probabilities", "parameters": {"classification": 2}}]
    return {
        "one row": {"inputs": [tensor]},
        "two rows": {"id": "7", "inputs": [several], "outputs": wanted},
        "an answer in bytes": {"inputs": [tensor], "parameters": {"binary_data_output": True}},
    }


def _serving(words: Vocabulary) -> dict[tuple[str, str], Operation]:
    row, listed = words.example, list(words.example.values())
    rows: dict[str, Any] = {
        "rows": {"instances": [row, listed]},
        "columns": {"inputs": {name: [value] for name, value in row.items()}},
    }
    predict = content("ServingRows", "ServingByColumn", examples=rows)
    classify = content("ServingExamples", "ServingParts", examples={"one": {"examples": [row]}})
    errors = [NotJsonError, BadInstancesError, Unacceptable]
    found: dict[tuple[str, str], Operation] = {}
    for path, name, of in _both("/v1/models", "v1_model"):
        found |= {
            ("GET", path): Operation(name, f"Whether {of} is served", {200: content("ServingStatus")}),
            ("GET", f"{path}/metadata"): Operation(
                f"{name}_metadata", f"The tensors of {of}", {200: content("ServingMetadata")}
            ),
            ("POST", f"{path}:predict"): Operation(
                f"{name}_predict",
                f"Probabilities of rows, or of columns, by {of}",
                {200: content("ServingPredictions", "ServingOutputs")},
                asked=predict,
                errors=errors,
            ),
            ("POST", f"{path}:classify"): Operation(
                f"{name}_classify",
                f"Every label of examples, by {of}",
                {200: content("ServingClasses")},
                "What stands in `context` holds for every example that does not say otherwise.",
                classify,
                errors,
            ),
        }
    return found


def _both(path: str, name: str) -> list[tuple[str, str, str]]:
    """A model's path without and with its version, what its operations are called, and what for people."""
    named = f"{path}/{{model}}"
    return [(named, name, "the model"), (f"{named}/versions/{{version}}", f"{name}_version", "a version of the model")]


def _either(name: str) -> dict[int, Content]:
    """What is told in the same words whether it is so or not."""
    return {200: content(name), 503: content(name)}


def content(*names: str, media: str = JSON, examples: Mapping[str, Any] | None = None) -> Content:
    """JSON of one of these schemas, with examples by what they show."""
    references = [_reference(name) for name in names]
    found: dict[str, Any] = {"schema": references[0] if len(references) == 1 else {"anyOf": references}}
    if examples:
        found["examples"] = {title: {"value": value} for title, value in examples.items()}
    return {media: found}


def _reference(name: str) -> dict[str, str]:
    return {"$ref": REFERENCE.format(model=name)}
