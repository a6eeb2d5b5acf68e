"""The fast path, the acceptor and the timeouts, each on or off: every combination serves, and drains without a loss."""

import itertools
import socket
import time

import pytest
import requests
from support.bad_input import GOOD
from support.closed_loop_clients import Load, post
from support.fault_reports import require_nothing_lost
from support.gunicorn_server import await_ready, serving, workers

SWITCHES = ("MENAGERIE_FAST_PATH", "MENAGERIE_ACCEPTOR", "MENAGERIE_TIMEOUTS")
COMBINATIONS = [dict(zip(SWITCHES, values, strict=True)) for values in itertools.product(("true", "false"), repeat=3)]
JSON = {"Content-Type": "application/json"}


@pytest.mark.parametrize("switches", COMBINATIONS, ids=lambda switches: " ".join(switches.values()))
def test_every_combination_serves_and_drains(switches: dict[str, str]) -> None:
    """Good and bad requests are answered; on SIGTERM none is lost, and an idle connection delays nothing."""
    with serving(**switches, MENAGERIE_DRAIN_SECONDS="1", WEB_CONCURRENCY="1") as server:
        with requests.Session() as session:
            for _ in range(2):
                answer = session.post(f"{server.url}/predict", GOOD, headers=JSON, timeout=10)
                assert (answer.status_code, answer.json()["label"]) == (200, "cat")
                answer = session.post(f"{server.url}/predict", json={"features": [1]}, timeout=10)
                assert answer.status_code == 422
        whole = post("/predict", GOOD)
        with (
            socket.create_connection(("127.0.0.1", server.port), timeout=10),
            socket.create_connection(("127.0.0.1", server.port), timeout=10) as late,
        ):
            late.sendall(whole[:-10])
            with Load(server.port, clients=4) as load:
                time.sleep(0.2)
                server.process.terminate()
                time.sleep(0.5)
            late.sendall(whole[-10:])
            response = late.recv(65_536)
            assert response.startswith(b"HTTP/1.1 200")
            assert b"connection: close" in response.lower()
            assert server.process.wait(10) == 0
    require_nothing_lost(load.result)


def test_a_worker_is_replaced_without_all_three() -> None:
    """SIGHUP and max_requests work as ever: responses announce the close, and nothing is lost."""
    switches = dict.fromkeys(SWITCHES, "false")
    with serving("--max-requests=200", **switches, WEB_CONCURRENCY="2") as server:
        before = workers(server)
        with Load(server.port, clients=4) as load:
            while set(workers(server)) & set(before):
                time.sleep(0.05)
            await_ready(server)
    require_nothing_lost(load.result)


def test_an_idle_connection_is_closed_without_the_timeouts() -> None:
    """Gunicorn's ``keepalive`` holds on the fast path too, once a request was answered."""
    with (
        serving("--keep-alive=1", MENAGERIE_FAST_PATH="true", MENAGERIE_TIMEOUTS="false") as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=10) as idle,
    ):
        idle.sendall(post("/predict", GOOD))
        assert idle.recv(65_536).startswith(b"HTTP/1.1 200")
        assert idle.recv(1) == b""
