"""Every error, and how each protocol renders those that a client sees.

StartupError                   the service cannot start; one line for the operator
RequestError                   an error response (RFC 9457 problem details, or what the route's protocol has instead)
├── NotJsonError            400
├── NotCsvError             400
├── BadTensorError          400  not an inference request of the Open Inference Protocol
├── BadInstancesError       400  not a request of TensorFlow Serving's REST API, or of a cloud platform
├── UnauthorizedError       401  no API key, or an unknown one
├── ModelControlError       403  models are loaded and unloaded by files, not by requests
├── NotFoundError           404  no route matches the path
│   └── NoModelError        404  the route matches, but no such model or version is served
├── MethodNotAllowedError   405
├── NotAcceptableError      406
├── TooSlowError            408
├── TooLargeError           413
├── UnsupportedMediaError   415
├── UnacceptableError       422  JSON, but not an input of this model; one `Fault` for each thing wrong
├── InternalError           500  a fault of the service; reveals nothing about the inside
├── NotExplainableError     501
└── NotReadyError           503
    ├── ModelUnavailableError 503  no version of the model could be loaded
    └── OverloadedError     503  more than the service takes on at once
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from types import MappingProxyType
from typing import Any, NamedTuple

from service.http.context import NO_COUNTS
from service.http.messages import Handler, Request, Response, json_response
from service.http.routing import PROBLEM, Protocol

OUT_OF_BOUNDS = "out_of_bounds"
UNKNOWN_CATEGORY = "unknown_category"
_OUTSIDE = (OUT_OF_BOUNDS, UNKNOWN_CATEGORY)  # the type is right, but the feature does not have such a value


class StartupError(Exception):
    """The service cannot start as it is set up; the message is one line that names the fault and the remedy."""


class Fault(NamedTuple):
    """One thing wrong with an input.

    ``field`` locates it (``features.body_mass_kg``), ``code`` names it for programs, ``message`` for people.
    ``feature`` is the feature whose value is wrong, if it is a feature's; a response has it in ``field`` only.
    """

    field: str
    code: str
    message: str
    feature: str = ""

    @property
    def sentence(self) -> str:
        """Location and message in one, for protocols whose errors are a single string."""
        return self.message if self.message.startswith(self.field) else f"{self.field}: {self.message}"


class RequestError(Exception):
    """A request that gets an error response; ``detail`` tells the client what is wrong and what to do.

    Its problem details have further ``members``.
    """

    status = HTTPStatus.BAD_REQUEST
    problem = "bad-request"
    title = "Bad request"
    members: Mapping[str, Any] = MappingProxyType({})

    def __init_subclass__(cls, *, problem: str, title: str, status: int | None = None) -> None:
        cls.problem, cls.title = problem, title
        cls.status = HTTPStatus(status) if status else cls.status

    def __init__(self, detail: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.headers = headers or {}

    @property
    def out_of_bounds(self) -> Mapping[str, int]:
        """How many values of each feature are out of its bounds or unknown categories, among the reported faults."""
        return NO_COUNTS


class NotJsonError(RequestError, problem="not-json", title="Invalid JSON"): ...


class NotCsvError(RequestError, problem="not-csv", title="Invalid CSV"): ...


class BadTensorError(RequestError, problem="bad-tensor", title="Invalid inference request"): ...


class BadInstancesError(RequestError, problem="bad-instances", title="Invalid prediction request"): ...


class UnauthorizedError(RequestError, status=401, problem="unauthorized", title="Missing or invalid API key"): ...


class ModelControlError(RequestError, status=403, problem="model-control", title="Models are loaded from files"): ...


class NotFoundError(RequestError, status=404, problem="not-found", title="Not found"): ...


class NoModelError(NotFoundError, problem="no-model", title="Model not found"): ...


class MethodNotAllowedError(RequestError, status=405, problem="method-not-allowed", title="Method not allowed"): ...


class NotAcceptableError(RequestError, status=406, problem="not-acceptable", title="Not acceptable"): ...


class TooSlowError(RequestError, status=408, problem="too-slow", title="Request body timeout"):
    @classmethod
    def after(cls, seconds: float) -> "TooSlowError":
        return cls(f"the body did not arrive within {seconds:g} s: send fewer rows per request")


class TooLargeError(RequestError, status=413, problem="too-large", title="Request body too large"):
    @classmethod
    def beyond(cls, limit: int) -> "TooLargeError":
        return cls(f"the body is longer than {limit} bytes: send fewer rows per request")


class UnsupportedMediaError(
    RequestError, status=415, problem="unsupported-media-type", title="Unsupported media type"
): ...


class UnacceptableError(RequestError, status=422, problem="unacceptable-input", title="Invalid input"):
    """JSON, but not what this model takes. ``has_more``: there are more faults than those in ``faults``."""

    def __init__(self, faults: Sequence[Fault], *, has_more: bool = False) -> None:
        count = len(faults)
        rest = (
            f"more than {count} errors: `errors` lists the first {count}"
            if has_more
            else f"{count} errors: see `errors`"
        )
        super().__init__(faults[0].message if count == 1 and not has_more else f"the input has {rest}")
        self.faults = faults

    @property
    def out_of_bounds(self) -> Mapping[str, int]:
        features = [fault.feature for fault in self.faults if fault.code in _OUTSIDE]
        return Counter(features) if features else NO_COUNTS


class InternalError(RequestError, status=500, problem="internal", title="Internal server error"): ...


class NotExplainableError(RequestError, status=501, problem="not-explainable", title="Explanation not available"): ...


class NotReadyError(RequestError, status=503, problem="not-ready", title="Service not ready"):
    def __init__(self, detail: str, *, retry_after: int = 1, members: Mapping[str, Any] | None = None) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after)})
        self.members = members or {}


class ModelUnavailableError(NotReadyError, problem="model-unavailable", title="Model unavailable"): ...


class OverloadedError(NotReadyError, problem="overloaded", title="Service overloaded"): ...


_MAX_FAULTS_IN_A_SENTENCE = 10
_PROBLEM_PROTOCOLS = frozenset(Protocol) - {Protocol.OIP, Protocol.TFSERVING}  # RFC 9457; those: ``{"error": "..."}``


def render(error: RequestError, protocol: Protocol, request_id: str) -> Response:
    """The error response in the shape that a protocol defines."""
    if protocol in _PROBLEM_PROTOCOLS:
        response = json_response(_problem(error, request_id), error.status.value, PROBLEM)
    else:
        status = status_in(protocol, type(error))
        response = json_response({"error": _sentence(error, status)}, status.value)
    response.headers.update(error.headers)
    return response


def has_problem_details(protocol: Protocol) -> bool:
    """Whether a protocol's errors are problem details (RFC 9457)."""
    return protocol in _PROBLEM_PROTOCOLS


