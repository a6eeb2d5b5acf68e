"""Everything that can go wrong, and how it is told.

StartupError                   the service cannot start; one line for the operator
RequestError                   a request cannot be answered; a problem for the client (RFC 9457)
├── NotJsonError            400
├── BadTensorError          400  JSON and bytes that are no inference of the Open Inference Protocol
├── BadInstancesError       400  JSON that is no request of TensorFlow Serving's
├── UnauthorizedError       401  no API key, or one that is not known
├── NotFoundError           404  no such path
│   └── NoModelError        404  the path is right, but no such model or version is served
├── MethodNotAllowedError   405
├── TooSlowError            408
├── TooLargeError           413
├── UnsupportedMediaError   415
├── UnacceptableError       422  JSON, but not an input of this model: one `Fault` for each thing wrong
├── InternalError           500  our fault; says nothing of what happened inside
├── NotExplainableError     501
└── NotReadyError           503
    └── OverloadedError     503  more than is taken on at once
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from service.http.context import NONE
from service.http.messages import Reply, json_reply

OUT_OF_BOUNDS = "out_of_bounds"


class StartupError(Exception):
    """The service cannot start as it is set up; the message is one line that names the fault and the remedy."""


class Fault(NamedTuple):
    """One thing wrong with an input: where (``features.body_mass_kg``), what for a program, what for a person.

    ``feature`` is the name of the feature whose value it is, if it is one's; a caller is not told, `field` says it.
    """

    field: str
    code: str
    message: str
    feature: str = ""

    @property
    def sentence(self) -> str:
        """Where and what for a person, for protocols that have but one string to say it in."""
        return self.message if self.message.startswith(self.field) else f"{self.field}: {self.message}"


class RequestError(Exception):
    """A request that gets an error for an answer; the message tells the client what to do about it."""

    status = HTTPStatus.BAD_REQUEST
    problem = "bad-request"
    title = "The request cannot be understood"

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}

    @property
    def out_of_bounds(self) -> Mapping[str, int]:
        """How many values of each feature lie outside its bounds, of the faults that are told."""
        return NONE


class NotJsonError(RequestError):
    problem = "not-json"
    title = "The body is not JSON"


class BadTensorError(RequestError):
    problem = "bad-tensor"
    title = "The tensors are not what they say"


class BadInstancesError(RequestError):
    problem = "bad-instances"
    title = "The instances are not what they should be"


class UnauthorizedError(RequestError):
    status = HTTPStatus.UNAUTHORIZED
    problem = "unauthorized"
    title = "This service is not open to everyone"


class NotFoundError(RequestError):
    status = HTTPStatus.NOT_FOUND
    problem = "not-found"
    title = "There is nothing at this path"


class NoModelError(NotFoundError):
    problem = "no-model"
    title = "No such model is served"


class MethodNotAllowedError(RequestError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    problem = "method-not-allowed"
    title = "This path does not answer this method"


class TooSlowError(RequestError):
    status = HTTPStatus.REQUEST_TIMEOUT
    problem = "too-slow"
    title = "The body took too long to come in"

    @classmethod
    def after(cls, seconds: float) -> "TooSlowError":
        return cls(f"the body must be here within {seconds:g} s")


class TooLargeError(RequestError):
    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE
    problem = "too-large"
    title = "The body is too large"

    @classmethod
    def beyond(cls, limit: int) -> "TooLargeError":
        return cls(f"the body must not be longer than {limit} bytes: send fewer rows at a time")


class UnsupportedMediaError(RequestError):
    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE
    problem = "unsupported-media-type"
    title = "The body is not of a type that is read here"


class UnacceptableError(RequestError):
    """JSON, but not what this model takes. ``faults`` may have been cut short; ``detail`` says so then."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    problem = "unacceptable-input"
    title = "The input is not one that this model takes"

    def __init__(self, faults: Sequence[Fault], *, more: bool = False) -> None:
        count = f"the first {len(faults)} faults are" if more else f"{len(faults)} faults,"
        super().__init__(faults[0].message if len(faults) == 1 and not more else f"{count} listed in `errors`")
        self.faults = faults

    @property
    def out_of_bounds(self) -> Mapping[str, int]:
        return Counter(fault.feature for fault in self.faults if fault.code == OUT_OF_BOUNDS)


class InternalError(RequestError):
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    problem = "internal"
    title = "The service failed to answer"


class NotExplainableError(RequestError):
    status = HTTPStatus.NOT_IMPLEMENTED
    problem = "not-explainable"
    title = "This model's answers cannot be explained"


class NotReadyError(RequestError):
    status = HTTPStatus.SERVICE_UNAVAILABLE
    problem = "not-ready"
    title = "The service cannot predict now"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})


class OverloadedError(NotReadyError):
    problem = "overloaded"
    title = "The service has all the work that it takes on"


_PLAIN = re.compile(r"/v[12](/|$)")
_TOLD = 10  # faults in one sentence


def render(error: RequestError, path: str, request_id: str) -> Reply:
    """The error as the protocol that the path belongs to tells it."""
    return _plain(error, path) if is_plain(path) else problem(error, request_id)


def is_plain(path: str) -> bool:
    """Whether errors are told as ``{"error": …}`` there: in the Open Inference Protocol and in TensorFlow Serving's."""
    return bool(_PLAIN.match(path))


def status_at(kind: type[RequestError], path: str) -> HTTPStatus:
    """The status of an error in the protocol that the path belongs to: neither of the plain ones knows a 422.

    TensorFlow Serving takes a path that it does not know for a malformed request.
    """
    unknown = kind is NotFoundError and path.startswith("/v1")
    malformed = is_plain(path) and (unknown or issubclass(kind, UnacceptableError))
    return HTTPStatus.BAD_REQUEST if malformed else kind.status


def _plain(error: RequestError, path: str) -> Reply:
    detail, status = error.detail, status_at(type(error), path)
    if isinstance(error, UnacceptableError):
        detail = "; ".join(fault.sentence for fault in error.faults[:_TOLD])
    elif status != error.status:
        detail = "malformed request: there is nothing at this path"
    reply = json_reply({"error": detail}, status.value)
    reply.headers.update(error.headers)
    return reply


def problem(error: RequestError, request_id: str) -> Reply:
    """The error as ``application/problem+json`` (RFC 9457, section 3)."""
    document: dict[str, Any] = {
        "type": f"urn:menagerie:problem:{error.problem}",
        "title": error.title,
        "status": error.status.value,
        "detail": error.detail,
        "request_id": request_id,
    }
    if isinstance(error, UnacceptableError):
        document["errors"] = [
            {"field": fault.field, "code": fault.code, "message": fault.message} for fault in error.faults
        ]
    reply = json_reply(document, error.status.value, "application/problem+json")
    reply.headers.update(error.headers)
    return reply
