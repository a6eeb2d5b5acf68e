"""How a log line looks, JSON for programs or text for a person, and how it is written.

Each line of each worker is one write that never blocks: if the reader of the log does not keep up, lines are dropped
and counted, but no request waits.
"""

import logging
import os
import select
import stat
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

import orjson

from service.http.errors import StartupError
from service.settings import Settings

_MAX_LINE_BYTES = 4096  # what a pipe takes in one piece (PIPE_BUF)
_MAX_PRINTABLE = 200
_ELLIPSIS = " … "
_SPARE_CHARACTERS = 10  # as not all take the same number of bytes

_IN_MESSAGE = {"method", "route", "path", "status", "reason"}


class JsonFormatter(logging.Formatter):
    """One JSON document a line, including a traceback; a record's fields stand beside its message."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without a newline."""
        document = {
            "time": datetime.fromtimestamp(record.created, UTC),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pid": record.process,
            "message": _printable(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            document["exception"] = _printable(self.formatException(record.exc_info))
        return _bounded_line(document).decode()


class TextFormatter(logging.Formatter):
    """gunicorn's own format, with a record's fields after its message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s [%(process)d] [%(levelname)s] %(message)s", "[%Y-%m-%d %H:%M:%S %z]")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 (logging's name)
        """The line, without a newline."""
        fields = (f" {name}={value}" for name, value in _fields(record).items() if name not in _IN_MESSAGE)
        return super().formatMessage(record) + "".join(fields)


def make_formatter(name: str, descriptor: int = 2) -> logging.Formatter:
    """The formatter ``json`` or ``text``; with ``auto``, text if the file descriptor is a terminal."""
    is_text = os.isatty(descriptor) if name == "auto" else name == "text"
    return TextFormatter() if is_text else JsonFormatter()


def configured_formatter(descriptor: int = 2) -> logging.Formatter:
    """The formatter that MENAGERIE_LOG_FORMAT names."""
    try:
        name = Settings.load().log_format
    except StartupError:  # whoever loads the service reports it
        name = "auto"
    return make_formatter(name, descriptor)


class NonBlockingHandler(logging.Handler):
    """Writes each line to stderr, or another file descriptor, in one write; drops it rather than wait."""

    def __init__(self, descriptor: int = 2) -> None:
        super().__init__()
        self._descriptor, may_block = _non_blocking(descriptor)
        self._poll = select.poll() if may_block else None
        if self._poll:
            self._poll.register(self._descriptor, select.POLLOUT)
        self._lost = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, after one that says how many were lost before it."""
        if self._lost and self._write(self._loss()):
            self._lost = 0
        self._lost += not self._write(record)

    def _write(self, record: logging.LogRecord) -> bool:
        try:
            if self._poll and not self._poll.poll(0):
                return False
            os.write(self._descriptor, f"{self.format(record)}\n".encode("utf-8", "backslashreplace"))
        except OSError:  # it is full, or nobody reads any more
            return False
        return True

    def _loss(self) -> logging.LogRecord:
        message = "%d log lines were dropped: the log is not read as fast as it is written"
        return logging.LogRecord("menagerie", logging.WARNING, "", 0, message, (self._lost,), None)


def log_uncaught_exceptions() -> None:
    """Log exceptions that nothing catches, in any thread, and Python's own warnings."""
    log = logging.getLogger("menagerie")
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda *raised: log.critical("uncaught exception: the process exits", exc_info=raised)
    threading.excepthook = lambda ended: log.error("uncaught exception: a thread exits", exc_info=ended.exc_value)
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
    return ascii(text[:_MAX_PRINTABLE])[1:-1]


def _non_blocking(descriptor: int) -> tuple[int, bool]:
    """The same file by a descriptor of our own, and whether it is a pipe that blocks.

    A pipe can be opened once more so that it does not, and others' use of it stays as it is; but not where the system
    has no /proc, or if it is not ours to open.
    """
    is_pipe = False
    with suppress(OSError):
        is_pipe = stat.S_ISFIFO(os.fstat(descriptor).st_mode)
        if is_pipe:
            return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC), False
    return os.dup(descriptor), is_pipe


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields


def _printable(text: str) -> str:
    """The text with lone surrogates escaped: they are neither Unicode nor JSON."""
    return text.encode("utf-8", "backslashreplace").decode()


def _bounded_line(document: dict[str, Any]) -> bytes:
    """A line that a pipe takes in one piece: the middle of the longest text, such as a traceback, is left out."""
    line = orjson.dumps(document, option=orjson.OPT_UTC_Z)
    while (excess := len(line) + 1 - _MAX_LINE_BYTES) > 0:
        texts = {name: text for name, text in document.items() if isinstance(text, str)}
        name, text = max(texts.items(), key=lambda item: len(item[1]))
        size = len(orjson.dumps(text))
        kept = max(len(text) * (size - excess) // size - len(_ELLIPSIS) - _SPARE_CHARACTERS, 0)
        document[name] = text[: kept // 3] + _ELLIPSIS + text[len(text) - (kept - kept // 3) :]
        line = orjson.dumps(document, option=orjson.OPT_UTC_Z)
    return line
