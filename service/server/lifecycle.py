"""A worker's start, drain and exit.

On SIGTERM gunicorn by itself stops listening at once, closes connections unannounced, and waits for idle clients. Here
a worker first announces on every response that it is the last on its connection, and goes on accepting new connections
for a while; then it closes its listeners with nobody left waiting there, closes idle connections, and exits once the
last response has been read.
"""

import asyncio
import gc
import signal
import sys
import time
from collections.abc import Coroutine
from ssl import SSLContext
from typing import Any

from service.monitoring.shared_counters import shared_counters
from service.server import gunicorn_compat, timeouts
from service.server.acceptor import Acceptor
from service.server.connection import Connection
from service.server.fast_path import FastPathProtocol
from service.server.preflight import tls_fault
from service.server.timeouts import TimeoutProtocol
from service.settings import Settings

_TICK_SECONDS = 0.05
_REPORT_SECONDS = 1.0
_TLS_RETRY_SECONDS = 1.0
_MARGIN_SECONDS = 1.0  # before gunicorn kills, to exit by ourselves
_CLOSE_SECONDS = 0.8  # of that, to observe the last requests


def start_worker(worker: Any) -> None:
    """Set up a worker that has loaded the application, of whichever class it is."""
    # A batch of 10,000 rows makes 50,000 objects in a thread, and keeps none. With Python's own settings the collector
    # walks them again and again, and the loop waits 5 ms for its turn: p99 of single rows beside such batches was
    # 207 ms; with these it is 6 to 13 ms.
    gc.set_threshold(100_000, 10, 10)
    sys.setswitchinterval(0.0005)
    shared_counters().use_slot(worker.slot)
    service = gunicorn_compat.loaded_service(worker.app)
    assert service  # noqa: S101 (a worker is initialized once it has loaded it)
    service.start_threads()
    if service.spans:
        service.spans.start("https" if worker.cfg.is_ssl else "http")
    if worker.cfg.worker_class_str == "asgi":
        WorkerLifecycle(worker, worker.is_shutdown).start()


def finish_worker(worker: Any) -> None:
    """Observe the last requests."""
    service = gunicorn_compat.loaded_service(worker.app)
    if service:
        service.close(seconds=_CLOSE_SECONDS)


def connection_class(settings: Settings) -> type[Connection]:
    """The connections of a worker, with what the settings switch on."""
    parts: list[type[Connection]] = []
    if settings.fast_path:
        parts.append(FastPathProtocol)
    if settings.timeouts:
        parts.append(TimeoutProtocol)
    return type("WorkerConnection", (*parts, Connection), {})


def _require_tls(worker: Any) -> SSLContext | None:
    """The worker's TLS context; exit if there should be one and it cannot be made: gunicorn would serve plain HTTP."""
    if fault := tls_fault(worker.cfg):
        worker.log.critical("menagerie: %s", fault)
        time.sleep(_TLS_RETRY_SECONDS)  # else the next worker would fail at once, and the log would be full of it
        sys.exit(1)
    return gunicorn_compat.tls_context(worker.cfg)


class WorkerLifecycle:
    """One asgi worker, from its first connection to its last. ``is_shutdown`` is the flag of `server.reload`."""

    def __init__(self, worker: Any, is_shutdown: memoryview) -> None:
        self._worker = worker
        self._is_shutdown = is_shutdown
        self._loop: asyncio.AbstractEventLoop = worker.loop
        self._settings: Settings = worker.asgi.settings
        self._connection_class = connection_class(self._settings)
        self._tls = _require_tls(worker)
        self._max_requests = gunicorn_compat.take_over_max_requests(worker, disabled=sys.maxsize)
        self._tasks: list[asyncio.Task[None]] = []
        self._acceptors: list[Acceptor] = []

    def start(self) -> None:
        """Set up, before the worker's loop runs."""
        gunicorn_compat.install_protocol(self._connection_class)
        self._loop.add_signal_handler(signal.SIGTERM, self.leave)
        if self._settings.timeouts:
            timeouts.bound_sockets(gunicorn_compat.listening_sockets(self._worker), self._settings)
            self._run(timeouts.check_connections())
        self._run(self._accept_and_count())
        self._run(self._report())
        if self._is_shutdown[0]:  # the SIGTERM came before there was a handler, and gunicorn's child has dropped it
            self.leave()

    def leave(self) -> None:
        """Begin to drain: on SIGTERM from the master, or after ``max_requests``."""
        is_first_call = not self._worker.asgi.is_leaving
        shared_counters().mark_planned_exit()
        self._worker.asgi.leave(is_shutdown=bool(self._is_shutdown[0]))
        if is_first_call:
            self._run(self._drain())

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside the requests until the worker exits."""
        self._tasks.append(self._loop.create_task(work))

    async def _accept_and_count(self) -> None:
        """Take accepting over from asyncio once it has begun; then leave after ``max_requests``."""
        while not gunicorn_compat.is_accepting(self._worker):  # noqa: ASYNC110 (gunicorn sets no event)
            await asyncio.sleep(_TICK_SECONDS)
        if self._settings.acceptor and not self._worker.asgi.is_leaving:
            self._start_acceptors()
        if not self._worker.asgi.is_leaving:
            shared_counters().mark_accepting(is_accepting=True)
        while gunicorn_compat.answered_requests(self._worker) < self._max_requests:  # noqa: ASYNC110 (likewise)
            await asyncio.sleep(_TICK_SECONDS * 10)
        count = gunicorn_compat.answered_requests(self._worker)
        self._worker.log.info("handled %d requests: another worker takes over", count)
        self.leave()

    def _start_acceptors(self) -> None:
        for listener in gunicorn_compat.listening_sockets(self._worker):
            acceptor = Acceptor(self._worker, listener, self._tls, self._connection_class)
            acceptor.start()
            self._acceptors.append(acceptor)

    async def _report(self) -> None:
        """Report every second whether the worker is ready, and its gauges."""
        due = self._loop.time()
        while True:
            shared_counters().mark_ready(is_ready=self._worker.asgi.is_ready)
            self._worker.asgi.report_worker(len(Connection.all_open), self._loop.time() - due)
            due = self._loop.time() + _REPORT_SECONDS
            await asyncio.sleep(_REPORT_SECONDS)

    async def _drain(self) -> None:
        """Accept for some more time, each connection for one response; then exit after the last response."""
        last = self._loop.time() + self._worker.cfg.graceful_timeout - _MARGIN_SECONDS
        await asyncio.sleep(self._settings.drain_seconds)
        shared_counters().mark_accepting(is_accepting=False)
        for acceptor in self._acceptors:
            acceptor.stop()
        gunicorn_compat.close_listeners(self._worker)
        await asyncio.sleep(_TICK_SECONDS)  # without acceptors: asyncio makes the connections that it has accepted
        while (Connection.all_open or any(one.is_busy for one in self._acceptors)) and self._loop.time() < last:
            for connection in list(Connection.all_open):
                connection.close_if_idle(self._loop.time())
            await asyncio.sleep(_TICK_SECONDS)
        gunicorn_compat.exit_worker(self._worker)
