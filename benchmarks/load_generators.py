"""The load generators: wrk in a closed loop, `benchmarks.open_loop_client` in an open loop."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.peers import ROOT
from benchmarks.results import Figures
from benchmarks.server import Server

CONNECTIONS = 16
RATE = 1000  # requests a second in the open loop
NO_HEADERS: Mapping[str, str] = {}


class LoadGeneratorError(Exception):
    """wrk is not installed; the message says how to install it."""


def require_wrk() -> None:
    """Check that wrk is installed.

    Raises:
        LoadGeneratorError: it is not.
    """
    if shutil.which("wrk") is None:
        raise LoadGeneratorError("wrk is not installed: `apt-get install wrk`, or build it from its sources")


def run_closed_loop(  # noqa: PLR0913, PLR0917 (what to send, and how hard)
    server: Server,
    body: bytes,
    core: int,
    seconds: float,
    connections: int = CONNECTIONS,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Figures:
    """Each connection sends again as soon as it has a response: ``requests, seconds, failures, p50_ms, p99_ms``."""
    with _start_wrk(server, body, core, seconds, connections, headers) as process:
        output, _ = process.communicate(timeout=seconds + 60)
    return _last_line(output)


@contextmanager
def background_load(server: Server, body: bytes, core: int, seconds: float) -> Iterator[None]:
    """One connection sends without pause while something else is measured, for at most ``seconds``."""
    with _start_wrk(server, body, core, seconds, 1):
        yield


def run_open_loop(server: Server, body: bytes, core: int, seconds: float, rate: float = RATE) -> Figures:
    """``rate`` requests a second, however late the responses are; `benchmarks.open_loop_client` has the figures."""
    command = [sys.executable, "-m", "benchmarks.open_loop_client", "--port", server.port, "--path", server.peer.path]
    command += ["--rate", rate, "--seconds", seconds, "--connections", CONNECTIONS]
    result = subprocess.run(
        _pinned(core, command), input=body, cwd=ROOT, stdout=subprocess.PIPE, check=True, timeout=seconds + 60
    )
    return _last_line(result.stdout)


@contextmanager
def _start_wrk(  # noqa: PLR0913, PLR0917 (as `run_closed_loop`)
    server: Server,
    body: bytes,
    core: int,
    seconds: float,
    connections: int,
    headers: Mapping[str, str] = NO_HEADERS,
) -> Iterator[subprocess.Popen[bytes]]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        script = Path(__file__).with_name("wrk.lua")
        url = f"http://127.0.0.1:{server.port}{server.peer.path}"
        command = [
            "wrk",
            "-t1",
            f"-c{connections}",
            f"-d{max(1, round(seconds))}s",
            "--timeout",
            "30s",
            "-s",
            script,
            url,
            "--",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        environment = os.environ | {"BENCH_BODY": file.name}
        with subprocess.Popen(_pinned(core, command), env=environment, stdout=subprocess.PIPE) as process:
            try:
                yield process
            finally:
                process.kill()


def _pinned(core: int, command: Sequence[object]) -> list[str]:
    return ["taskset", "--cpu-list", str(core), *map(str, command)]


def _last_line(output: bytes) -> Figures:
    figures: Figures = json.loads(output.splitlines()[-1])
    return figures
