"""The REST API of TensorFlow Serving, under ``/v1``.

Source: tensorflow.org/tfx/serving/api_rest. docs/protocols.md has the differences and their reasons. KServe's V1
protocol (kserve.github.io/website, "V1 Protocol") is a subset of this API with two additions, which are spoken as well:
a list of models, and explanations. It uses the model status as the model's readiness.
"""

from collections.abc import Mapping
from typing import Any

from service.arrays import Array
from service.http import strict_json
from service.http.errors import BadInstancesError, Fault, NotExplainableError, NotJsonError, UnacceptableError
from service.http.media_types import require_identity_coding
from service.http.messages import Request, Response, json_response
from service.http.routing import Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import Model
from service.inference.validation import Validator
from service.protocols.explanations import Explanations
from service.protocols.inference import predict
from service.protocols.oip_datatypes import input_types_of
from service.protocols.readiness import Readiness
from service.protocols.tfserving_inputs import inputs_of, require_list
from service.protocols.tfserving_methods import has_classes, has_one_value, refuse_method
from service.protocols.tfserving_outputs import by_row, outputs_response
from service.protocols.tfserving_row import TfServingRow

SIGNATURE = "serving_default"
DTYPES = {"FP32": "DT_FLOAT", "INT64": "DT_INT64", "BOOL": "DT_BOOL", "BYTES": "DT_STRING"}
_ERRORS = (NotJsonError, BadInstancesError, UnacceptableError)

_declare = Declare(Protocol.TFSERVING, "v1_")


