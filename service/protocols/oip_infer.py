"""Inference of the Open Inference Protocol: tensors in, tensors out, as JSON or as bytes.

Sources: the protocol's specification (github.com/kserve/open-inference-protocol) and, in Triton's documentation, its
extensions for binary tensor data and for classification.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from service.arrays import Prediction
from service.http import strict_json
from service.http.media_types import require_identity_coding
from service.http.messages import Request, Response
from service.inference.model import Model, PerModel
from service.inference.validation import Validator
from service.protocols.inference import predict
from service.protocols.oip_forms import RequestedOutput, RequestForm
from service.protocols.oip_request import LENGTH_HEADER, RequestReader, take_variable_parts
from service.protocols.oip_tensors import Tensor
from service.protocols.row_codec import GivenRow

BYTES = "application/octet-stream"
_FP32 = np.dtype("<f4")
_JSON_TYPES: dict[str, set[type]] = {
    "FP32": {int, float},
    "INT64": {int},
    "BOOL": {bool},
    "BYTES": {str},
}  # those of usual elements
_INT64_MAX = 2**63 - 1

_readers = PerModel(RequestReader)


class OipRow:
    """A row in the tensors of a request whose form was there before; as JSON, or as bytes after it."""

    def __init__(self, model: Model) -> None:
        self._reader = _readers.of(model)
        self._shape = (1, len(model.features))

    def read(self, headers: Mapping[str, str], body: bytes) -> GivenRow | None:
        if "content-encoding" in headers:
            return None
        size = headers.get("inference-header-content-length", "")
        if not size:
            document = orjson.loads(body)
            data, request_id = take_variable_parts(document)
            form = self._reader.known_form(orjson.dumps(document))
            if not form or not form.is_plain_row or form.binary_size is not None:
                return None
            values = data[0] if len(data) == 1 else _join(data, form)
            row = values[0] if type(values) is list and len(values) == 1 else values  # nested, or all in one list
            strings = form.strings + (2 if request_id is not None else 0)
            return row if type(row) is list else None, strings, (form, request_id)
        if not size.isdigit():
            return None
        form = self._reader.known_form(body[: int(size)] or len(body))
        values = np.frombuffer(body, _FP32, offset=min(int(size), len(body)))
        if not form or not form.is_plain_row or form.binary_size != values.nbytes:
            return None
        return values.reshape(self._shape), 0, (form, None)

    def write(self, form: tuple[RequestForm, str | None], prediction: Prediction) -> Response:
        request_form, request_id = form
        return _response(request_form, [tensor(prediction) for tensor in request_form.tensors], request_id)


def _join(data: Sequence[Any], form: RequestForm) -> list[Any] | None:
    """The row in the data of several tensors, each nested or all elements in one list; None if they are not usual."""
    if form.is_mixed and not _are_usual(data, form):
        return None
    row: list[Any] = []
    for values, tensor in zip(data, form.inputs, strict=True):
        flat = values[0] if type(values) is list and len(values) == 1 and type(values[0]) is list else values
        if type(flat) is not list or len(flat) != tensor.shape[1]:
            return None
        row += flat
    return row


def _are_usual(data: Sequence[Any], form: RequestForm) -> bool:
    """Whether the data of a row need no more than validation: no check of their datatype, and no empty text."""
    for values, tensor in zip(data, form.inputs, strict=True):
        flat = values[0] if type(values) is list and len(values) == 1 and type(values[0]) is list else values
        types = _JSON_TYPES.get(tensor.datatype)
        if not types or type(flat) is not list or not types.issuperset(map(type, flat)) or "" in flat:
            return False
        if tensor.datatype == "INT64" and max(flat, default=0) > _INT64_MAX:
            return False
    return True


def infer(model: Model, validator: Validator, request: Request) -> Response:
    """The requested output tensors, as JSON and, where requested, as bytes after it.

    Raises:
        RequestError: the request is not one that this model can answer.
    """
    require_identity_coding(request)
    rows, form, request_id = _readers.of(model).read(request, validator)
    prediction = predict(model, rows, request, form.layers)
    tensors = [_tensor(each, prediction) for each in form.outputs]
    if not form.template:
        form.complete(_template(model, form, tensors))
    return _response(form, tensors, request_id)


def _tensor(requested: RequestedOutput, prediction: Prediction) -> Tensor:
    tensor = requested.output.tensor(prediction)
    return _classification(requested, tensor) if requested.classes else tensor


def _classification(requested: RequestedOutput, scores: Tensor) -> Tensor:
    """The labels with the highest scores of each row, as ``value:index:label``; all of them if more are requested."""
    array, labels = np.asarray(scores.values), requested.output.labels
    best = np.argsort(-array, axis=1, kind="stable")[:, : requested.classes]
    values = strict_json.shortest_floats(np.take_along_axis(array, best, axis=1))
    classes = [
        f"{value}:{index}:{labels[index]}"
        for row in zip(values, best.tolist(), strict=True)
        for value, index in zip(*row, strict=True)
    ]
    return Tensor(scores.name, best.shape, classes)


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
