"""Where the service listens: the sockets that it opens or is given, what it says of them, and what it leaves behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

import pytest
import requests
from support.bad_input import GOOD
from support.closed_loop_clients import post
from support.gunicorn_server import (
    GUNICORN,
    ROOT,
    await_message,
    environment,
    free_port,
    parse_log,
    starting,
)

Process = subprocess.Popen[str]
_STARTED = "serving animals 1 at"
_LOCALHOST = "127.0.0.1"

# Executes the rest of its arguments as systemd does: the socket as file descriptor 3, named by two variables.
_ACTIVATE = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ |= {"LISTEN_FDS": sys.argv[2], "LISTEN_PID": str(os.getpid())}
os.execv(sys.argv[3], sys.argv[3:])
"""


def activated(listener: socket.socket, count: str = "1") -> list[str]:
    """The command through which the service is started, as by systemd."""
    listener.set_inheritable(True)
    return [sys.executable, "-c", _ACTIVATE, str(listener.fileno()), count]


def run_announced_command(process: Process) -> tuple[str, bytes]:
    """What the log says of the addresses, and the output of its curl command."""
    where, _, curl = await_message(process, _STARTED).partition("; try:\n")
    command = f"{curl} --silent --retry 20 --retry-all-errors --retry-delay 1"
    return where, subprocess.run(command, shell=True, capture_output=True, check=True, timeout=60).stdout


def ask(path: str, request: bytes) -> bytes:
    """The response to a request to a unix socket."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(30)
        client.connect(path)
        client.sendall(request)
        return client.recv(65_536)


def fail(*arguments: str, through: Sequence[str] = (), **settings: str) -> str:
    """The only line of a start that fails, with exit code 1."""
    ended = subprocess.run(
        [*through, *GUNICORN, *arguments],
        cwd=ROOT,
        env=environment(**settings),
        capture_output=True,
        close_fds=False,
        text=True,
        timeout=60,
        check=False,
    )
    lines = [line for line in parse_log(ended.stderr) if line["level"] != "info"]
    assert (ended.returncode, len(lines)) == (1, 1), ended.stderr
    assert "exception" not in lines[0]
    return str(lines[0]["message"]).removeprefix("menagerie: ")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A path for a unix socket, shorter than the kernel's limit."""
    return tmp_path / "s"


@pytest.fixture
def abstract_socket(tmp_path: Path) -> tuple[str, str]:
    """A configuration file that binds an abstract socket, which no command line can name, and its name."""
    configuration, name = tmp_path / "abstract.conf.py", f"menagerie-{os.getpid()}"
    own = ROOT / "service" / "gunicorn.conf.py"
    bind = f"bind = 'unix:\\0{name}'"
    configuration.write_text(f"exec(compile({own.read_text()!r}, {str(own)!r}, 'exec'))\n{bind}\n")
    return str(configuration), name


@pytest.mark.parametrize(
    ("bind", "expected"),
    [
        ("127.0.0.1:0", "http://localhost:"),
        ("[::1]:0", "http://[::1]:"),
        ("[::]:0", "http://localhost:"),
        ("unix:{path}", "unix:{path}"),
    ],
)
def test_the_announced_command_works(path: Path, bind: str, expected: str) -> None:
    """With the port that the kernel chose, brackets around an IPv6 address, and curl's option for a unix socket."""
    with starting("--bind", bind.format(path=path)) as process:
        where, answer = run_announced_command(process)
    assert f"at {expected.format(path=path)}" in where
    assert not where.endswith(":0")
    assert answer.startswith(b'{"label":')
    assert process.returncode == 0


def test_port_0_is_announced_as_the_real_port() -> None:
    """As some platforms and many tests set it."""
    with starting(PORT="0") as process:
        where, answer = run_announced_command(process)
    assert int(where.rpartition(":")[2]) > 0
    assert answer.startswith(b'{"label":')


def test_an_abstract_socket_is_announced_and_served(abstract_socket: tuple[str, str]) -> None:
    """With an @, as other tools write it; it has no file to remove at the end."""
    configuration, name = abstract_socket
    with starting("--config", configuration) as process:
        where, answer = run_announced_command(process)
    assert where.endswith(f"unix:@{name}")
    assert answer.startswith(b'{"label":')
    assert process.returncode == 0


