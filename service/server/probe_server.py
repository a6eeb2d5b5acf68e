"""Answers ``GET /livez`` and ``GET /readyz`` from what the workers have reported in shared memory.

The server is small on purpose: one request for each connection, as kubelets send them, no body, no keep-alive. No
client can hold it up: all have a few seconds, and if there are too many, the one that was connected first is cut off.
"""

import asyncio
import os
import re
import signal
import socket
import time
from contextlib import suppress
from email.utils import formatdate
from http import HTTPStatus

from service.http import errors
from service.http.context import random_id
from service.http.errors import MethodNotAllowedError, NotFoundError, NotReadyError, RequestError
from service.http.messages import Response, json_response
from service.http.routing import Protocol
from service.monitoring.shared_counters import SharedCounters

_READY_SECONDS = 10.0  # without a report, after which a worker's event loop counts as hanging; it reports once a second
_ALIVE_SECONDS = 20.0  # the same for all workers together: gunicorn replaces one by itself, but not if that hangs too
_CLIENT_SECONDS = 5.0
_MAX_CLIENTS = 100
_MAX_HEAD_BYTES = 8192
_WATCH_SECONDS = 0.5
_END_SECONDS = 0.2
END_SIGNAL = signal.SIGALRM  # SIGTERM and others go to whole groups of processes, of which this one outlives the rest
_REQUEST_LINE = re.compile(rb"([!-~]+) ([!-~]+) HTTP/1\.[01]\r\n")


class ServiceHealth:
    """Liveness and readiness of the service as a whole.

    ``is_shutdown`` is the flag of `server.reload`; ``started`` is the service's start by the clock ``time.monotonic``.
    """

    def __init__(self, counters: SharedCounters, is_shutdown: memoryview, started: float) -> None:
        self._counters = counters
        self._is_shutdown = is_shutdown
        self._started = started

    @property
    def is_ready(self) -> bool:
        """Whether a worker accepts connections, has its models and does not hang; not while the service shuts down."""
        last_report = self._counters.last_report(accepting=True)
        return not self._is_shutdown[0] and time.monotonic() - last_report < _READY_SECONDS

    @property
    def is_alive(self) -> bool:
        """Whether a worker's event loop has turned lately, or the service has only just started.

        It has not if all workers hang, or none can start. Workers that are overloaded or drain still report.
        """
        last_report = self._counters.last_report(accepting=False)
        return time.monotonic() - max(last_report, self._started) < _ALIVE_SECONDS

    def respond(self, method: str, path: str) -> Response:
        """The response to a probe; ``method`` is empty if the request cannot be read.

        Raises:
            RequestError: the service is not ready or not alive, or this is no probe.
        """
        if not method:
            raise RequestError("this is not an HTTP/1.1 request")
        if path not in {"/livez", "/readyz"}:
            raise NotFoundError("this port answers GET /livez and GET /readyz only")
        if method not in {"GET", "HEAD"}:
            raise MethodNotAllowedError("send GET or HEAD", headers={"Allow": "GET, HEAD"})
        if path == "/readyz":
            if self._is_shutdown[0]:
                raise NotReadyError("the service is shutting down")
            if not self.is_ready:
                raise NotReadyError(
                    "no worker accepts connections and has its models: GET /readyz on the service's port lists these"
                )
            return json_response({"status": "ready"})
        if not self.is_alive:
            raise NotReadyError(f"no worker has responded for {_ALIVE_SECONDS:g} s")
        return json_response({"status": "alive"})


async def serve_probes(listener: socket.socket, health: ServiceHealth, parent: int) -> None:
    """Answer until the parent process has ended, or sends `END_SIGNAL`."""
    is_over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(END_SIGNAL, is_over.set)
    clients: dict[asyncio.StreamWriter, None] = {}  # oldest first

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        clients[writer] = None
        if len(clients) > _MAX_CLIENTS:
            oldest = next(iter(clients))
            del clients[oldest]
            oldest.transport.abort()
        try:
            with suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                async with asyncio.timeout(_CLIENT_SECONDS):
                    writer.write(_answer(health, await reader.readuntil(b"\r\n\r\n")))
        finally:
            clients.pop(writer, None)
            writer.close()

    server = await asyncio.start_server(serve, sock=listener, limit=_MAX_HEAD_BYTES)
    while os.getppid() == parent and not is_over.is_set():
        with suppress(TimeoutError):
            await asyncio.wait_for(is_over.wait(), _WATCH_SECONDS)
    server.close()
    with suppress(TimeoutError):
        async with asyncio.timeout(_END_SECONDS):
            while clients:  # noqa: ASYNC110 (an event for this would be longer)
                await asyncio.sleep(_END_SECONDS / 10)


def _answer(health: ServiceHealth, head: bytes) -> bytes:
    """The bytes of the response to a request's head."""
    line = _REQUEST_LINE.match(head)
    method, target = (part.decode("ascii") for part in line.groups()) if line else ("", "")
    try:
        response = health.respond(method, target.partition("?")[0])
    except RequestError as error:
        response = errors.render(error, Protocol.SERVICE, random_id(16))
    headers = response.all_headers | {
        "Content-Type": response.content_type,
        "Content-Length": str(len(response.body)),
        "Date": formatdate(usegmt=True),
        "Connection": "close",
    }
    lines = [f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (b"" if method == "HEAD" else response.body)
