"""The REST interface of TensorFlow Serving, under ``/v1``, for a model with one input and one output.

Source: tensorflow.org/tfx/serving/api_rest. What differs, and why, stands in docs/protocols.md. KServe calls its own
subset of this V1, and asks the same path for its model's readiness.
"""

from functools import partial
from typing import Any

from service.app.pipeline import Gate
from service.http import media_types, strict_json
from service.http.errors import BadInstancesError
from service.http.messages import Reply, Request, Route, json_reply
from service.inference.model import Model
from service.inference.registry import Shelf
from service.inference.validation import Validator

INPUT, OUTPUT, SIGNATURE = "features", "probabilities", "serving_default"


def routes(model: Model, validator: Validator, shelf: Shelf, gate: Gate) -> list[Route]:
    """Every route under ``/v1``."""
    count = model.statistics.counted
    found: list[Route] = []
    for path in ("/v1/models/{model}", "/v1/models/{model}/versions/{version}"):
        found += [
            Route("GET", path, partial(_status, model, shelf, gate), hot=True),
            Route("GET", f"{path}/metadata", partial(_metadata, model)),
            Route("POST", f"{path}:predict", count(partial(predict, model, validator)), hot=True),
            Route("POST", f"{path}:classify", count(partial(classify, model, validator)), hot=True),
        ]
    return found


def predict(model: Model, validator: Validator, request: Request) -> Reply:
    """Probabilities for rows (``instances``) or for columns (``inputs``), in the form in which they were asked.

    Raises:
        RequestError: the request is not one that this model can answer.
    """
    asked, body = _read(model, request)
    if ("instances" in asked) == ("inputs" in asked):
        raise BadInstancesError("give either `instances`, row by row, or `inputs`, by column")
    form = "instances" if "instances" in asked else "inputs"
    rows = _instances(asked[form]) if form == "instances" else _columns(asked[form])
    numbers = validator.rows(rows, form)
    strict_json.require_unique(body, strict_json.strings(asked, but=form) + _names(asked[form]))
    request.record.lap("validate")
    answers = strict_json.shortest(model.probabilities(numbers, request.record))
    return json_reply({"predictions" if form == "instances" else "outputs": answers})


def classify(model: Model, validator: Validator, request: Request) -> Reply:
    """Every label with its probability, for examples that name their features; those in ``context`` hold for all.

    Raises:
        RequestError: the request is not one that this model can answer.
    """
    asked, body = _read(model, request)
    context, examples = asked.get("context", {}), asked.get("examples")
    if not isinstance(context, dict) or not isinstance(examples, list) or not all(map(_is_object, examples)):
        raise BadInstancesError("`examples` must be a list of objects, one a row, and `context` an object")
    rows = [{name: _scalar(value) for name, value in (context | example).items()} for example in examples]
    numbers = validator.rows(rows, "examples")
    if context:  # what stands there must be right even where every example says otherwise
        validator.rows([{name: _scalar(value) for name, value in (examples[0] | context).items()}], "context")
    strict_json.require_unique(body, strict_json.strings(asked))
    request.record.lap("validate")
    answers = strict_json.shortest(model.probabilities(numbers, request.record))
    return json_reply({"results": [list(zip(model.labels, row, strict=True)) for row in answers]})


def _read(model: Model, request: Request) -> tuple[dict[str, Any], bytes]:
    """The request's document, whose signature is one that there is, and its bytes."""
    model.require(request.parameters)
    media_types.require_plain(request)
    body = request.read()
    asked = strict_json.read(body)
    request.record.lap("parse")
    if not isinstance(asked, dict):
        raise BadInstancesError("the body must be an object")
    if asked.get("signature_name", SIGNATURE) not in ("", SIGNATURE):
        raise BadInstancesError(f"there is no signature of that name: there is {SIGNATURE}")
    return asked, body


def _instances(instances: Any) -> list[Any]:
    """Rows as they are, each within an object that names the input or not."""
    if not isinstance(instances, list):
        raise BadInstancesError("`instances` must be a list of rows")
    return [row[INPUT] if _is_object(row) and row.keys() == {INPUT} else row for row in instances]


def _columns(inputs: Any) -> list[Any]:
    """The input's rows, with or without its name; or a list of values for each feature."""
    if _is_object(inputs) and inputs.keys() == {INPUT}:
        inputs = inputs[INPUT]
    if isinstance(inputs, list):
        return inputs
    if not _is_object(inputs) or not all(isinstance(column, list) for column in inputs.values()):
        raise BadInstancesError("`inputs` must be a list of rows, or an object with a list of values for each feature")
    if len({len(column) for column in inputs.values()}) > 1:
        raise BadInstancesError("`inputs` must have as many values for one feature as for another")
    return [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]


def _names(form: Any) -> int:
    """How many names there are in valid instances or inputs."""
    return len(form) if _is_object(form) else sum(len(row) for row in form if _is_object(row))


def _scalar(value: Any) -> Any:
    """A feature of an example may stand in a list of its own."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _status(model: Model, shelf: Shelf, gate: Gate, request: Request) -> Reply:
    """What TensorFlow Serving says of a model's versions, and beside it what KServe does of a model."""
    model.require(request.parameters)
    status = {"error_code": "OK", "error_message": ""}
    models = [model] if "version" in request.parameters else shelf.models
    versions = [{"version": one.identity["version"], "state": "AVAILABLE", "status": status} for one in models]
    ready = {"name": model.identity["name"], "ready": not gate.draining}
    return json_reply({"model_version_status": versions, **ready})


def _metadata(model: Model, request: Request) -> Reply:
    model.require(request.parameters)
    signature = {
        "inputs": {INPUT: _tensor(INPUT, len(model.features))},
        "outputs": {OUTPUT: _tensor(OUTPUT, len(model.labels))},
        "method_name": "tensorflow/serving/predict",
        "defaults": {},
    }
    document = {
        "model_spec": {"name": model.identity["name"], "signature_name": "", "version": model.identity["version"]},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }
    return json_reply(document)


def _tensor(name: str, width: int) -> dict[str, Any]:
    sizes = [{"size": str(size), "name": ""} for size in (-1, width)]
    return {"dtype": "DT_FLOAT", "tensor_shape": {"dim": sizes, "unknown_rank": False}, "name": f"{SIGNATURE}_{name}:0"}
