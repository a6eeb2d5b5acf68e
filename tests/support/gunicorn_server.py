"""The service under gunicorn as `make run` starts it, in a process of its own."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import requests

ROOT = Path(__file__).resolve().parent.parent.parent
GUNICORN = [sys.executable, "-m", "service"]
_SETTINGS = ("MENAGERIE_", "PORT", "WEB_CONCURRENCY", "GUNICORN_", "AIP_", "AZUREML_", "SAGEMAKER_")
_HANDED_ON = {"MENAGERIE_FAST_PATH", "MENAGERIE_ACCEPTOR", "MENAGERIE_TIMEOUTS"}  # to run the tests without one of them


class Server(NamedTuple):
    url: str
    port: int
    process: subprocess.Popen[str]


def environment(**settings: str) -> dict[str, str]:
    """The environment of this process without settings, except `_HANDED_ON`, and with ``settings``."""
    inherited = {
        name: value for name, value in os.environ.items() if name in _HANDED_ON or not name.startswith(_SETTINGS)
    }
    return inherited | settings


_reserved: list[socket.socket] = []  # open until this process ends


def free_port() -> int:
    """A port that no other test gets before its server has started, nor after it has ended.

    A socket stays bound to it, so the kernel chooses it for nobody else; servers can bind it, as they set SO_REUSEADDR.
    """
    reservation = socket.socket()
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reservation.bind(("127.0.0.1", 0))
    _reserved.append(reservation)
    port: int = reservation.getsockname()[1]
    return port


@contextmanager
def serving(*arguments: str, **settings: str) -> Iterator[Server]:
    """A ready service, on ``PORT`` if that is given; afterwards it gets SIGTERM, unless it has ended, and is awaited.

    It drains for no time, unless ``settings`` say otherwise.
    """
    port = int(settings.pop("PORT", 0)) or free_port()
    scheme = "https" if "--certfile" in arguments else "http"
    command = [*GUNICORN, "--bind", f"127.0.0.1:{port}", *arguments]
    with serving_by(command, port, settings, scheme=scheme) as server:
        yield server


@contextmanager
def serving_by(
    command: Sequence[str], port: int, settings: Mapping[str, str], *, cwd: Path = ROOT, scheme: str = "http"
) -> Iterator[Server]:
    """As `serving`, by another command, which listens on ``port``."""
    with subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(**({"MENAGERIE_DRAIN_SECONDS": "0"} | dict(settings))),
        stderr=subprocess.PIPE,
        pipesize=2**20,  # it is read at the end, and lines that do not fit are dropped
        text=True,
    ) as process:
        server = Server(f"{scheme}://127.0.0.1:{port}", port, process)
        try:
            await_ready(server)
            yield server
        finally:
            process.terminate()
            process.communicate(timeout=60)


@contextmanager
def starting(*arguments: str, through: Sequence[str] = (), **settings: str) -> Iterator[subprocess.Popen[str]]:
    """The service as it starts, with no address but what is given; afterwards as `serving`.

    ``through`` is a command that executes the rest of its arguments, with all inheritable file descriptors.
    """
    with subprocess.Popen(
        [*through, *GUNICORN, *arguments],
        cwd=ROOT,
        env=environment(**({"MENAGERIE_DRAIN_SECONDS": "0"} | settings)),
        stderr=subprocess.PIPE,
        pipesize=2**20,
        close_fds=False,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=60)


def await_message(process: subprocess.Popen[str], part: str) -> str:
    """The next message in the log that contains ``part``.

    Raises:
        AssertionError: the process ended without one.
    """
    assert process.stderr
    seen = ""
    for line in process.stderr:
        seen += line
        message = str(json.loads(line)["message"])
        if part in message:
            return message
    raise AssertionError(seen)


def parse_log(stderr: str) -> list[dict[str, Any]]:
    """The lines of a log, each of which is a JSON document."""
    return [json.loads(line) for line in stderr.splitlines()]


def workers(server: Server) -> list[int]:
    """The process ids of the workers, oldest first."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def kill(server: Server) -> None:
    """Kill the service with its workers, unless it has ended; on SIGTERM an idle worker takes up to a second to end."""
    with suppress(FileNotFoundError):
        for pid in [server.process.pid, *workers(server)]:
            os.kill(pid, signal.SIGKILL)


def await_ready(server: Server, *, seconds: float = 60) -> None:
    """Return once ``/readyz`` says 200, and it is this server that listens there.

    Raises:
        AssertionError: the process ended, or the time is over.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the service ended: {server.process.communicate()[1]}"
        with suppress(requests.ConnectionError, requests.Timeout):
            if requests.get(f"{server.url}/readyz", timeout=5).ok and _listens(server):
                return
        time.sleep(0.05)
    raise AssertionError(f"not ready after {seconds} s")


def _listens(server: Server) -> bool:
    """Whether the process, or one that it started, listens on the port."""
    with suppress(psutil.NoSuchProcess):  # one has just ended
        process = psutil.Process(server.process.pid)
        for one in (process, *process.children(recursive=True)):
            sockets = one.net_connections("tcp")
            if any(one.laddr.port == server.port and one.status == psutil.CONN_LISTEN for one in sockets):
                return True
    return False


def await_workers(server: Server, condition: Callable[[list[int]], bool], *, seconds: float = 60) -> None:
    """Return once the condition holds for the workers' process ids.

    Raises:
        AssertionError: the time is over.
    """
    deadline = time.monotonic() + seconds
    while not condition(now := workers(server)):
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
