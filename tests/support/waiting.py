"""Waits for what is true only some time after the response that a test has received.

Each worker counts a request up to 100 ms after its response. A worker that is asked for metrics, drift or statistics
brings only its own counts up to date, so with several workers the answer may lack what another one has yet to count.
"""

import time
from collections.abc import Callable, Mapping
from typing import Any

import requests

from support.gunicorn_server import Server

_PAUSE, _SHORT_PAUSE = 0.1, 0.02  # seconds


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


def await_everywhere(
    read: Callable[[], Any], condition: Callable[[Any], bool], *, times: int = 10, seconds: float = 60
) -> Any:
    """What ``read`` returns once that meets the condition so many times in a row: connections spread over the workers.

    Raises:
        AssertionError: it still does not after ``seconds``.
    """
    deadline, successes = time.monotonic() + seconds, 0
    while True:
        found = read()
        successes = successes + 1 if condition(found) else 0
        if successes == times:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(_SHORT_PAUSE)


def await_version(server: Server, version: str) -> None:
    """Return once thirty new connections in a row are answered by that version of the default model."""

    def read() -> str:
        serving: str = requests.get(f"{server.url}/health", timeout=30).json()["model"]["version"]
        return serving

    await_everywhere(read, lambda serving: serving == version, times=30)


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
