"""What happens to every request, whatever its route and whichever adapter brought it."""

import logging
from collections.abc import Callable

from service.app.api_keys import ApiKeys
from service.app.cors import CorsPolicy
from service.http import errors
from service.http.context import RequestContext, TraceContext, choose_request_id
from service.http.errors import InternalError, RequestError
from service.http.messages import Handler, Request, Response
from service.http.routing import Protocol
from service.monitoring import server_timing
from service.monitoring.access_log import request_fields

_log = logging.getLogger("menagerie")


class Pipeline:
    """Identifies, authenticates and times each request, calls its handler, and renders errors.

    ``protocol_of`` gives the protocol of a path that no route matches, ``begin_trace`` the trace that a request belongs
    to; ``observe`` is told of every completed request. With ``server_timing`` each response has a Server-Timing field.
    """

    def __init__(  # noqa: PLR0913 (one for each thing that happens to a request)
        self,
        *,
        api_keys: ApiKeys | None,
        cors: CorsPolicy | None,
        protocol_of: Callable[[str], Protocol],
        begin_trace: Callable[[Request], TraceContext | None],
        observe: Callable[[RequestContext], None],
        server_timing: bool,
    ) -> None:
        self._api_keys = api_keys
        self._cors = cors
        self._protocol_of = protocol_of
        self._begin_trace = begin_trace
        self._observe = observe
        self._server_timing = server_timing

    @property
    def requires_key(self) -> bool:
        """Whether requests to routes that are not public need an API key."""
        return self._api_keys is not None

    def authenticate(self, request: Request) -> None:
        """Refuse a request without a known key, where keys are set; public routes need none, unknown paths do.

        Raises:
            UnauthorizedError: the key is missing or unknown.
        """
        if self._api_keys and not (request.route and request.route.public):
            self._api_keys.require(request.headers)

    def handle(self, request: Request, handler: Handler) -> Response:
        """The handler's response, or that of the error that it raised; never raises."""
        context = request.context
        context.request_id = choose_request_id(request.headers.get("x-request-id", ""))
        context.trace = self._begin_trace(request)
        try:
            if self._api_keys:  # checked here too: a call that does nothing would cost every request
                self.authenticate(request)
            context.mark("admit")
            response = handler(request)
        except RequestError as error:
            response = self._error_response(error, request)
        except Exception:  # noqa: BLE001 (the one place that must let nothing through)
            _log.exception("request %s failed", context.request_id, extra={"fields": request_fields(context)})
            response = self._error_response(
                InternalError("unexpected error: search the service's log for this request's id"), request
            )
        self._add_headers(request, response)
        self._observe(context)
        return response

    def _error_response(self, error: RequestError, request: Request) -> Response:
        context = request.context
        context.error, context.out_of_bounds = error.problem, error.out_of_bounds
        protocol = request.route.protocol if request.route else self._protocol_of(request.path)
        return errors.render(error, protocol, context.request_id)

    def _add_headers(self, request: Request, response: Response) -> None:
        context, headers = request.context, response.headers
        headers["X-Request-ID"] = context.request_id
        if self._cors:
            self._cors.add_headers(request, response)
        if context.trace:
            headers["traceresponse"] = context.trace.header
        context.finish(response.status)
        if self._server_timing:
            headers["Server-Timing"] = server_timing.header(context)
