"""Waits for what is true only some time after the response that a test has received.

Each worker counts a request up to 100 ms after its response. A worker that is asked for metrics, drift or statistics
brings only its own counts up to date, so with several workers the answer may lack what another one has yet to count.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from support.gunicorn_server import Server

_PAUSE = 0.1  # seconds


def await_true(condition: Callable[[], Any], seconds: float = 60) -> None:
    """Return once the condition is true.

    Raises:
        AssertionError: it is still false after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(_PAUSE)


def await_equal(read: Callable[[], Any], expected: Any, seconds: float = 60) -> None:
    """Return once ``read`` returns what is expected.

    Raises:
        AssertionError: it still returns something else after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while (found := read()) != expected:
        if time.monotonic() >= deadline:
            assert found == expected  # whose message shows the difference
        time.sleep(_PAUSE)


def await_metrics(server: Server, *parts: str, headers: Mapping[str, str] | None = None, seconds: float = 60) -> str:
    """The text of ``/metrics`` once it contains each of ``parts``, which are samples or their beginnings.

    Raises:
        AssertionError: it still lacks one after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while True:
        text = requests.get(f"{server.url}/metrics", headers=headers, timeout=10).text
        missing = [part for part in parts if part not in text]
        if not missing:
            return text
        names = tuple(part.partition("{")[0] for part in missing)
        assert time.monotonic() < deadline, [line for line in text.splitlines() if line.startswith(names)]
        time.sleep(_PAUSE)
