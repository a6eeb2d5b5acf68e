"""A closed-loop load generator in Python: each connection sends its next request once the last one is answered."""

import itertools
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import BinaryIO, NamedTuple

from benchmarks.load_generators import CONNECTIONS
from benchmarks.peers import PeerError


class Exchange(NamedTuple):
    """A request and the status of its response; each copy of a ``traced`` one has its own trace and request ID."""

    path: str
    body: bytes
    status: int = 200
    traced: bool = False
    connections: int = CONNECTIONS


def repeat_request(exchange: Exchange) -> Iterator[bytes]:
    """The request's bytes, again and again."""
    head = f"POST {exchange.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n".encode()
    rest = b"Content-Length: %d\r\n\r\n%b" % (len(exchange.body), exchange.body)
    if not exchange.traced:
        return itertools.repeat(head + rest)
    own = b"traceparent: 00-%032x-%016x-01\r\nX-Request-ID: request-%d\r\n"
    return (head + own % (number, number, number) + rest for number in itertools.count(1))


def saturate(port: int, exchange: Exchange, seconds: float) -> int:
    """Keep a request under way on every connection and return the number of responses.

    Raises:
        PeerError: a response has another status than the exchange expects.
    """
    responses, requests = 0, repeat_request(exchange)
    with ExitStack() as stack:
        sockets = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(exchange.connections)]
        waiting = [(stack.enter_context(each), stack.enter_context(each.makefile("rb"))) for each in sockets]
        for connection, _ in waiting:
            connection.sendall(next(requests))
        deadline = time.monotonic() + seconds
        while waiting:
            for connection, stream in tuple(waiting):
                if (status := read_response(stream)) != exchange.status:
                    raise PeerError(f"{exchange.path} answers {status} instead of {exchange.status}")
                responses += 1
                if time.monotonic() < deadline:
                    connection.sendall(next(requests))
                else:
                    waiting.remove((connection, stream))
    return responses


def read_response(stream: BinaryIO) -> int:
    """Read one response to its end and return its status."""
    status, length = int(stream.readline()[9:12]), 0
    while (line := stream.readline()).strip():
        name, _, value = line.partition(b":")
        length = int(value) if name.lower() == b"content-length" else length
    stream.read(length)
    return status