def status_in(protocol: Protocol, error: type[RequestError]) -> HTTPStatus:
    """The status of an error in a protocol: neither the Open Inference Protocol nor TensorFlow Serving uses 422.

    TensorFlow Serving answers an unknown path as a malformed request.
    """
    is_unknown_path = error is NotFoundError and protocol is Protocol.TFSERVING
    is_bad_input = issubclass(error, UnacceptableError) and protocol not in _PROBLEM_PROTOCOLS
    return HTTPStatus.BAD_REQUEST if is_unknown_path or is_bad_input else error.status


def failing_handler(error: RequestError) -> Handler:
    """A handler that raises ``error``, for what is wrong before a route's own handler can be called."""

    def handler(_: Request) -> Response:
        raise error

    return handler


def _problem(error: RequestError, request_id: str) -> dict[str, Any]:
    """Problem details (RFC 9457, section 3), with a member ``errors`` for the faults of an input."""
    document: dict[str, Any] = {
        "type": f"urn:menagerie:problem:{error.problem}",
        "title": error.title,
        "status": error.status.value,
        "detail": error.detail,
        "request_id": request_id,
        **error.members,
    }
    if isinstance(error, UnacceptableError):
        document["errors"] = [
            {"field": fault.field, "code": fault.code, "message": fault.message} for fault in error.faults
        ]
    return document


def _sentence(error: RequestError, status: HTTPStatus) -> str:
    if isinstance(error, UnacceptableError):
        return "; ".join(fault.sentence for fault in error.faults[:_MAX_FAULTS_IN_A_SENTENCE])
    return error.detail if status == error.status else "malformed request: unknown path"
