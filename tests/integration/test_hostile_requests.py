"""Hostile input of every kind: nothing crashes, hangs, gets a 500, or has what it sent repeated to it."""

import gzip
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.gunicorn_server import Server, parse_log, serving
from support.hostile_requests import (
    ENCODINGS,
    MARKER,
    PROTOCOLS,
    STREAMS,
    VALUES,
    Protocol,
    RawRequest,
    Value,
    exchange,
    post,
)
from support.http_responses import Send

from service.app import api_keys

JSON = {"Content-Type": "application/json"}
NAMES = [f"{protocol.path} {index}" for index, protocol in enumerate(PROTOCOLS)]


@pytest.fixture(scope="module")
def fast_server() -> Iterator[Server]:
    with serving(MENAGERIE_FAST_PATH="true") as ready:
        yield ready


@pytest.fixture(scope="module")
def slow_server() -> Iterator[Server]:
    """The same service without the fast path: gunicorn's protocol and the ASGI application."""
    with serving(MENAGERIE_FAST_PATH="false") as ready:
        yield ready


@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_the_tables_start_from_good_requests(send: Send, protocol: Protocol) -> None:
    """Each protocol's body is answered with 200."""
    assert send("POST", protocol.path, protocol.body, JSON).status == 200
    assert send("POST", protocol.path, protocol.body_with(b"3.86e1"), JSON).status == 200


@pytest.mark.parametrize("value", VALUES, ids=lambda value: value.name)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_no_value_harms(send: Send, protocol: Protocol, value: Value) -> None:
    """However deep, long or odd a value is, the protocol's own error response is short."""
    answer = send("POST", protocol.path, protocol.body_with(value.text), JSON)
    assert answer.status == (value.status if protocol.is_native or value.status == 200 else 400), answer.body[:300]
    assert MARKER.encode() not in answer.body
    assert value.status == 200 or len(answer.body) < 2000


@pytest.mark.parametrize("encode", ENCODINGS.values(), ids=ENCODINGS)
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_only_utf_8_is_read(send: Send, protocol: Protocol, encode: Callable[[bytes], bytes]) -> None:
    """Other encodings are not guessed at, and what follows a document is not ignored."""
    assert send("POST", protocol.path, encode(protocol.body), JSON).status == 400


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "gzip, gzip", "identity, gzip", MARKER])
@pytest.mark.parametrize("protocol", PROTOCOLS, ids=NAMES)
def test_a_compression_bomb_is_not_decompressed(send: Send, protocol: Protocol, coding: str) -> None:
    """A body of 100 kB that would be 100 MB is refused, whichever coding its header names."""
    answer = send("POST", protocol.path, _bomb, {**JSON, "Content-Encoding": coding})
    assert answer.status == 415
    assert MARKER.encode() not in answer.body


_bomb = gzip.compress(b" " * 100_000_000, 6)


@pytest.mark.parametrize("fixture", ["fast_server", "slow_server"])
@pytest.mark.parametrize("row", STREAMS, ids=lambda row: row.name)
def test_no_stream_of_bytes_harms(request: pytest.FixtureRequest, fixture: str, row: RawRequest) -> None:
    """Only the expected responses, never one to a smuggled request; afterwards the service works as before."""
    server: Server = request.getfixturevalue(fixture)
    statuses, received = exchange(server.port, row)
    assert tuple(statuses) == row.statuses, received[:1000]
    assert MARKER.encode() not in received.lower()
    assert b"Traceback" not in received
    assert b"\r\nset-cookie" not in received.lower()
    good = post(b"Connection: close\r\nContent-Length: 2\r\n", b"{}")
    assert exchange(server.port, RawRequest("good", good, (422,)))[0] == [422]


def test_neither_inputs_nor_keys_are_logged() -> None:
    """All of it once more: the log has no key, value, query or traceback; of an unknown path it has the path."""
    key, key_hash = api_keys.make()
    marked = f"X-API-Key: {key}\r\n".encode()
    with serving(MENAGERIE_LOG_FAILURE_RATE="1e6", MENAGERIE_LOG_RATE="1e6", MENAGERIE_API_KEYS=key_hash) as server:
        keyed = [row._replace(sent=row.sent.replace(b"Host: x\r\n", b"Host: x\r\n" + marked, 1)) for row in STREAMS]
        with ThreadPoolExecutor(8) as pool:  # each mostly waits
            list(pool.map(lambda row: exchange(server.port, row), [*STREAMS, *keyed]))
        for protocol in PROTOCOLS:
            for body in (protocol.body_with(f'"{MARKER}"'.encode()), protocol.body[:-1] + MARKER.encode()):
                fields = marked + b"X-A: zebra\r\nContent-Length: %d\r\n" % len(body)
                exchange(server.port, RawRequest("", post(fields, body, protocol.path.encode()), (400,)))
        server.process.terminate()
        stderr = server.process.communicate(timeout=60)[1]
    assert key not in stderr
    assert key_hash not in stderr
    assert "Traceback" not in stderr
    repeated = [line for line in parse_log(stderr) if MARKER in str(line).lower()]
    assert repeated
    for line in repeated:
        assert line.pop("message") == f"{line.pop('method')} '{line.pop('path')}' {line['status']}"
        assert MARKER not in str(line).lower()
