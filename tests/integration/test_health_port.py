"""MENAGERIE_HEALTH_PORT: probes on a port of their own say what the workers can do, whatever happens to them."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from support.bad_input import GOOD
from support.gunicorn_server import (
    GUNICORN,
    ROOT,
    Server,
    await_message,
    await_workers,
    environment,
    free_port,
    parse_log,
    serving,
    starting,
    workers,
)

JSON = {"Content-Type": "application/json"}


class Service(NamedTuple):
    """A service with a health port; the master starts the process that answers probes before any worker."""

    server: Server
    health_port: int
    health_process: int

    @property
    def workers(self) -> list[int]:
        return [pid for pid in workers(self.server) if pid != self.health_process]


@contextmanager
def probed(*arguments: str, **settings: str) -> Iterator[Service]:
    port = free_port()
    with serving(*arguments, MENAGERIE_HEALTH_PORT=str(port), **settings) as server:
        await_status(port, "/readyz", 200)
        yield Service(server, port, workers(server)[0])


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    with probed() as started:
        yield started


def probe(port: int, path: str) -> int:
    """The status of a probe; 0 if nobody listens."""
    try:
        return requests.get(f"http://127.0.0.1:{port}{path}", timeout=10).status_code
    except requests.ConnectionError:
        return 0


def await_status(port: int, path: str, status: int) -> None:
    deadline = time.monotonic() + 60
    while (now := probe(port, path)) != status:
        assert time.monotonic() < deadline, now
        time.sleep(0.02)


def fail(**settings: str) -> str:
    """The only line of a start that fails, with exit code 1."""
    ended = subprocess.run(
        GUNICORN, cwd=ROOT, env=environment(**settings), capture_output=True, text=True, timeout=60, check=False
    )
    lines = [line for line in parse_log(ended.stderr) if line["level"] != "info"]
    assert (ended.returncode, len(lines)) == (1, 1), ended.stderr
    return str(lines[0]["message"])


def children(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


@pytest.fixture
def slow_start(tmp_path: Path) -> str:
    """A configuration file with which all workers but the first take three seconds to start."""
    configuration, own = tmp_path / "slow.conf.py", ROOT / "service" / "gunicorn.conf.py"
    slow = "def post_fork(server, worker):\n    import time\n    time.sleep(3 * (worker.age > 1))\n"
    configuration.write_text(f"exec(compile({own.read_text()!r}, {str(own)!r}, 'exec'))\n{slow}")
    return str(configuration)


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        ("GET /livez HTTP/1.1", 200),
        ("GET /readyz HTTP/1.1", 200),
        ("GET /readyz?verbose HTTP/1.1", 200),
        ("GET /readyz HTTP/1.0", 200),
        ("HEAD /readyz HTTP/1.1", 200),
        ("POST /readyz HTTP/1.1", 405),
        ("GET / HTTP/1.1", 404),
        ("GET /predict HTTP/1.1", 404),
        ("GET //readyz HTTP/1.1", 404),
        ("GET /readyz", 400),
        ("zebra", 400),
        ("GET /r\xe9adyz HTTP/1.1", 400),
    ],
)
def test_the_port_answers_probes_only(service: Service, request_line: str, status: int) -> None:
    """A well-formed response and the end of the connection; errors are problem details, as on the service's port."""
    with socket.create_connection(("127.0.0.1", service.health_port)) as client:
        client.sendall(f"{request_line}\r\nHost: x\r\n\r\n".encode("latin-1"))
        with client.makefile("rb") as response:
            head, _, body = response.read().partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    assert head.startswith(f"HTTP/1.1 {status} ".encode())
    assert (fields["Connection"], fields["Cache-Control"]) == ("close", "no-store")
    assert "Date" in fields
    assert (b"" if "HEAD" in request_line else body) == body
    assert int(fields["Content-Length"]) == len(body) or not body
    assert fields["Content-Type"] == ("application/json" if status == 200 else "application/problem+json")
    assert ("Allow" in fields) == (status == 405)


