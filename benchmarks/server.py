"""A server under test: its start on a core, its readiness, the check of its predictions and its end."""

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

from benchmarks import process_tree
from benchmarks.exchanges import Exchange
from benchmarks.peers import PEERS, ROOT, Peer, PeerError, install_peer
from models.bundle import Bundle

START_SECONDS = 120
_SETTING_PREFIXES = ("MENAGERIE_", "GUNICORN_", "WEB_CONCURRENCY", "PORT")


@dataclass(frozen=True)
class Server:
    """A ready server; ``start_seconds`` is the time from exec to its first 200: see `Peer.ready`."""

    peer: Peer
    port: int
    start_seconds: float


@contextmanager
def start_server(
    peer: Peer, bundle: Bundle, cores: Collection[int], workers: int = 1, root: Path = ROOT
) -> Iterator[Server]:
    """A server on these cores that predicts every golden row correctly; on exit all its processes are terminated.

    A peer that runs the project's code runs that of the checkout at ``root``.

    Raises:
        PeerError: it cannot be installed, does not start, or predicts a wrong label.
    """
    python = install_peer(peer)
    port, second_port = _free_ports()
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, (Path(scratch) / "log").open("w+") as log:
        variables = {
            "python": str(python),
            "bin": str(python.parent),
            "port": str(port),
            "port2": str(second_port),
            "workers": str(workers),
            "folder": str(peer.folder),
            "scratch": scratch,
            "store": str(bundle.folder.parent.parent),
        }
        try:
            started = time.perf_counter()
            with pinned_to(cores):
                process = subprocess.Popen(
                    [argument.format(**variables) for argument in peer.command],
                    cwd=root if peer.project else peer.folder,
                    env=_environment(peer, bundle, variables),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            first = peer.exchange(bundle.manifest, bundle.manifest.golden_rows[0].tolist())
            request = f"GET {peer.ready} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode() if peer.ready else _plain(first)
            _wait_until_ready(process, port, request, log.name)
            server = Server(peer, port, time.perf_counter() - started)
            _check_golden_rows(server, bundle)
            yield server
        finally:
            process_tree.terminate()


def check_status(port: int, exchange: Exchange) -> None:
    """Send a request once.

    Raises:
        PeerError: its response has another status than the exchange expects.
        OSError, http.client.HTTPException: no response.
    """
    status, _ = _send(port, exchange.render()[0])
    if status != exchange.status:
        raise PeerError(f"{exchange.path} answers {status} instead of {exchange.status}")


def _send(port: int, request: bytes) -> tuple[int, bytes]:
    """Status and body of the response to the bytes of a request."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


def _plain(exchange: Exchange) -> bytes:
    return exchange._replace(traced=False).render()[0]


def _wait_until_ready(process: subprocess.Popen[bytes], port: int, request: bytes, log: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if _send(port, request)[0] == http.client.OK:
                return
        except (OSError, http.client.HTTPException):
            pass
        time.sleep(0.005)
    output = Path(log).read_text(errors="replace").strip().splitlines()
    fate = f"not ready after {START_SECONDS} s" if process.poll() is None else f"ended with {process.returncode}"
    lines = [line for line in output if "error" in line.lower()] or output or ["none"]
    raise PeerError(f"{fate}; its last words: {lines[-1].strip()[:300]}")


def _check_golden_rows(server: Server, bundle: Bundle) -> None:
    """Compare the label of every golden row with the bundle's, unless the server predicts nothing."""
    manifest = bundle.manifest
    for golden, row in zip(manifest.golden, manifest.golden_rows.tolist(), strict=True) if server.peer.label else ():
        outputs = golden.outputs[manifest.layers[-1].name]
        expected = manifest.labels[outputs.index(max(outputs))]
        status, body = _send(server.port, _plain(server.peer.exchange(manifest, row)))
        label = server.peer.parse_label(body)
        if status != http.client.OK or label != expected:
            raise PeerError(f"answers {status} and {label!r} where {expected!r} is right")


def _environment(peer: Peer, bundle: Bundle, variables: dict[str, str]) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_SETTING_PREFIXES)}
    configured = {name: value.format(**variables) for name, value in peer.environment.items()}
    return inherited | {
        "PYTHONPATH": str(PEERS / "model"),
        "BENCH_BUNDLE": str(bundle.folder),
        "BENCH_FEATURES": ",".join(bundle.manifest.feature_names),
        "BENCH_LABELS": ",".join(bundle.manifest.labels),
        "BENCH_WORKERS": variables["workers"],
        **configured,
    }


@contextmanager
def pinned_to(cores: Collection[int]) -> Iterator[None]:
    """Run this thread, and the processes that it starts in the block, on these cores only."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _free_ports() -> tuple[int, int]:
    """Two different ports; the second is for a peer that needs another one."""
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        return first.getsockname()[1], second.getsockname()[1]
