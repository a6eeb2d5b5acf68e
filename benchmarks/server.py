"""A server under test: started on its core, awaited, asked whether it is right, ended."""

import http.client
import os
import socket
import subprocess
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import tree
from benchmarks.peers import PEERS, ROOT, Peer, PeerError, install
from models.bundle import Bundle

START_SECONDS = 120
_SETTINGS = ("MENAGERIE_", "GUNICORN_", "WEB_CONCURRENCY", "PORT")


@dataclass(frozen=True)
class Server:
    """A server that answers. ``start`` is the time from exec to its first 200 to a prediction, in seconds."""

    peer: Peer
    port: int
    start: float


@contextmanager
def serving(
    peer: Peer, bundle: Bundle, cores: Collection[int], workers: int = 1, root: Path = ROOT
) -> Iterator[Server]:
    """A server on these cores that has named every golden row right; all its processes are ended at the end.

    A peer that runs the project's code runs that of the checkout at ``root``.

    Raises:
        PeerError: it cannot be had, does not start, or is wrong.
    """
    python = install(peer)
    port = _free_port()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, (Path(scratch) / "log").open("w+") as log:
        words = {
            "python": str(python),
            "bin": str(python.parent),
            "port": str(port),
            "port2": str(_free_port()),
            "workers": str(workers),
            "folder": str(peer.folder),
            "scratch": scratch,
            "store": str(bundle.folder.parent.parent),
        }
        try:
            started = time.perf_counter()
            with on(cores):
                process = subprocess.Popen(
                    [word.format(**words) for word in peer.command],
                    cwd=root if peer.project else peer.folder,
                    env=_environment(peer, bundle, words),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            _await(process, peer, port, peer.question(bundle.manifest, bundle.manifest.golden[0].features), log.name)
            server = Server(peer, port, time.perf_counter() - started)
            _check(server, bundle)
            yield server
        finally:
            tree.end()


def ask(port: int, path: str, body: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to one POST.

    Raises:
        OSError, http.client.HTTPException: no answer.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _await(process: subprocess.Popen[bytes], peer: Peer, port: int, body: bytes, log: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if ask(port, peer.path, body)[0] == http.client.OK:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.005)
    said = Path(log).read_text(errors="replace").strip().splitlines()
    fate = f"not ready after {START_SECONDS} s" if process.poll() is None else f"ended with {process.returncode}"
    telling = [line for line in said if "error" in line.lower()] or said or ["none"]
    raise PeerError(f"{fate}; its last words: {telling[-1].strip()[:300]}")


def _check(server: Server, bundle: Bundle) -> None:
    """Every golden row must get the label that the bundle expects; a server that predicts nothing has none."""
    manifest = bundle.manifest
    for golden in manifest.golden if server.peer.label else ():
        outputs = golden.outputs[manifest.layers[-1].name]
        expected = manifest.labels[outputs.index(max(outputs))]
        status, body = ask(server.port, server.peer.path, server.peer.question(manifest, golden.features))
        label = server.peer.answered(body)
        if status != http.client.OK or label != expected:
            raise PeerError(f"answers {status} and {label!r} where {expected!r} is right")


def _environment(peer: Peer, bundle: Bundle, words: dict[str, str]) -> dict[str, str]:
    own = {name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)}
    given = {name: value.format(**words) for name, value in peer.environment.items()}
    return own | {
        "PYTHONPATH": str(PEERS / "model"),
        "BENCH_BUNDLE": str(bundle.folder),
        "BENCH_FEATURES": ",".join(bundle.manifest.feature_names),
        "BENCH_LABELS": ",".join(bundle.manifest.labels),
        "BENCH_WORKERS": words["workers"],
        **given,
    }


@contextmanager
def on(cores: Collection[int]) -> Iterator[None]:
    """What is started meanwhile runs on these cores only: affinity is inherited."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