class TfServing:
    """The model's status, its metadata, and predictions by row, by column, as classes, values or explained.

    A request for explanations has at most ``max_explained_rows``: one takes as long as thousands of predictions.
    """

    def __init__(
        self, catalog: Catalog, readiness: Readiness, explanations: Explanations, max_explained_rows: int
    ) -> None:
        self._max_explained_rows = max_explained_rows
        self._catalog = catalog
        self._readiness = readiness
        self._explanations = explanations

    @_declare("GET", "/v1/models", "ServingModels", on_event_loop=True)
    def list_models(self, _: Request) -> Response:
        """Names of the models, for clients of KServe's V1 protocol."""
        return json_response({"models": [registry.name for registry in self._catalog.registries]})

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
        protocol. While the service shuts down, the state is `UNLOADING`, and the status code is 503. So it is if no
        version of the model could be loaded; then the state of each is `END`.
        """
        name, number = request.parameters["model"], request.parameters.get("version")
        registry = self._catalog.registry_of(request)
        state = "UNLOADING" if self._readiness.is_draining else "AVAILABLE"
        versions = [_status(version, state) for version in registry.by_number if number in {None, version}]
        if not registry.serving:
            faults = registry.refused or {"0": self._catalog.fault(registry)}
            versions = [_status(version, "END", fault) for version, fault in faults.items()]
        return self._readiness.respond_for(request, {"model_version_status": versions, "name": name})

    @_declare("GET", "/v1/models/{model}[/versions/{version}]/metadata", "ServingMetadata")
    def model_metadata(self, request: Request) -> Response:
        """Input and output tensors of the model."""
        model = self._catalog.select(request).model
        signature = {
            "inputs": {name: _tensor(name, width, dtype) for name, width, dtype in _input_types(model)},
            "outputs": {each.head.name: _tensor(each.head.name, each.raw_width) for each in model.heads},
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
        """Predict with the model, from rows or columns: the outputs as the model itself gives them."""
        model, validator, _ = self._catalog.select(request)
        form, rows = _read_rows(request, model, validator)
        return outputs_response(form, model, predict(model, rows, request, model.raw_layers))

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
        model, validator, _ = self._catalog.select(request)
        form, rows = _read_rows(request, model, validator)
        if len(rows) > self._max_explained_rows:
            message = f"{form} must have 1 to {self._max_explained_rows} rows to explain, not {len(rows)}"
            raise UnacceptableError([Fault(form, "count", message)])
        predictions = by_row(model, predict(model, rows, request, model.raw_layers))
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
        applies_to=has_classes,
    )
    def model_classify(self, request: Request) -> Response:
        """Classify examples with the model.

        Features in `context` apply to every example that does not have them.
        """
        model, validator, _ = self._catalog.select(request)
        document, body = _parse(request)
        if not has_classes(model.manifest):
            raise refuse_method(model, "a single classification")
        rows = _read_examples(request, document, body, model, validator)
        probabilities = strict_json.shortest_floats(predict(model, rows, request).outputs)
        return json_response({"results": [list(zip(model.labels, row, strict=True)) for row in probabilities]})

    @_declare(
        "POST",
        "/v1/models/{model}[/versions/{version}]:regress",
        "ServingValues",
        accepts="ServingExamples | ServingParts",
        errors=_ERRORS,
        on_event_loop=True,
        inference=True,
        applies_to=has_one_value,
    )
    def model_regress(self, request: Request) -> Response:
        """Predict the value of examples with the model.

        For a regression with one target. Features in `context` apply to every example that does not have them.
        """
        model, validator, _ = self._catalog.select(request)
        document, body = _parse(request)
        if not has_one_value(model.manifest):
            raise refuse_method(model, "a regression with one target")
        rows = _read_examples(request, document, body, model, validator)
        values = strict_json.shortest_decimals(predict(model, rows, request).outputs.ravel())
        return Response(200, b'{"results":%b}' % values)


def _status(version: str, state: str, fault: str = "") -> dict[str, Any]:
    """The state of a version, with the code of a fault as gRPC has it."""
    code = "FAILED_PRECONDITION" if fault else "OK"
    return {"version": version, "state": state, "status": {"error_code": code, "error_message": fault}}


def _read_examples(
    request: Request, document: Mapping[str, Any], body: bytes, model: Model, validator: Validator
) -> Array:
    """The rows of a request for classes or values, [rows, features]."""
    context, examples = document.get("context"), document.get("examples")
    context = {} if context is None else context
    if not isinstance(context, dict) or not isinstance(examples, list) or not all(map(_is_object, examples)):
        raise BadInstancesError("`examples` must be a list of objects, one per row, and `context` must be an object")
    inputs = inputs_of.of(model)
    rows = [inputs.example(context | example, f"examples[{index}].{{}}") for index, example in enumerate(examples)]
    values = validator.validate_rows(rows, "examples")
    if context:  # it must be valid even where every example overrides it
        validator.validate_rows([inputs.example(examples[0] | context, "context.{}")], "context")
    strict_json.require_unique_keys(body, strict_json.count_strings(document))
    request.context.mark("validate")
    return values


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


def _read_rows(request: Request, model: Model, validator: Validator) -> tuple[str, Array]:
    """The rows that a request has, [rows, features], and its form: ``instances`` or ``inputs``."""
    document, body = _parse(request)
    forms = [form for form in ("instances", "inputs") if document.get(form) is not None]
    if len(forms) != 1:
        raise BadInstancesError("send either `instances`, row by row, or `inputs`, by column")
    form = forms[0]
    if strict_json.has_numbers_only(body, form):
        rows = require_list(document[form], form)
        values = validator.validate_rows(rows, form, are_numbers=True)
    else:
        inputs, given = inputs_of.of(model), document[form]
        columns = inputs.columns(given) if form == "inputs" and inputs.is_mixed else None
        if columns:
            values = validator.validate_columns(columns, form)
        else:
            rows = inputs.rows(given) if form == "instances" else inputs.rows_of_columns(given)
            values = validator.validate_rows(rows, form)
        strings = strict_json.count_strings(document, skip=form)
        strings += strict_json.count_strings(given) if inputs.is_mixed else _count_names(given)
        strict_json.require_unique_keys(body, strings)
    request.context.mark("validate")
    return form, values


def _count_names(form: Any) -> int:
    """How many names there are in valid instances or inputs."""
    return len(form) if _is_object(form) else sum(len(row) for row in form if _is_object(row))


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _input_types(model: Model) -> list[tuple[str, int, str]]:
    """Name, width and dtype of each input."""
    types = input_types_of.of(model)
    inputs = [(name, types.by_name[name]) for name in types.names]
    return [(name, len(each.features), DTYPES[each.datatype]) for name, each in inputs]


def _tensor(name: str, width: int, dtype: str = "DT_FLOAT") -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in (-1, width)]
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": f"{SIGNATURE}_{name}:0"}
