"""Hostile input of every kind, each with its answer: nothing crashes, hangs, fails inside or repeats what was sent."""

import gzip
import re
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.gunicorn_server import Server, serving, told
from support.hostile_requests import ENCODINGS, MARKER, PROTOCOLS, STREAMS, VALUES, Bytes, Protocol, Value, post
from support.http_responses import Send

from service.app import api_keys

JSON = {"Content-Type": "application/json"}
NAMES = [f"{protocol.path} {index}" for index, protocol in enumerate(PROTOCOLS)]


@pytest.fixture(scope="module")
def longer() -> Iterator[Server]:
    """The same service on gunicorn's own way only, which an access log asks for."""
    with serving("--access-logfile", "/dev/null") as ready:
        yield ready


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_what_is_replaced_was_good(send: Send, protocol: Protocol) -> None:
    """Each table starts from a request that is answered."""
    assert send("POST", protocol.path, protocol.body, JSON).status == 200
    assert send("POST", protocol.path, protocol.spelt(b"3.86e1"), JSON).status == 200


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.what)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_no_value_harms(send: Send, protocol: Protocol, value: Value) -> None:
    """However deep, long or odd a value is, it is refused in the protocol's own way, and shortly."""
    answer = send("POST", protocol.path, protocol.spelt(value.text), JSON)
    assert answer.status == (value.status if protocol.native or value.status == 200 else 400), answer.body[:300]
    assert MARKER.encode() not in answer.body
    assert value.status == 200 or len(answer.body) < 2000


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_only_utf_8_is_read(send: Send, protocol: Protocol, encode: Callable[[bytes], bytes]) -> None:
    """Another encoding is not guessed at, nor is what follows a document passed over."""
    assert send("POST", protocol.path, encode(protocol.body), JSON).status == 400


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", MARKER])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_a_bomb_is_not_opened(send: Send, protocol: Protocol, coding: str) -> None:
    """A body of 100 kB that would be 100 MB is refused as it is, whatever it says that it is."""
    answer = send("POST", protocol.path, _bomb, {**JSON, "Content-Encoding": coding})
    assert answer.status == 415
    assert MARKER.encode() not in answer.body


_bomb = gzip.compress(b" " * 100_000_000, 6)


def talk(server: Server, row: Bytes) -> tuple[list[int], bytes]:
    """Every status that comes back, and all that does; an answer more than expected is waited for a moment."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as caller:
        try:
            caller.sendall(row.sent)
            while True:
                if len(_statuses(received)) >= len(row.statuses):
                    caller.settimeout(0.1 if row.statuses else 0.5)
                more = caller.recv(65_536)
                if not more:
                    break
                received += more
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
    return _statuses(received), received


def _statuses(received: bytes) -> list[int]:
    return [int(status) for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received)]


@pytest.mark.parametrize("way", ["server", "longer"])
@pytest.mark.parametrize("row", STREAMS, ids=lambda row: row.what)
def test_no_stream_of_bytes_harms(request: pytest.FixtureRequest, way: str, row: Bytes) -> None:
    """One answer or none, never one to what was smuggled in; afterwards the service answers as before."""
    server: Server = request.getfixturevalue(way)
    statuses, received = talk(server, row)
    assert tuple(statuses) == row.statuses, received[:1000]
    assert MARKER.encode() not in received.lower()
    assert b"Traceback" not in received
    assert b"\r\nset-cookie" not in received.lower()
    good = post(b"Connection: close\r\nContent-Length: 2\r\n", b"{}")
    assert talk(server, Bytes("good", good, (422,)))[0] == [422]


def test_neither_inputs_nor_keys_are_logged() -> None:
    """All of it once more: neither key, value, query nor traceback is in the log; what is no route is, by its path."""
    key, known = api_keys.make()
    marked = f"X-API-Key: {key}\r\n".encode()
    with serving(MENAGERIE_LOG_FAILURE_RATE="1e6", MENAGERIE_LOG_RATE="1e6", MENAGERIE_API_KEYS=known) as server:
        keyed = [row._replace(sent=row.sent.replace(b"Host: x\r\n", b"Host: x\r\n" + marked, 1)) for row in STREAMS]
        with ThreadPoolExecutor(8) as callers:  # each mostly waits
            list(callers.map(lambda row: talk(server, row), [*STREAMS, *keyed]))
        for protocol in PROTOCOLS:
            for body in (protocol.spelt(f'"{MARKER}"'.encode()), protocol.body[:-1] + MARKER.encode()):
                fields = marked + b"X-A: zebra\r\nContent-Length: %d\r\n" % len(body)
                talk(server, Bytes("", post(fields, body, protocol.path.encode()), (400,)))
        server.process.terminate()
        said = server.process.communicate(timeout=60)[1]
    assert key not in said
    assert known not in said
    assert "Traceback" not in said
    repeated = [line for line in told(said) if MARKER in str(line).lower()]
    assert repeated
    for line in repeated:
        assert line.pop("message") == f"{line.pop('method')} '{line.pop('path')}' {line['status']}"
        assert MARKER not in str(line).lower()
