"""MENAGERIE_HEALTH_PORT: a port for health probes, answered by a process of its own.

On the service's port a probe waits like any other request, under overload for seconds. A kubelet gives up after one
and restarts the pod, which makes the overload worse. This process does nothing else, so it is never busy. It is a
process, not a thread of the master: the master forks workers, and must not do so while another thread runs.
"""

import asyncio
import gc
import os
import signal
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from service.http.errors import StartupError
from service.monitoring.shared_counters import shared_counters
from service.server import gunicorn_compat
from service.server.listeners import Address
from service.server.probe_server import END_SIGNAL, ServiceHealth, serve_probes

_HANDED_OVER = "HEALTH_FD"  # names the file descriptor to the new master of a SIGUSR2
_STOP_SECONDS = 2.0  # after which it is killed
_TICK_SECONDS = 0.02
_RESTART_SECONDS = 1.0  # a process that ends at once is not started more often


def open_health_port(port: int, addresses: Sequence[Address | int]) -> socket.socket | None:
    """Listen on a port of all IPv4 and IPv6 addresses; ``addresses`` are the service's own. None if the port is 0.

    Raises:
        StartupError: the port cannot be used.
    """
    descriptor = os.environ.pop(_HANDED_OVER, None)
    if not port:
        return None
    if descriptor and "GUNICORN_PID" in os.environ:
        return socket.socket(fileno=int(descriptor))
    if any(isinstance(address, tuple) and address[1] == port for address in addresses):
        raise StartupError(f"MENAGERIE_HEALTH_PORT and the service's port are both {port}: set one to another port")
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartupError(
            f"cannot listen on port {port} for health probes ({reason}): set MENAGERIE_HEALTH_PORT to a free port from "
            "1024, or to 0 for none"
        ) from None


def hand_over_health_port(arbiter: Any) -> None:
    """Give the port to the new master of a SIGUSR2; called in its process, before it becomes one."""
    if arbiter.health_port:
        arbiter.health_port.set_inheritable(True)
        gunicorn_compat.set_in_new_master(arbiter, _HANDED_OVER, str(arbiter.health_port.fileno()))


def run_health_process(arbiter: Any) -> None:
    """Answer probes from before the first worker starts until after the last has ended, if the port is open."""
    if not arbiter.health_port:
        return
    process = HealthProcess(arbiter)

    def manage_workers(start_missing_workers: Callable[[], None]) -> None:
        process.keep_running()
        start_missing_workers()

    def stop(stop_service: Callable[..., None], *arguments: Any) -> None:
        if gunicorn_compat.has_newer_master(arbiter) or gunicorn_compat.has_older_master(arbiter):
            process.stop()  # the service goes on: the other master says so
        try:
            stop_service(*arguments)
        finally:
            process.stop()

    gunicorn_compat.wrap_manage_workers(arbiter, manage_workers)
    gunicorn_compat.wrap_stop(arbiter, stop)


class HealthProcess:
    """The process that answers probes, as the master sees it."""

    def __init__(self, arbiter: Any) -> None:
        self._arbiter = arbiter
        self._health = ServiceHealth(shared_counters(), arbiter.is_shutdown, time.monotonic())
        self._pid = 0
        self._forked_at = 0.0

    def keep_running(self) -> None:
        """Start the process, and start it again if it has ended."""
        if self._is_running() or time.monotonic() - self._forked_at < _RESTART_SECONDS:
            return
        if gunicorn_compat.has_older_master(self._arbiter) and not self._health.is_ready:
            return  # the older master still serves, and says so
        if self._pid:
            self._arbiter.log.error("menagerie: the process that answers health probes has ended: starting another")
        gc.freeze()  # it shares what the master has loaded
        self._forked_at = time.monotonic()
        master = os.getpid()
        try:
            self._pid = os.fork()
        except OSError as error:
            self._arbiter.log.error("menagerie: cannot answer health probes: %s", error)  # noqa: TRY400 (one line)
            return
        if not self._pid:
            self._run(master)

    def stop(self) -> None:
        """End the process, once it has answered the probes that it has accepted."""
        if not self._is_running():
            return
        os.kill(self._pid, END_SIGNAL)
        deadline = time.monotonic() + _STOP_SECONDS
        while self._is_running():
            if time.monotonic() > deadline:  # it is stopped
                os.kill(self._pid, signal.SIGKILL)
            time.sleep(_TICK_SECONDS)

    def _is_running(self) -> bool:
        try:
            return bool(self._pid) and os.waitpid(self._pid, os.WNOHANG) == (0, 0)
        except ChildProcessError:  # gunicorn has reaped it
            return False

    def _run(self, master: int) -> NoReturn:
        """Be the process. It outlives signals to the process group, as of systemd, and ends with the master."""
        try:
            for number in gunicorn_compat.handled_signals(self._arbiter):
                signal.signal(number, signal.SIG_IGN)
            for listener in gunicorn_compat.master_sockets(self._arbiter):
                listener.close()
            gc.enable()
            asyncio.run(serve_probes(self._arbiter.health_port, self._health, master))
        except BaseException:
            self._arbiter.log.exception("menagerie: cannot answer health probes")
        finally:  # nothing may return into the master's code
            os._exit(0)
