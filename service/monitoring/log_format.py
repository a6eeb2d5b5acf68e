"""What the service says to its operator, a line at a time: JSON for programs, text for a person.

A line of whichever worker goes out in one piece and never waits: if whoever reads the log does not keep up, lines are
lost, and counted, but no request is held up.
"""

import logging
import os
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import orjson

LONGEST = 4096  # bytes; what a pipe takes in one piece (PIPE_BUF)
_LONGEST_SHOWN = 200
_GAP = " … "
_SPARE = 10  # characters, as not all take the same room

_SAID = {"method", "route", "path", "status"}  # stands in the message already


class Json(logging.Formatter):
    """One JSON document a line, a traceback within it; the fields of a record are beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        told = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": _printable(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            told["exception"] = _printable(self.formatException(record.exc_info))
        return _fitting(told).decode()


class Text(logging.Formatter):
    """gunicorn's own shape, with the fields behind the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S %z]")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The line, without its end."""
        fields = (f" {name}={value}" for name, value in _fields(record).items() if name not in _SAID)
        return super().formatMessage(record) + "".join(fields)


def formatter(wanted: str, descriptor: int = 2) -> logging.Formatter:
    """The shape that is wanted: ``json``, ``text``, or ``auto``, by whether a person looks at it."""
    text = os.isatty(descriptor) if wanted == "auto" else wanted == "text"
    return Text() if text else Json()


class Outlet(logging.Handler):
    """Stderr, or another descriptor, for all workers: each line is one write, for which nobody waits."""

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._descriptor = _unwaiting(descriptor)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, after one that says how many were lost before it."""
        if self._lost and self._put(self._loss()):
            self._lost = 0
        self._lost += not self._put(record)

    def _put(self, record: logging.LogRecord) -> bool:
        try:
            os.write(self._descriptor, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError:  # it is full, or nobody reads any more
            return False
        return True

    def _loss(self) -> logging.LogRecord:
        told = "%d lines are lost: the log is not read as fast as it is written"
        return logging.LogRecord("menagerie", logging.WARNING, "", 0, told, (self._lost,), None)


def tell_what_is_uncaught() -> None:
    """Have what no one caught, in any thread, and Python's own warnings told as everything else is."""
    log = logging.getLogger("menagerie")
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda *raised: log.critical("the process ends", exc_info=raised)
    threading.excepthook = lambda ended: log.error("a thread ends", exc_info=ended.exc_value)
    sys.unraisablehook = lambda ignored: log.error("an exception was ignored", exc_info=ignored.exc_value)


@contextmanager
def silenced_stderr() -> Iterator[None]:
    """Discard what libraries write to stderr past every log, such as LiteRT's greeting."""
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def printable(text: str) -> str:
    """A client's text as short, printable ASCII, for a log line or a span."""
    return ascii(text[:_LONGEST_SHOWN])[1:-1]


def _unwaiting(descriptor: int) -> int:
    """The same by a descriptor of our own, so that not to wait is ours alone; what is no pipe hardly ever fills up."""
    try:
        if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # not ours to open; then a line may have to wait
        pass
    return os.dup(descriptor)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _printable(text: str) -> str:
    """Without what is no Unicode, and no JSON."""
    return text.encode("utf-8", "backslashreplace").decode()


def _fitting(told: dict[str, Any]) -> bytes:
    """A line no longer than can go out in one piece: the middle of the longest part, a traceback, is left out."""
    line = orjson.dumps(told, option=orjson.OPT_UTC_Z)
    while (excess := len(line) + 1 - LONGEST) > 0:
        name = max((name for name in told if isinstance(told[name], str)), key=lambda name: len(told[name]))
        text, size = told[name], len(orjson.dumps(told[name]))
        kept = max(len(text) * (size - excess) // size - len(_GAP) - _SPARE, 0)
        told[name] = text[: kept // 3] + _GAP + text[len(text) - (kept - kept // 3) :]
        line = orjson.dumps(told, option=orjson.OPT_UTC_Z)
    return line
