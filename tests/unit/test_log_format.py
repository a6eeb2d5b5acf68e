"""The format of a line: one JSON document that a pipe takes in one piece, or text for a person."""

import json
import logging
import os
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from select import PIPE_BUF
from typing import Any

import pytest

from service.monitoring import log_format
from service.monitoring.log_format import JsonFormatter, NonBlockingHandler, TextFormatter


def record(message: str, **attributes: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "menagerie", "levelname": "WARNING", "msg": message, **attributes})


def exc_info(message: str, depth: int) -> Any:
    def descend(levels: int) -> None:
        if not levels:
            raise ZeroDivisionError(message)
        descend(levels - 1)

    try:
        descend(depth)
    except ZeroDivisionError:
        return sys.exc_info()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


@pytest.mark.parametrize("message", ["plain", 'a "quoted"\nand\x1b[31m broken one', "\udcff is no Unicode", "猫"])
def test_a_line_is_one_json_document(message: str) -> None:
    """Whatever the message holds; the time is RFC 3339, and the fields of a request stand beside it."""
    line = JsonFormatter().format(record(message, fields={"status": 200, "route": "/predict"}))
    document = json.loads(line)
    assert "\n" not in line
    assert document["message"] == message.encode("utf-8", "backslashreplace").decode()
    assert (document["level"], document["status"], document["route"], document["pid"]) == (
        "warning",
        200,
        "/predict",
        os.getpid(),
    )
    assert document["time"].endswith("Z")
    assert abs((datetime.fromisoformat(document["time"]) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize("message", ["short", "x" * 10_000, '"\n' * 10_000, "猫" * 10_000])
@pytest.mark.parametrize("depth", [1, 900])
def test_a_traceback_is_one_line_that_fits_into_a_pipe(message: str, depth: int) -> None:
    """If it is too long, its middle is left out."""
    line = JsonFormatter().format(record("failed", exc_info=exc_info(message, depth)))
    document = json.loads(line)
    assert len(line.encode()) < PIPE_BUF
    assert document["exception"].startswith("Traceback (most recent call last):\n")
    assert document["exception"].endswith(message[-100:])
    assert document["message"] == "failed"


def test_text_has_gunicorns_format() -> None:
    """Fields that the message contains are not repeated."""
    line = TextFormatter().format(
        record("GET /livez 200", fields={"route": "/livez", "status": 200, "duration_ms": 0.1})
    )
    assert line.endswith(f" [{os.getpid()}] [WARNING] GET /livez 200 duration_ms=0.1")
    assert TextFormatter().format(record("failed", exc_info=exc_info("so", 1))).endswith("\nZeroDivisionError: so")


def test_auto_is_text_on_a_terminal(pipe: tuple[int, int]) -> None:
    """Elsewhere it is JSON; a format that is named holds everywhere."""
    ours, terminal = os.openpty()
    assert isinstance(log_format.make_formatter("auto", terminal), TextFormatter)
    assert isinstance(log_format.make_formatter("json", terminal), JsonFormatter)
    assert isinstance(log_format.make_formatter("auto", pipe[1]), JsonFormatter)
    assert isinstance(log_format.make_formatter("text", pipe[1]), TextFormatter)
    os.close(ours)
    os.close(terminal)


def test_a_full_pipe_does_not_block(pipe: tuple[int, int]) -> None:
    """Lines that do not fit are dropped, and counted later; other descriptors of the same pipe still block."""
    reading, writing = pipe
    handler = NonBlockingHandler(writing)
    handler.setFormatter(JsonFormatter())
    for number in range(10_000):
        handler.handle(record(f"{number:0100}"))
    assert os.get_blocking(writing)
    written = os.read(reading, 1_000_000).splitlines()
    handler.handle(record("at last"))
    lost, last = (json.loads(line)["message"] for line in os.read(reading, 1_000_000).splitlines())
    assert all(int(json.loads(line)["message"]) == number for number, line in enumerate(written))
    assert lost == f"{10_000 - len(written)} log lines were dropped: the log is not read as fast as it is written"
    assert last == "at last"


def test_a_closed_pipe_raises_nothing() -> None:
    """The reader of the log may end before the service."""
    reading, writing = os.pipe()
    handler = NonBlockingHandler(writing)
    os.close(reading)
    handler.handle(record("into the void"))
    os.close(writing)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\udcff", "é" * 1000, "'\\"])
def test_a_clients_text_becomes_short_printable_ascii(text: str) -> None:
    """Control characters and others are escaped, and the length is bounded."""
    escaped = log_format.printable(text)
    assert escaped.isascii()
    assert escaped.isprintable()
    assert len(escaped) <= 200 * 6