def test_both_ports_say_the_same(service: Service) -> None:
    """Body for body, except which models there are, on IPv4 and IPv6."""
    for path in ("/livez", "/readyz"):
        expected = requests.get(service.server.url + path, timeout=10).json()
        expected.pop("models", None)
        hosts = ["127.0.0.1", "[::1]"] if socket.has_dualstack_ipv6() else ["127.0.0.1"]
        for host in hosts:
            assert requests.get(f"http://{host}:{service.health_port}{path}", timeout=10).json() == expected


def test_no_client_holds_up_a_probe(service: Service) -> None:
    """Silent ones, those with half a head, and those whose head is too long: all are cut off, probes are answered."""
    with ExitStack() as stack:
        address = ("127.0.0.1", service.health_port)
        clients = [stack.enter_context(socket.create_connection(address, timeout=60)) for _ in range(300)]
        for number, client in enumerate(clients):
            with suppress(OSError):  # it is cut off already
                client.sendall([b"", b"GET /readyz HTTP/1.1\r\nA: ", b"A" * 10_000][number % 3])
        assert probe(service.health_port, "/readyz") == 200
        for client in clients:
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""


def test_ready_means_that_a_worker_accepts() -> None:
    """From the first moment of the start: 503 at most, until a prediction is answered; it is alive all the while."""
    port, health_port = free_port(), free_port()
    with starting("--bind", f"127.0.0.1:{port}", MENAGERIE_HEALTH_PORT=str(health_port)) as process:
        while not (alive := probe(health_port, "/livez")):
            assert process.poll() is None
        assert alive == 200
        while (ready := probe(health_port, "/readyz")) != 200:
            assert ready == 503
        assert requests.post(f"http://127.0.0.1:{port}/predict", GOOD, headers=JSON, timeout=10).ok
        assert f"(health probes: http://localhost:{health_port}/readyz); try:" in await_message(process, "serving")


@pytest.mark.parametrize("fault", ["the only worker is killed", "the only worker is told to end", "SIGHUP"])
def test_not_ready_while_no_worker_accepts(slow_start: str, fault: str) -> None:
    """Nor does the service count as dead then."""
    with probed("--config", slow_start, WEB_CONCURRENCY="1") as service:
        (worker,) = service.workers
        if fault == "SIGHUP":
            service.server.process.send_signal(signal.SIGHUP)
        else:
            os.kill(worker, signal.SIGKILL if "killed" in fault else signal.SIGTERM)
        await_status(service.health_port, "/readyz", 503)
        assert probe(service.health_port, "/livez") == 200
        await_status(service.health_port, "/readyz", 200)
        assert worker not in service.workers
        assert requests.post(f"{service.server.url}/predict", GOOD, headers=JSON, timeout=10).ok


def test_one_of_two_workers_is_enough(slow_start: str) -> None:
    """While the other is replaced, the service stays ready."""
    with probed("--config", slow_start, WEB_CONCURRENCY="2") as service:
        await_workers(service.server, lambda now: len(now) == 3)
        second = service.workers[1]
        os.kill(second, signal.SIGKILL)
        await_workers(service.server, lambda now: len(now) == 3 and second not in now)
        assert {probe(service.health_port, "/readyz") for _ in range(100)} == {200}


def test_workers_that_hang_are_neither_ready_nor_alive() -> None:
    """First not ready, later not alive; gunicorn kills them after its timeout, and new ones are both."""
    with probed(WEB_CONCURRENCY="1") as service:  # a second worker might start after the others are stopped
        for pid in service.workers:
            os.kill(pid, signal.SIGSTOP)
        await_status(service.health_port, "/readyz", 503)
        assert probe(service.health_port, "/livez") == 200
        await_status(service.health_port, "/livez", 503)
        assert probe(service.health_port, "/readyz") == 503
        await_status(service.health_port, "/readyz", 200)
        assert probe(service.health_port, "/livez") == 200


