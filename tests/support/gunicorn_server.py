"""Starting the real thing: gunicorn as `make run` starts it, in a process of its own."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import requests

ROOT = Path(__file__).resolve().parent.parent.parent
GUNICORN = [sys.executable, "-m", "gunicorn", "--config", "service/gunicorn.conf.py"]
_OURS = ("MENAGERIE_", "PORT", "WEB_CONCURRENCY", "GUNICORN_")


class Server(NamedTuple):
    url: str
    port: int
    process: subprocess.Popen[str]


def environment(**settings: str) -> dict[str, str]:
    """The environment of this process without what would set up a service in it, and with ``settings``."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OURS)} | settings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def serving(*arguments: str, **settings: str) -> Iterator[Server]:
    """A ready service, on ``PORT`` if that is given; ended with SIGTERM, and awaited, if the test did not do so.

    It ends without the seconds in which callers elsewhere would learn of it, unless ``settings`` say otherwise.
    """
    settings = {"MENAGERIE_DRAIN_SECONDS": "0"} | settings
    port = int(settings.pop("PORT", 0)) or free_port()
    with subprocess.Popen(
        [*GUNICORN, "--bind", f"127.0.0.1:{port}", *arguments],
        cwd=ROOT,
        env=environment(**settings),
        stderr=subprocess.PIPE,
        pipesize=2**20,  # nobody reads it before the end, and what does not fit in is lost
        text=True,
    ) as process:
        scheme = "https" if "--certfile" in arguments else "http"
        server = Server(f"{scheme}://127.0.0.1:{port}", port, process)
        try:
            await_ready(server)
            yield server
        finally:
            process.terminate()
            process.communicate(timeout=60)


def told(said: str) -> list[dict[str, Any]]:
    """What a service said on stderr, each line a JSON document."""
    return [json.loads(line) for line in said.splitlines()]


def workers(server: Server) -> list[int]:
    """The processes that answer, oldest first."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
    return [int(pid) for pid in children.split()]


def await_ready(server: Server, *, seconds: float = 60) -> None:
    """Return once ``/readyz`` says 200.

    Raises:
        AssertionError: the process ended, or the time is over.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        assert server.process.poll() is None, f"the service ended: {server.process.communicate()[1]}"
        try:
            if requests.get(f"{server.url}/readyz", timeout=5).ok:
                return
        except (requests.ConnectionError, requests.Timeout):
            time.sleep(0.05)
    raise AssertionError(f"not ready after {seconds} s")


def await_workers(server: Server, fit: Callable[[list[int]], bool], *, seconds: float = 60) -> None:
    """Return once the master's children are as they should be.

    Raises:
        AssertionError: the time is over.
    """
    deadline = time.monotonic() + seconds
    while not fit(now := workers(server)):
        assert time.monotonic() < deadline, now
        time.sleep(0.05)
