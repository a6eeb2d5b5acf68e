"""The helpers that start the service for tests: one test never reaches the server of another."""

import socket
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.gunicorn_server import Server, await_ready, free_port


def choose_port() -> int:
    """A port that the kernel chooses for a socket, as that of a client, another test or another program."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def test_a_free_port_stays_reserved() -> None:
    """Nobody else gets it by chance, but a server can listen on it, and another one after that."""
    ports = {free_port() for _ in range(300)}
    assert len(ports) == 300
    assert not ports & {choose_port() for _ in range(3000)}
    for _ in range(2):
        with socket.create_server(("127.0.0.1", min(ports))) as listener:
            socket.create_connection(listener.getsockname()).close()


class Ready(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()


def test_only_the_started_process_counts_as_ready() -> None:
    """Not a server that another test runs on the port."""
    with (
        ThreadingHTTPServer(("127.0.0.1", 0), Ready) as other,
        subprocess.Popen(["sleep", "60"], text=True) as process,
    ):
        threading.Thread(target=other.serve_forever, daemon=True).start()
        started = Server(f"http://127.0.0.1:{other.server_port}", other.server_port, process)
        try:
            with pytest.raises(AssertionError, match="not ready"):
                await_ready(started, seconds=1)
        finally:
            other.shutdown()
            process.kill()
