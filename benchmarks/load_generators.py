"""The load generators: wrk in a closed loop, `benchmarks.open_loop_client` in an open loop."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from benchmarks.exchanges import Exchange
from benchmarks.peers import ROOT
from benchmarks.results import Figures

_FIRST_ERROR = 400  # the lowest status that wrk counts as an error


class LoadGeneratorError(Exception):
    """wrk is not installed; the message says how to install it."""


def require_wrk() -> None:
    """Check that wrk is installed.

    Raises:
        LoadGeneratorError: it is not.
    """
    if shutil.which("wrk") is None:
        raise LoadGeneratorError("wrk is not installed: `apt-get install wrk`, or build it from its sources")


def run_closed_loop(port: int, exchange: Exchange, core: int, seconds: float) -> Figures:
    """Each connection sends again as soon as it has a response: ``requests, seconds, failures, p50_ms, p99_ms``.

    wrk counts whole seconds, and tells only success from failure: `server.check_status` compares the status itself.
    """
    with _start_wrk(port, exchange, core, seconds) as process:
        output, _ = process.communicate(timeout=seconds + 60)
    load = _last_line(output)
    refused, broken = load.pop("refused"), load.pop("broken")
    unexpected = refused if exchange.status < _FIRST_ERROR else load["requests"] - refused
    return {**load, "failures": broken + unexpected}


@contextmanager
def background_load(port: int, exchange: Exchange, core: int, seconds: float) -> Iterator[None]:
    """One connection sends without pause while something else is measured, for at most ``seconds``."""
    with _start_wrk(port, exchange._replace(connections=1), core, seconds):
        yield


def run_open_loop(port: int, exchange: Exchange, core: int, seconds: float, rate: float) -> Figures:
    """``rate`` requests a second, however late the responses are; `benchmarks.open_loop_client` has the figures."""
    copies = exchange.render()
    command = [sys.executable, "-m", "benchmarks.open_loop_client", "--port", port, "--size", len(copies[0])]
    command += ["--rate", rate, "--seconds", seconds, "--connections", exchange.connections]
    result = subprocess.run(
        _pinned(core, command),
        input=b"".join(copies),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        check=True,
        timeout=seconds + 60,
    )
    return _last_line(result.stdout)


@contextmanager
def _start_wrk(port: int, exchange: Exchange, core: int, seconds: float) -> Iterator[subprocess.Popen[bytes]]:
    copies = exchange.render()
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"".join(copies))
        file.flush()
        script = Path(__file__).with_name("wrk.lua")
        command = ["wrk", "-t1", f"-c{exchange.connections}", f"-d{max(1, round(seconds))}s", "--timeout", "30s"]
        command += ["-s", str(script), f"http://127.0.0.1:{port}"]
        environment = os.environ | {"BENCH_REQUESTS": file.name, "BENCH_SIZE": str(len(copies[0]))}
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
