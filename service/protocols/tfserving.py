"""The REST API of TensorFlow Serving, under ``/v1``, for a model with one input and one output.

Source: tensorflow.org/tfx/serving/api_rest. docs/protocols.md has the differences and their reasons. KServe's V1
protocol (kserve.github.io/website, "V1 Protocol") is a subset of this API with two additions, which are spoken as well:
a list of models, and explanations. It uses the model status as the model's readiness.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from service.arrays import Array, Prediction
from service.http import strict_json
from service.http.errors import BadInstancesError, Fault, NotExplainableError, NotJsonError, UnacceptableError
from service.http.media_types import require_identity_coding
from service.http.messages import Request, Response, json_response
from service.http.routing import Declare, Protocol
from service.inference.model import Model
from service.inference.registry import Registry
from service.inference.validation import Validator
from service.protocols.explanations import Explanations
from service.protocols.health import Readiness
from service.protocols.row_codec import GivenRow

INPUT, OUTPUT, SIGNATURE = "features", "probabilities", "serving_default"
_ERRORS = (NotJsonError, BadInstancesError, UnacceptableError)

_declare = Declare(Protocol.TFSERVING, "v1_")


class TfServingRow:
    """A row in ``instances``, and its probabilities in ``predictions``."""

    def __init__(self, _: Model) -> None: ...

    def read(self, headers: Mapping[str, str], body: bytes) -> GivenRow | None:
        if "content-encoding" in headers:
            return None
        document = orjson.loads(body)
        if type(document) is dict and len(document) == 1:
            instances = document.get("instances")
            if type(instances) is list and len(instances) == 1:
                return instances[0], 1, None
        return None

    def write(self, form: None, prediction: Prediction) -> Response:
        del form
        return _probabilities_response("instances", prediction.outputs)


class TfServing:
    """The model's status, its metadata, and predictions by row, by column, as classification or explained.

    A request for explanations has at most ``max_explained_rows``: one takes as long as thousands of predictions.
    """

    def __init__(
        self, registry: Registry, readiness: Readiness, explanations: Explanations, max_explained_rows: int
    ) -> None:
        self._max_explained_rows = max_explained_rows
        self._registry = registry
        self._readiness = readiness
        self._explanations = explanations

    @_declare("GET", "/v1/models", "ServingModels", on_event_loop=True)
    def list_models(self, _: Request) -> Response:
        """Names of the models, for clients of KServe's V1 protocol."""
        return json_response({"models": [self._registry.current.model.identity["name"]]})

    @_declare(
        "GET",
        "/v1/models/{model}[/versions/{version}]",
        "ServingStatus",
        more={503: "ServingStatus"},
        on_event_loop=True,
    )
    def model(self, request: Request) -> Response:
        """Status of the model.

        `model_version_status` is for clients of TensorFlow Serving, `name` and `ready` are for clients of KServe's V1
        protocol. While the service shuts down, the state is `UNLOADING`, and the status code is 503.
        """
        model = self._registry.select(request).model
        status = {"error_code": "OK", "error_message": ""}
        models = [model] if "version" in request.parameters else self._registry.models
        state = "UNLOADING" if self._readiness.is_draining else "AVAILABLE"
        versions = [{"version": each.identity["version"], "state": state, "status": status} for each in models]
        return self._readiness.respond({"model_version_status": versions, "name": model.identity["name"]})

    @_declare("GET", "/v1/models/{model}[/versions/{version}]/metadata", "ServingMetadata")
    def model_metadata(self, request: Request) -> Response:
        """Input and output tensors of the model."""
        model = self._registry.select(request).model
        signature = {
            "inputs": {INPUT: _tensor(INPUT, len(model.features))},
            "outputs": {OUTPUT: _tensor(OUTPUT, len(model.labels))},
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        identity = model.identity
        document = {
            "model_spec": {"name": identity["name"], "signature_name": "", "version": identity["version"]},
            "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
        }
        return json_response(document)

    @_declare(
        "POST",
        "/v1/models/{model}[/versions/{version}]:predict",
        "ServingPredictions | ServingOutputs",
        accepts="ServingRows | ServingByColumn",
        errors=_ERRORS,
        on_event_loop=True,
        inference=True,
        row_codec=TfServingRow,
    )
    def model_predict(self, request: Request) -> Response:
        """Predict probabilities with the model, from rows or columns."""
        model, validator, _ = self._registry.select(request)
        form, rows = _read_rows(request, validator)
        return _probabilities_response(form, _predict(model, rows, request).outputs)

    @_declare(
        "POST",
        "/v1/models/{model}[/versions/{version}]:explain",
        "ServingExplanations",
        accepts="ServingFewRows | ServingFewByColumn",
        errors=[*_ERRORS, NotExplainableError],
    )
    def model_explain(self, request: Request) -> Response:
        """Explain how the network of the model computes the predictions of a few rows.

        This is KServe's addition to TensorFlow Serving's API. Each explanation is that of `/explain`.
        """
        model, validator, _ = self._registry.select(request)
        form, rows = _read_rows(request, validator)
        if len(rows) > self._max_explained_rows:
            message = f"{form} must have 1 to {self._max_explained_rows} rows to explain, not {len(rows)}"
            raise UnacceptableError([Fault(form, "count", message)])
        predictions = strict_json.shortest_decimals(_predict(model, rows, request).outputs)
        single = [model.predict(rows[index : index + 1]) for index in range(len(rows))]
        explanations = b",".join([self._explanations.explain(model, each) for each in single])
        return Response(200, b'{"predictions":%b,"explanations":[%b]}' % (predictions, explanations))

    @_declare(
        "POST",
        "/v1/models/{model}[/versions/{version}]:classify",
        "ServingClasses",
        accepts="ServingExamples | ServingParts",
        errors=_ERRORS,
        on_event_loop=True,
        inference=True,
    )
    def model_classify(self, request: Request) -> Response:
        """Classify examples with the model.

        Features in `context` apply to every example that does not have them.
        """
        model, validator, _ = self._registry.select(request)
        document, body = _parse(request)
        context, examples = document.get("context"), document.get("examples")
        context = {} if context is None else context
        if not isinstance(context, dict) or not isinstance(examples, list) or not all(map(_is_object, examples)):
            raise BadInstancesError(
                "`examples` must be a list of objects, one per row, and `context` must be an object"
            )
        rows = [{name: _scalar(value) for name, value in (context | example).items()} for example in examples]
        values = validator.validate_rows(rows, "examples")
        if context:  # it must be valid even where every example overrides it
            row = {name: _scalar(value) for name, value in (examples[0] | context).items()}
            validator.validate_rows([row], "context")
        strict_json.require_unique_keys(body, strict_json.count_strings(document))
        request.context.mark("validate")
        probabilities = strict_json.shortest_floats(_predict(model, values, request).outputs)
        return json_response({"results": [list(zip(model.labels, row, strict=True)) for row in probabilities]})


def _parse(request: Request) -> tuple[dict[str, Any], bytes]:
    """The request's document, which must not name an unknown signature, and its bytes."""
    require_identity_coding(request)
    body = request.read()
    document = strict_json.parse(body)
    request.context.mark("parse")
    if not isinstance(document, dict):
        raise BadInstancesError("the body must be a JSON object")
    if document.get("signature_name") not in (None, "", SIGNATURE):
        raise BadInstancesError(f"unknown signature_name: the model has {SIGNATURE}")
    return document, body


def _read_rows(request: Request, validator: Validator) -> tuple[str, Array]:
    """The rows that a request has, [rows, features], and its form: ``instances`` or ``inputs``."""
    document, body = _parse(request)
    forms = [form for form in ("instances", "inputs") if document.get(form) is not None]
    if len(forms) != 1:
        raise BadInstancesError("send either `instances`, row by row, or `inputs`, by column")
    form = forms[0]
    if strict_json.has_numbers_only(body, form):
        rows = _require_list(document[form], form)
        values = validator.validate_rows(rows, form, are_numbers=True)
    else:
        rows = _instances(document[form]) if form == "instances" else _columns(document[form])
        values = validator.validate_rows(rows, form)
        strings = strict_json.count_strings(document, skip=form) + _count_names(document[form])
        strict_json.require_unique_keys(body, strings)
    request.context.mark("validate")
    return form, values


def _predict(model: Model, rows: Array, request: Request) -> Prediction:
    request.context.prediction = prediction = model.predict(rows)
    request.context.mark("infer")
    return prediction


def _probabilities_response(form: str, probabilities: Array) -> Response:
    key = b"predictions" if form == "instances" else b"outputs"
    return Response(200, b'{"%b":%b}' % (key, strict_json.shortest_decimals(probabilities)))


def _instances(instances: Any) -> list[Any]:
    """The rows of ``instances``, each with or without the name of the input around it."""
    rows = _require_list(instances, "instances")
    return [row[INPUT] if _is_object(row) and row.keys() == {INPUT} and _is_row(row[INPUT]) else row for row in rows]


def _require_list(rows: Any, form: str) -> list[Any]:
    if not isinstance(rows, list):
        raise BadInstancesError(f"`{form}` must be a list of rows")
    return rows


def _columns(inputs: Any) -> list[Any]:
    """The rows of ``inputs``: rows with or without the name of the input around them, or a list for each feature.

    The only feature of a model may have the name of the input; its values are not rows.
    """
    if _is_object(inputs) and inputs.keys() == {INPUT}:
        values = inputs[INPUT]
        if not isinstance(values, list) or not values or any(map(_is_row, values)):
            inputs = values
    if isinstance(inputs, list):
        return inputs
    if not _is_object(inputs) or not all(isinstance(column, list) for column in inputs.values()):
        raise BadInstancesError("`inputs` must be a list of rows, or an object with a list of values for each feature")
    if len({len(column) for column in inputs.values()}) > 1:
        raise BadInstancesError("`inputs` must have the same number of values for every feature")
    return [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]


def _count_names(form: Any) -> int:
    """How many names there are in valid instances or inputs."""
    return len(form) if _is_object(form) else sum(len(row) for row in form if _is_object(row))


def _scalar(value: Any) -> Any:
    """The value of an example's feature, which may be in a list of one."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _is_row(value: Any) -> bool:
    return isinstance(value, list | dict)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _tensor(name: str, width: int) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in (-1, width)]
    return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": f"{SIGNATURE}_{name}:0"}