def test_every_address_is_announced(path: Path) -> None:
    """Two ports and a unix socket, all of which are served."""
    with starting("--bind", "127.0.0.1:0", "--bind", "[::1]:0", "--bind", f"unix:{path}") as process:
        where, _ = run_announced_command(process)
        first, second, third = where.split(" at ")[1].split(", ")
        for url in (first, second):
            assert requests.get(f"{url}/readyz", timeout=10).ok
        assert third == f"unix:{path}"
        for request in (post("/predict", GOOD), post("/explain", GOOD), b"GET /model HTTP/1.1\r\nHost: x\r\n\r\n"):
            assert ask(str(path), request).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_sockets_of_systemd_are_announced(family: socket.AddressFamily) -> None:
    """Not port 8000, nor PORT: the sockets that are handed over decide."""
    with socket.socket(family) as listener:
        listener.bind(("::1" if family == socket.AF_INET6 else _LOCALHOST, 0))
        listener.listen()
        with starting(through=activated(listener), PORT=str(free_port())) as process:
            where, answer = run_announced_command(process)
        assert where.endswith(f":{listener.getsockname()[1]}")
    assert answer.startswith(b'{"label":')
    assert process.returncode == 0


def test_a_unix_socket_of_systemd_keeps_its_file(path: Path) -> None:
    """It belongs to systemd, which starts the service again at the next connection."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with starting(through=activated(listener)) as process:
            where, answer = run_announced_command(process)
    assert where.endswith(f"unix:{path}")
    assert answer.startswith(b'{"label":')
    assert process.returncode == 0
    assert path.is_socket()


def test_a_file_descriptor_is_announced_and_keeps_its_file(path: Path) -> None:
    """The parent process has opened it; the service neither takes the name nor removes it."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.set_inheritable(True)
        with starting("--bind", f"fd://{listener.fileno()}") as process:
            where, answer = run_announced_command(process)
    assert where.endswith(f"unix:{path}")
    assert answer.startswith(b'{"label":')
    assert process.returncode == 0
    assert path.is_socket()


def test_a_second_instance_shares_the_port() -> None:
    """With --reuse-port; each of two instances is announced, and the second serves on after the first has ended."""
    port = free_port()
    options = ("--reuse-port", "--bind", f"127.0.0.1:{port}")
    with starting(*options) as first:
        assert await_message(first, _STARTED).split("; try")[0].endswith(f":{port}")
        await_message(first, "ASGI server listening")
        with starting(*options) as second:
            await_message(second, "ASGI server listening")
            first.terminate()
            assert first.wait(30) == 0
            assert requests.get(f"http://127.0.0.1:{port}/readyz", timeout=10).ok


def test_the_file_of_a_unix_socket_is_removed_after_draining(path: Path) -> None:
    """Clients can connect while the service drains; then the file is gone."""
    with starting("--bind", f"unix:{path}", MENAGERIE_DRAIN_SECONDS="2", WEB_CONCURRENCY="1") as process:
        await_message(process, "ASGI server listening")
        process.terminate()
        await_message(process, "Handling signal: term")
        ready = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
        while (answer := ask(str(path), ready)).startswith(b"HTTP/1.1 200"):
            pass
        assert answer.startswith(b"HTTP/1.1 503")
        assert ask(str(path), post("/predict", GOOD)).startswith(b"HTTP/1.1 200")
        assert process.wait(30) == 0
    assert not path.exists()


def test_a_stale_socket_file_is_replaced(path: Path) -> None:
    """A service that was killed leaves its file behind; the next one starts all the same."""
    with closing(socket.socket(socket.AF_UNIX)) as killed:
        killed.bind(str(path))
    with starting("--bind", f"unix:{path}") as process:
        assert run_announced_command(process)[1].startswith(b'{"label":')
    assert not path.exists()


def test_a_socket_file_in_use_is_left_alone(path: Path) -> None:
    """A second instance fails as on a port in use, and the first goes on; gunicorn would take the file from it."""
    with starting("--bind", f"unix:{path}") as process:
        run_announced_command(process)
        assert fail("--bind", f"unix:{path}").startswith(f"cannot listen on unix:{path} (Address already in use): ")
        assert ask(str(path), post("/predict", GOOD)).startswith(b"HTTP/1.1 200")


def remove(path: Path) -> None:
    path.unlink()


def replace_by_another_server(path: Path) -> None:
    path.unlink()
    with closing(socket.socket(socket.AF_UNIX)) as other:
        other.bind(str(path))


@pytest.mark.parametrize("change", [remove, replace_by_another_server])
def test_a_socket_file_that_has_changed_does_not_disturb_the_end(path: Path, change: Callable[[Path], None]) -> None:
    """One that is gone is no error, and one of another server stays."""
    with starting("--bind", f"unix:{path}") as process:
        run_announced_command(process)
        change(path)
    assert process.returncode == 0
    assert path.exists() == (change is not remove)


