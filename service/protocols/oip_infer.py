"""Inference of the Open Inference Protocol: tensors in, tensors out, as JSON or as bytes.

Sources: the protocol's specification (github.com/kserve/open-inference-protocol) and, in Triton's documentation, its
extensions for binary tensor data and for classification.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import orjson

from service.arrays import Array, Prediction
from service.http import strict_json
from service.http.media_types import require_identity_coding
from service.http.messages import Request, Response
from service.inference.model import Model, PerModel
from service.inference.validation import Validator
from service.protocols.oip_request import (
    LABEL,
    LENGTH_HEADER,
    PROBABILITIES,
    WARNINGS,
    RequestedOutput,
    RequestForm,
    RequestReader,
    take_variable_parts,
)
from service.protocols.oip_tensors import Tensor
from service.protocols.row_codec import GivenRow

BYTES = "application/octet-stream"
_FP32 = np.dtype("<f4")

_readers = PerModel(RequestReader)


class OipRow:
    """A row in the only tensor of a request whose form was there before; as JSON, or as bytes after it."""

    def __init__(self, model: Model) -> None:
        self._reader = _readers.of(model)
        self._shape = (1, len(model.features))
        self._labels = [Tensor(LABEL, (1,), [label]) for label in model.labels]

    def read(self, headers: Mapping[str, str], body: bytes) -> GivenRow | None:
        if "content-encoding" in headers:
            return None
        size = headers.get("inference-header-content-length", "")
        if not size:
            document = orjson.loads(body)
            data, request_id = take_variable_parts(document)
            form = self._reader.known_form(orjson.dumps(document))
            if not form or not form.is_plain_row or type(data) is not list or form.binary_size is not None:
                return None
            row = data[0] if len(data) == 1 else data  # nested, or all elements in one list
            return row, form.strings + (2 if request_id is not None else 0), (form, request_id)
        if not size.isdigit():
            return None
        form = self._reader.known_form(body[: int(size)] or len(body))
        values = np.frombuffer(body, _FP32, offset=min(int(size), len(body)))
        if not form or not form.is_plain_row or form.binary_size != values.nbytes:
            return None
        return values.reshape(self._shape), 0, (form, None)

    def write(self, form: tuple[RequestForm, str | None], prediction: Prediction) -> Response:
        request_form, request_id = form
        label = self._labels[prediction.labels[0]]
        probabilities = Tensor(PROBABILITIES, prediction.outputs.shape, prediction.outputs)
        tensors = [label if output.name == LABEL else probabilities for output in request_form.outputs]
        return _response(request_form, tensors, request_id)


def infer(model: Model, validator: Validator, request: Request) -> Response:
    """The requested output tensors, as JSON and, where requested, as bytes after it.

    Raises:
        RequestError: the request is not one that this model can answer.
    """
    require_identity_coding(request)
    rows, form, request_id = _readers.of(model).read(request, validator)
    hidden = [output.name for output in form.outputs if output.name in model.hidden_layers]
    request.context.prediction = prediction = model.predict(rows, hidden)
    request.context.mark("infer")
    tensors = [_output(model, output, prediction) for output in form.outputs]
    if not form.template:
        form.template = _template(model, form, tensors)
        is_plain = all(output.name in (PROBABILITIES, LABEL) and not output.classes for output in form.outputs)
        form.is_plain_row = is_plain and form.shape[0] == 1 and form.datatype == "FP32"
    return _response(form, tensors, request_id)


def _output(model: Model, requested: RequestedOutput, prediction: Prediction) -> Tensor:
    name = requested.name
    if requested.classes:
        return _classification(model, name, prediction.outputs, requested.classes)
    if name == LABEL:
        return Tensor(name, (len(prediction.labels),), [model.labels[label] for label in prediction.labels])
    if name == WARNINGS:
        sentences = ["; ".join(sentences) for sentences in model.warnings(prediction)]
        return Tensor(name, (len(sentences),), sentences)
    values = prediction.outputs if name == PROBABILITIES else prediction.layers[name]
    return Tensor(name, values.shape, values)


def _classification(model: Model, name: str, probabilities: Array, count: int) -> Tensor:
    """The most probable labels of each row, as ``value:index:label``; all of them if more are requested."""
    best = np.argsort(-probabilities, axis=1, kind="stable")[:, :count]
    values = strict_json.shortest_floats(np.take_along_axis(probabilities, best, axis=1))
    classes = [
        f"{value}:{index}:{model.labels[index]}"
        for row in zip(values, best.tolist(), strict=True)
        for value, index in zip(*row, strict=True)
    ]
    return Tensor(name, best.shape, classes)


def _template(model: Model, form: RequestForm, tensors: Sequence[Tensor]) -> bytes:
    """The JSON of the response with ``%b`` for its id, and for the data or the number of bytes of each output."""
    outputs = []
    for tensor, requested in zip(tensors, form.outputs, strict=True):
        head = orjson.dumps({"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape})[:-1]
        data = b'"parameters":{"binary_data_size":%b}}' if requested.is_binary else b'"data":%b}'
        outputs.append(b"%b,%b" % (head.replace(b"%", b"%%"), data))
    identity = {"model_name": model.identity["name"], "model_version": model.identity["version"]}
    return b'%b,%%b"outputs":[%b]}' % (orjson.dumps(identity)[:-1].replace(b"%", b"%%"), b",".join(outputs))


def _response(form: RequestForm, tensors: Sequence[Tensor], request_id: str | None) -> Response:
    parts = [b"" if request_id is None else b'"id":%b,' % orjson.dumps(request_id)]
    binaries = []
    for tensor, requested in zip(tensors, form.outputs, strict=True):
        if requested.is_binary:
            binaries.append(tensor.as_bytes())
            parts.append(b"%d" % len(binaries[-1]))
        else:
            parts.append(tensor.as_json())
    content = form.template % (*parts,)
    if not binaries:
        return Response(200, content)
    headers = {LENGTH_HEADER: str(len(content))}
    return Response(200, b"".join((content, *binaries)), BYTES, headers)
