"""The life of a gunicorn worker: what it is set up with, when it is replaced, and how it ends without losing a request.

gunicorn by itself stops listening at once when it is told to end, closes connections without having announced it, and
waits for idle callers. Here a worker first says that every answer is the last on its connection, and goes on accepting
new ones for a while; then it lets go of the listeners with nobody left waiting there, closes connections at rest, and
ends once the last answer has been taken.
"""

import asyncio
import signal
import socket
import sys
from asyncio import constants
from typing import Any

from service.monitoring.shared_counters import shared_counters
from service.server import fast_path
from service.server.acceptor import Door
from service.server.timeouts import Patient, watch
from service.settings import Settings

_TICK_SECONDS = 0.05
_TELL_SECONDS = 1.0
_UNSENT = 131_072  # bytes of answers that the kernel holds for a caller, beyond those that are under way
_MARGIN_SECONDS = 1.0  # before gunicorn kills, to end by ourselves


def begin(worker: Any, ending: memoryview) -> None:
    """Set an asgi worker up, before its loop runs. ``ending`` is shared with the master: 1 once all of it ends."""
    fast_path.install()
    constants.SSL_HANDSHAKE_TIMEOUT = worker.asgi.settings.head_seconds  # gunicorn hands on no timeout to asyncio
    for listener in worker.sockets:
        _bound(listener.sock, worker.asgi.settings)
    life = Life(worker, ending)
    worker.loop.add_signal_handler(signal.SIGTERM, life.leave)
    life.start(watch())
    life.start(life.tick())
    life.start(life.tell())


def _bound(listener: socket.socket, settings: Settings) -> None:
    """How much and for how long a caller may leave untaken; his connection inherits it."""
    if listener.family != socket.AF_UNIX:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(settings.write_seconds * 1000))
        # Else the kernel takes 4 MB for a caller who takes nothing, and all that while he seems to be served.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, _UNSENT)


class Life:
    """One worker, from its first connection to its last."""

    def __init__(self, worker: Any, ending: memoryview) -> None:
        self._worker = worker
        self._ending = ending
        self._loop: asyncio.AbstractEventLoop = worker.loop
        self._settings = worker.asgi.settings
        self._most = worker.max_requests
        worker.max_requests = sys.maxsize  # gunicorn would close connections without a word
        self._tasks: list[asyncio.Task[None]] = []
        self._doors: list[Door] = []

    def start(self, work: Any) -> None:
        """Do something beside the requests until the end."""
        self._tasks.append(self._loop.create_task(work))

    def leave(self) -> None:
        """Begin to end: on SIGTERM from the master, or after so many requests."""
        first = not self._worker.asgi.is_leaving
        shared_counters().mark_planned_exit()
        self._worker.asgi.leave(is_shutdown=bool(self._ending[0]))
        if first:
            self.start(self._end())

    async def tick(self) -> None:
        """Have the listeners as they are meant, then count requests."""
        while len(self._worker.servers) < len(self._worker.sockets):  # noqa: ASYNC110 (gunicorn sets no event)
            await asyncio.sleep(_TICK_SECONDS)
        tls = self._worker._get_ssl_context()  # noqa: SLF001 (gunicorn's)
        for listener in self._worker.sockets:
            door = Door(self._worker, listener.sock, tls)
            door.open()
            self._doors.append(door)
        while self._worker.nr < self._most:  # noqa: ASYNC110 (an event would cost every request)
            await asyncio.sleep(_TICK_SECONDS * 10)
        self._worker.log.info("%d requests were answered: another worker takes over", self._worker.nr)
        self.leave()

    async def tell(self) -> None:
        """Say again and again how this worker is."""
        due = self._loop.time()
        while True:
            self._worker.asgi.report_worker(len(Patient.open), self._loop.time() - due)
            due = self._loop.time() + _TELL_SECONDS
            await asyncio.sleep(_TELL_SECONDS)

    async def _end(self) -> None:
        """Accept for some more time, each connection for one answer; then none, and see the last answers off."""
        last = self._loop.time() + self._worker.cfg.graceful_timeout - _MARGIN_SECONDS
        await asyncio.sleep(self._settings.drain_seconds)
        for door in self._doors:
            door.close()
        self._worker.servers.clear()  # they would close what is closed
        while (Patient.open or any(door.busy for door in self._doors)) and self._loop.time() < last:
            for connection in list(Patient.open):
                connection.retire(self._loop.time())
            await asyncio.sleep(_TICK_SECONDS)
        self._worker.handle_quit_signal()
