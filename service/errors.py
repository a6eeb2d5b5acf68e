"""Everything that can go wrong, and how it is told.

StartupError                   the service cannot start; one line for the operator
RequestError                   a request cannot be answered; a problem for the client (RFC 9457)
├── NotJsonError            400
├── NotFoundError           404
├── MethodNotAllowedError   405
├── TooLargeError           413
├── UnsupportedMediaError   415
├── UnacceptableError       422  JSON, but not an input of this model: one `Fault` for each thing wrong
├── InternalError           500  our fault; says nothing of what happened inside
├── NotExplainableError     501
└── NotReadyError           503
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

from service.messages import Reply, json_reply


class StartupError(Exception):
    """The service cannot start as it is set up; the message is one line that names the fault and the remedy."""


class Fault(NamedTuple):
    """One thing wrong with an input: where (``features.body_mass_kg``), what for a program, what for a person."""

    field: str
    code: str
    message: str


class RequestError(Exception):
    """A request that gets an error for an answer; the message tells the client what to do about it."""

    status = HTTPStatus.BAD_REQUEST
    problem = "bad-request"
    title = "The request cannot be understood"

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}


class NotJsonError(RequestError):
    problem = "not-json"
    title = "The body is not JSON"


class NotFoundError(RequestError):
    status = HTTPStatus.NOT_FOUND
    problem = "not-found"
    title = "There is nothing at this path"


class MethodNotAllowedError(RequestError):
    status = HTTPStatus.METHOD_NOT_ALLOWED
    problem = "method-not-allowed"
    title = "This path does not answer this method"


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
        document["errors"] = [fault._asdict() for fault in error.faults]
    reply = json_reply(document, error.status.value, "application/problem+json")
    reply.headers.update(error.headers)
    return reply
