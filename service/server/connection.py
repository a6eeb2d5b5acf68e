"""One client connection: what it waits for and since when, its last response, and errors before there is a request."""

from asyncio import Transport
from collections.abc import Sequence
from http import HTTPStatus
from typing import ClassVar

from service.server.gunicorn_compat import GunicornConnection
from service.server.lingering_close import LingeringClose

_RECENT_SECONDS = 0.5  # a client that was answered this recently may be about to send another request


class Connection(GunicornConnection):
    """gunicorn's connection as every worker has it, whichever of the fast path and the timeouts are on."""

    all_open: ClassVar[dict["Connection", None]] = {}  # of this process, oldest first

    def connection_made(self, transport: Transport) -> None:
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.waiting_since = self.worker.loop.time()  # when what it waits for now began
        self.partial_bytes = 1  # of a request that is not complete; 1 on a new connection, which owes a request
        self.is_head_complete = False  # whether only the body of that is missing; known on the fast path only
        self.is_answered_early = False  # whether the last response came before its request was complete
        Connection.all_open[self] = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        Connection.all_open.pop(self, None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Give the bytes to gunicorn, and note when a request begins."""
        if self.has_request or not self.is_http1:
            super().data_received(data)
            return
        if not self.partial_bytes:
            self.waiting_since = self.worker.loop.time()
        self.partial_bytes += len(data)
        super().data_received(data)
        if self.has_request:
            self.partial_bytes = 0

    def await_request(self) -> None:
        """Begin to wait for a further request."""
        self.partial_bytes = 0
        self.is_head_complete = False
        self.start_idle_timer()

    def start_idle_timer(self) -> None:
        """Note since when the connection is idle."""
        self.waiting_since = self.worker.loop.time()
        super().start_idle_timer()

    def is_idle(self, now: float, seconds: float) -> bool:
        """Whether nothing that could be answered has arrived for so many seconds."""
        is_waiting = self.is_awaiting_request and not self.is_head_complete and not self.is_closed
        return is_waiting and now - self.waiting_since > seconds

    def close_if_idle(self, now: float) -> None:
        """Close at the end of draining, unless a request is here or may be on its way, or the client still sends."""
        if lingering := LingeringClose.all_open.get(self):
            lingering.close_if_silent(now, _RECENT_SECONDS)
        elif self.is_idle(now, _RECENT_SECONDS):
            self.close()

    def begin_close(self) -> None:
        """Close; if the client may still be sending, let it end first, or it would not see the response."""
        seconds = self.app.settings.linger_seconds
        if self.is_closed or not self.is_http1 or not seconds or self.transport.is_closing():
            super().begin_close()
        elif self.is_answered_early or self.has_unread_body:
            LingeringClose(self, seconds)
        else:
            super().begin_close()

    def finish_close(self) -> None:
        """Note when lingering ends, and the transport closes."""
        self.waiting_since = self.worker.loop.time()

    def refuse(self, status: int, reason: str) -> None:
        """Send an error response, and close."""
        self.send_error(status, reason, [("Retry-After", "1")] if status == HTTPStatus.SERVICE_UNAVAILABLE else ())
        self.close()

    def send_error(self, status: int, reason: str, headers: Sequence[tuple[str, str]] = ()) -> None:
        """Send an error response outside of the application, count it, and log the reason."""
        self.is_answered_early = True
        self.app.service.observe_refusal(status, reason)
        super().send_error(status, reason, headers)