def test_a_new_master_keeps_the_socket_file(path: Path) -> None:
    """SIGUSR2 starts a second master on the same socket; the file is removed by the one that ends last."""
    with starting("--bind", f"unix:{path}") as old:
        run_announced_command(old)
        old.send_signal(signal.SIGUSR2)
        new = int(await_message(old, "Listening at").rpartition("(")[2].rstrip(")"))
        try:
            await_message(old, "ASGI server listening")
            old.terminate()
            old.wait(30)
            assert ask(str(path), post("/predict", GOOD)).startswith(b"HTTP/1.1 200")
        finally:
            os.kill(new, signal.SIGTERM)
        deadline = time.monotonic() + 30
        while path.exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--bind", "192.0.2.1:0"], "cannot listen on 192.0.2.1:0 (Cannot assign requested address): set --bind to"),
        (["--bind", "[2001:db8::1]:8000"], "cannot listen on [2001:db8::1]:8000 (Cannot assign requested address)"),
        (
            ["--bind", "nowhere.invalid:8000"],
            "): set --bind to an address of this machine, such as 0.0.0.0:8000 for all",
        ),
        (["--bind", "127.0.0.1:80000"], "set PORT or --bind to a free port"),
        (["--bind", "127.0.0.1:{port}", "--bind", "127.0.0.1:{port}"], "(Address already in use): set PORT or --bind"),
        (["--bind", "[::]:{port}", "--bind", "0.0.0.0:{port}"], "cannot listen on 0.0.0.0:{port} (Address already in"),
        (["--bind", "unix:/nowhere/s"], "cannot listen on unix:/nowhere/s (No such file or directory): set --bind to"),
        (["--bind", "unix:{path}"], "cannot listen on unix:{path} ('{path}' is not a socket): set --bind to another"),
        (["--bind", f"unix:/tmp/{'x' * 200}"], "(AF_UNIX path too long): set --bind to another path"),
        (["--bind", "fd://77"], "cannot listen on file descriptor 77: it is not an open stream socket"),
        (["--bind", "fd://0"], "cannot listen on file descriptor 0: it is not an open stream socket"),
        (["--bind", "fd://77", "--bind", "127.0.0.1:0"], "--bind with fd:// and with an address do not go together"),
        (["--reuse-port", "--bind", "127.0.0.1:0"], "with --reuse-port each worker would get another port"),
        (["--reuse-port", "--bind", "unix:/tmp/s"], "--reuse-port works with ports only, not with unix sockets"),
        (
            ["--reuse-port", "--bind", "192.0.2.1:8000"],
            "(Cannot assign requested address): set --bind to an address of this machine",
        ),
    ],
    ids=lambda value: " ".join(value)[:50] if isinstance(value, list) else "",
)
def test_an_address_that_cannot_be_used_is_one_line(path: Path, arguments: list[str], expected: str) -> None:
    """Which names the address, the reason and the remedy; at once, and other files are left as they are."""
    path.write_text("a file")
    known = {"path": str(path), "port": str(free_port())}
    message = fail(*(argument.format(**known) for argument in arguments))
    assert expected.format(**known) in message
    assert path.read_text() == "a file"


def test_a_failed_start_leaves_no_socket_file(path: Path) -> None:
    """The first address was opened, the second cannot be."""
    assert "unix:/nowhere/s" in fail("--bind", f"unix:{path}", "--bind", "unix:/nowhere/s")
    assert not path.exists()


def test_a_datagram_socket_cannot_be_handed_over() -> None:
    """Such as a ListenDatagram= of systemd's."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as wrong:
        message = fail(through=activated(wrong))
    assert message.startswith("cannot listen on file descriptor 3: it is not an open stream socket")


def test_fewer_sockets_than_systemd_names_are_one_line() -> None:
    """LISTEN_FDS counts two, but only one is open."""
    with socket.create_server((_LOCALHOST, 0)) as listener:
        message = fail(through=activated(listener, "60"))
    assert "it is not an open stream socket" in message


def test_a_privileged_port_is_one_line() -> None:
    """As for a user without privileges; the remedy is another than for a port in use."""
    lowest = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    without = (
        ["setpriv", "--bounding-set=-net_bind_service", "--inh-caps=-net_bind_service"] if not os.geteuid() else []
    )
    if lowest > 1:  # else every port is open to all
        message = fail("--bind", f"127.0.0.1:{lowest - 1}", through=without)
        assert "(Permission denied): set PORT or --bind to a port from 1024, or grant the capability" in message
