"""The contract of containers on Amazon SageMaker, for endpoints and for batch transform.

Source: docs.aws.amazon.com/sagemaker/latest/dg, "Custom Inference Code with Hosting Services", "Custom Inference Code
with Batch Transform" and "Common data formats for inference". docs/clouds.md shows how to deploy.
"""

from collections.abc import Callable, Mapping

from service.arrays import Array, Prediction
from service.http.errors import (
    BadInstancesError,
    NotAcceptableError,
    NotCsvError,
    NotJsonError,
    UnacceptableError,
    UnsupportedMediaError,
)
from service.http.media_types import preferred, require_identity_coding
from service.http.messages import Request, Response, json_response
from service.http.routing import JSON, PROBLEM, Declare, Protocol
from service.inference.catalog import Catalog
from service.inference.model import Model, PerModel
from service.inference.validation import Validator
from service.protocols.clouds.csv_predictions import write_csv
from service.protocols.clouds.csv_rows import read_csv
from service.protocols.clouds.json_lines import read_json_lines, write_json_lines
from service.protocols.clouds.json_rows import GivenRows, read_json
from service.protocols.inference import predict
from service.protocols.native_documents import NativeDocuments
from service.protocols.readiness import Readiness

PREDICT_PATH = "/invocations"
_CSV, _JSON_LINES = "text/csv", "application/jsonlines"
_MEGABYTE = 1 << 20
_READERS: Mapping[str, Callable[[Request, Model, Validator], Array]] = {
    _CSV: read_csv,
    _JSON_LINES: read_json_lines,
    "application/x-jsonlines": read_json_lines,
    "application/x-ndjson": read_json_lines,
}

_declare = Declare(Protocol.SAGEMAKER, "sagemaker_")


class SageMaker:
    """The routes that SageMaker calls.

    A batch transform is told to send ``max_concurrency`` bodies of ``max_body_bytes`` at once.
    """

    def __init__(self, catalog: Catalog, readiness: Readiness, max_body_bytes: int, max_concurrency: int) -> None:
        self._catalog = catalog
        self._readiness = readiness
        self._max_body_bytes = max_body_bytes
        self._max_concurrency = max_concurrency
        self._documents = PerModel(NativeDocuments)

    @_declare(
        "GET",
        "/ping",
        {"text/plain": ["string"]},
        more={503: {PROBLEM: ["NotReadyProblem"]}},
        public=True,
        on_event_loop=True,
    )
    def ping(self, _: Request) -> Response:
        """Whether the service accepts predictions: an empty body."""
        self._readiness.require()
        return Response(200, b"", "text/plain")

    @_declare("GET", "/execution-parameters", "ExecutionParameters", public=True, on_event_loop=True)
    def execution_parameters(self, _: Request) -> Response:
        """What a batch transform should send at once."""
        document = {
            "MaxConcurrentTransforms": self._max_concurrency,
            "BatchStrategy": "MULTI_RECORD",
            "MaxPayloadInMB": max(1, self._max_body_bytes // _MEGABYTE),
        }
        return json_response(document)

    @_declare(
        "POST",
        PREDICT_PATH,
        {JSON: ["Prediction", "Predictions"], _CSV: ["string"], _JSON_LINES: ["string"]},
        accepts={JSON: ["OneRow", "ServingRows"], _CSV: ["string"], _JSON_LINES: ["string"]},
        errors=[NotJsonError, NotCsvError, BadInstancesError, NotAcceptableError, UnacceptableError],
        on_event_loop=True,
        inference=True,
        of_default_model=True,
    )
    def invocations(self, request: Request) -> Response:
        """Predict rows in JSON, CSV or JSON Lines; `Accept` chooses the format of the response.

        CSV has a row on each line, with or without a line of names, and JSON Lines an object or a list on each line.
        Responses in these formats have a line for each row; in CSV, these are the label, its confidence and the
        probability of each label, or the value of each target, without a line of names.
        """
        model, validator, _ = self._catalog.select(request)
        accepted = preferred(request.headers.get("accept", "") or JSON, JSON, _CSV, _JSON_LINES)
        if not accepted:
            raise NotAcceptableError(f"accept {JSON}, {_CSV} or {_JSON_LINES}")
        given = _read(request, model, validator)
        prediction = predict(model, given.values, request)
        return self._respond(accepted, model, prediction, is_single=given.is_single)

    def _respond(self, media_type: str, model: Model, prediction: Prediction, *, is_single: bool) -> Response:
        documents = self._documents.of(model)
        if media_type == _CSV:
            return Response(200, write_csv(model, prediction), f"{_CSV}; charset=utf-8; header=absent")
        if media_type == _JSON_LINES:
            return Response(200, write_json_lines(documents, prediction), _JSON_LINES)
        return Response(200, documents.row(prediction) if is_single else documents.rows(prediction))


def _read(request: Request, model: Model, validator: Validator) -> GivenRows:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if read := _READERS.get(media_type):
        require_identity_coding(request)
        return GivenRows(read(request, model, validator))
    try:
        return read_json(request, model, validator)
    except UnsupportedMediaError as error:
        if "Accept" not in error.headers:  # about the content coding
            raise
        accepted = f"{JSON}, {_CSV}, {_JSON_LINES}"
        raise UnsupportedMediaError(f"send one of {accepted}", headers={"Accept": accepted}) from None
