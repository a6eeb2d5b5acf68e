"""The shape of a line: one JSON document that a pipe takes in one piece, or text for a person."""

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
from service.monitoring.log_format import Json, Outlet, Text


def record(message: str, **more: Any) -> logging.LogRecord:
    return logging.makeLogRecord({"name": "menagerie", "levelname": "WARNING", "msg": message, **more})


def failed(message: str, depth: int) -> Any:
    def descend(left: int) -> None:
        if not left:
            raise ZeroDivisionError(message)
        descend(left - 1)

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
    """Whatever stands in it, with the time in RFC 3339, and the fields of a request beside."""
    line = Json().format(record(message, fields={"status": 200, "route": "/predict"}))
    told = json.loads(line)
    assert "\n" not in line
    assert told["message"] == message.encode("utf-8", "backslashreplace").decode()
    assert (told["level"], told["status"], told["route"], told["pid"]) == ("warning", 200, "/predict", os.getpid())
    assert told["time"].endswith("Z")
    assert abs((datetime.fromisoformat(told["time"]) - datetime.now(UTC)).total_seconds()) < 60


@pytest.mark.parametrize("message", ["short", "x" * 10_000, '"\n' * 10_000, "猫" * 10_000])
@pytest.mark.parametrize("depth", [1, 900])
def test_a_traceback_is_one_line_that_fits_into_a_pipe(message: str, depth: int) -> None:
    """Its beginning and its end are kept, where something has to go."""
    line = Json().format(record("failed", exc_info=failed(message, depth)))
    told = json.loads(line)
    assert len(line.encode()) < PIPE_BUF
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith(message[-100:])
    assert told["message"] == "failed"


def test_a_person_gets_text() -> None:
    """In gunicorn's shape; what the message says already is not said again."""
    line = Text().format(record("GET /livez 200", fields={"route": "/livez", "status": 200, "duration_ms": 0.1}))
    assert line.endswith(f" [{os.getpid()}] [WARNING] GET /livez 200 duration_ms=0.1")
    assert Text().format(record("failed", exc_info=failed("so", 1))).endswith("\nZeroDivisionError: so")


def test_the_shape_fits_who_looks(pipe: tuple[int, int]) -> None:
    """Text on a terminal, JSON elsewhere; or what is asked for."""
    ours, theirs = os.openpty()
    assert isinstance(log_format.formatter("auto", theirs), Text)
    assert isinstance(log_format.formatter("json", theirs), Json)
    assert isinstance(log_format.formatter("auto", pipe[1]), Json)
    assert isinstance(log_format.formatter("text", pipe[1]), Text)
    os.close(ours)
    os.close(theirs)


def test_a_full_pipe_is_not_waited_for(pipe: tuple[int, int]) -> None:
    """What nobody reads is lost, and counted once somebody does; others may wait for the same pipe as they like."""
    reading, writing = pipe
    outlet = Outlet(writing)
    outlet.setFormatter(Json())
    for number in range(10_000):
        outlet.handle(record(f"{number:0100}"))
    assert os.get_blocking(writing)
    written = os.read(reading, 1_000_000).splitlines()
    outlet.handle(record("at last"))
    lost, last = (json.loads(line)["message"] for line in os.read(reading, 1_000_000).splitlines())
    assert all(int(json.loads(line)["message"]) == number for number, line in enumerate(written))
    assert lost == f"{10_000 - len(written)} lines are lost: the log is not read as fast as it is written"
    assert last == "at last"


def test_a_log_that_nobody_reads_any_more_harms_nothing() -> None:
    """Its reader may end before the service."""
    reading, writing = os.pipe()
    outlet = Outlet(writing)
    os.close(reading)
    outlet.handle(record("into the void"))
    os.close(writing)


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\udcff", "é" * 1000, "'\\"])
def test_what_a_caller_wrote_is_shown_in_printable_ascii(text: str) -> None:
    """And not at any length."""
    shown = log_format.printable(text)
    assert shown.isascii()
    assert shown.isprintable()
    assert len(shown) <= 200 * 6