def test_the_port_is_open_until_the_service_has_ended() -> None:
    """Not ready from SIGTERM on, but alive; signals to all processes, as of systemd, do not change that."""
    with probed(MENAGERIE_DRAIN_SECONDS="2") as service:
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGWINCH):
            os.kill(service.health_process, number)
        assert probe(service.health_port, "/readyz") == 200
        service.server.process.terminate()
        await_status(service.health_port, "/readyz", 503)
        while requests.get(f"{service.server.url}/livez", timeout=10).headers["Connection"] != "close":
            pass
        assert (probe(service.health_port, "/readyz"), probe(service.health_port, "/livez")) == (503, 200)
        assert service.server.process.wait(30) == 0
        assert probe(service.health_port, "/livez") == 0


def test_a_stopped_process_does_not_keep_the_service_from_ending() -> None:
    """The one that answers probes is killed then."""
    with probed() as service:
        os.kill(service.health_process, signal.SIGSTOP)
        service.server.process.terminate()
        assert service.server.process.wait(30) == 0
        assert probe(service.health_port, "/livez") == 0


def test_nobody_answers_for_a_master_that_is_gone() -> None:
    """Killed, it cannot end the process that answers probes."""
    with probed() as service:
        service.server.process.kill()
        await_status(service.health_port, "/livez", 0)


def test_the_process_that_answers_is_replaced() -> None:
    """Whatever ended it."""
    with probed() as service:
        os.kill(service.health_process, signal.SIGKILL)
        await_status(service.health_port, "/readyz", 200)
        assert service.health_process not in workers(service.server)
        message = await_message(service.server.process, "health probes has ended")
    assert message == "menagerie: the process that answers health probes has ended: starting another"


@pytest.mark.parametrize("ended", ["old", "new"])
def test_two_masters_share_the_port(ended: str) -> None:
    """SIGUSR2 starts the new one, SIGTERM ends either; all the while one of them answers, always ready."""
    with probed(MENAGERIE_DRAIN_SECONDS="1") as service:
        statuses: set[int] = set()
        old = service.server.process
        await_message(old, "ASGI server listening")
        old.send_signal(signal.SIGUSR2)
        new = int(await_message(old, "Listening at").rpartition("(")[2].rstrip(")"))
        try:
            while len(children(new)) < 3:
                statuses.add(probe(service.health_port, "/readyz"))
            os.kill(old.pid if ended == "old" else new, signal.SIGTERM)
            while old.poll() is None if ended == "old" else Path(f"/proc/{new}").exists():
                statuses.add(probe(service.health_port, "/readyz"))
            statuses |= {probe(service.health_port, "/readyz") for _ in range(100)}
        finally:
            with suppress(ProcessLookupError):
                os.kill(new, signal.SIGTERM)
        old.terminate()
        await_status(service.health_port, "/readyz", 0)
    assert statuses == {200}


def test_a_port_that_cannot_be_used_fails_the_start() -> None:
    """With one line that names the setting; no file of a unix socket is left behind."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert fail(PORT=str(free_port()), MENAGERIE_HEALTH_PORT=str(port)) == (
            f"menagerie: cannot listen on port {port} for health probes (Address already in use): "
            "set MENAGERIE_HEALTH_PORT to a free port from 1024, or to 0 for none"
        )


@pytest.mark.parametrize("option", ["--bind=unix:{path}", "--reuse-port", "--pid={path}"])
def test_the_port_is_the_same_however_the_service_listens(tmp_path: Path, option: str) -> None:
    """Beside a unix socket, with sockets that each worker opens, and without what the settings can switch off."""
    port, path = free_port(), tmp_path / "s"
    off = {f"MENAGERIE_{name}": "false" for name in ("FAST_PATH", "ACCEPTOR", "TIMEOUTS")}
    settings = {"PORT": str(free_port()), "MENAGERIE_HEALTH_PORT": str(port)} | off
    with starting(option.format(path=path), **settings) as process:
        await_status(port, "/readyz", 200)
        process.terminate()
        assert process.wait(30) == 0
    assert (probe(port, "/livez"), path.exists()) == (0, False)


def test_0_opens_no_port() -> None:
    """As in an image that sets it; nor does an empty value."""
    for value in ("0", ""):
        with serving(MENAGERIE_HEALTH_PORT=value, WEB_CONCURRENCY="1") as server:
            assert len(workers(server)) == 1
