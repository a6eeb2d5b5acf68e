"""What happens to every request, whatever its route and whichever adapter brought it."""

import logging
import re
import time
from collections.abc import Callable, Sequence
from random import getrandbits  # seeded anew in every worker; asking the kernel takes 3 us, and an id is no secret

from service.app.api_keys import Keys
from service.app.cors import Origins
from service.http import errors
from service.http.context import Trace
from service.http.errors import InternalError, NotReadyError, RequestError, UnauthorizedError
from service.http.messages import Handler, Reply, Request
from service.monitoring import access_log, server_timing, trace_context

_log = logging.getLogger("menagerie")
Observer = Callable[[Request, Reply], None]
Begin = Callable[[Request], Trace | None]
_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class Gate:
    """Identifies and times each request, and turns every failure into an answer.

    ``draining`` is set once the process is to end; until then it goes on answering, but is not ready. With ``keys`` a
    request needs one of them, unless its handler is among those that are ``open``: what is no route is not. Each of the
    ``observers`` is told of every answer, with what its request's record says; none may raise, and all must be quick.
    ``begin`` says which trace a request belongs to; ``timed`` answers say where their time went.
    """

    def __init__(
        self,
        *,
        observers: Sequence[Observer] = (),
        keys: Keys | None = None,
        origins: Origins | None = None,
        begin: Begin = trace_context.take_over,
        timed: bool = True,
    ) -> None:
        self.draining = False
        self.started = time.monotonic()
        self.open: frozenset[Handler] = frozenset()
        self._observers = observers
        self._keys = keys
        self._origins = origins
        self._begin = begin
        self._timed = timed

    @property
    def guarded(self) -> bool:
        """Whether a request needs a key."""
        return self._keys is not None

    def require_ready(self) -> None:
        """No request comes in before a model is loaded and has passed its self-test; what is left to ask is the end.

        Raises:
            NotReadyError: the service is about to end.
        """
        if self.draining:
            raise NotReadyError("the service is shutting down")

    def require_key(self, request: Request, handler: Handler | None) -> None:
        """Refuse a request without a key, where keys are set and the handler is not an open one; None: there is none.

        Raises:
            UnauthorizedError: it has no key, or another.
        """
        if self._keys and handler not in self.open:
            self._keys.require(request)

    def trusts(self, request: Request) -> bool:
        """Whether a caller may be told what is not for everybody: he has a key, or none are set."""
        try:
            self.require_key(request, None)
        except UnauthorizedError:
            return False
        return True

    def answer(self, request: Request, handler: Handler) -> Reply:
        """What ``handler`` replies, or the problem that it met; never raises."""
        record = request.record
        record.request_id = request_id = _identify(request)
        record.trace = self._begin(request)
        try:
            if self._keys:  # looked at here too: a call that does nothing would cost every request
                self.require_key(request, handler)
            record.lap("admit")
            reply = handler(request)
        except RequestError as error:
            record.error, record.out_of_bounds = error.problem, error.out_of_bounds
            reply = errors.render(error, request.path, request_id)
        except Exception:  # noqa: BLE001 (this is the one place that must let nothing through)
            _log.exception("request %s failed", request_id, extra={"fields": access_log.identity(request)})
            failure = InternalError("look for the request id in the service's log")
            record.error = failure.problem
            reply = errors.render(failure, request.path, request_id)
        reply.headers["X-Request-ID"] = request_id
        reply.headers.setdefault("Cache-Control", "no-store")
        reply.headers["X-Content-Type-Options"] = "nosniff"
        if self._origins:
            self._origins.tell(request, reply)
        if record.trace:
            reply.headers["traceresponse"] = record.trace.header
        record.lap("render")
        if self._timed:
            reply.headers["Server-Timing"] = server_timing.header(record)
        for tell in self._observers:
            tell(request, reply)
        return reply


def _identify(request: Request) -> str:
    """The caller's request id if it can stand in a header and a log line as it is, else a new one."""
    given = request.headers.get("x-request-id", "")
    return given if given and _SANE_ID.fullmatch(given) else f"{getrandbits(128):032x}"
