"""Completed requests reach every observer once and in order, soon, and are not kept in memory."""

import gc
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, repeat

import numpy as np
import pytest

from service.app.flask_app import flask_app
from service.app.routes import build_service
from service.arrays import Prediction
from service.http.context import RequestContext
from service.monitoring import observations as module
from service.monitoring.observations import Observations
from service.settings import Settings

THREADS, REQUESTS = 8, 2_000
NEVER = 3600.0  # seconds


def new_context(name: str = "", rows: int = 0) -> RequestContext:
    context = RequestContext("GET", name, None)
    if rows:
        empty = np.zeros((rows, 1), np.float32)
        context.prediction = Prediction(empty, empty, np.zeros(rows, np.intp), (), {})
    return context


class Recorder:
    """An observer that keeps the paths of the requests, and fails if two calls run at the same time."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self._lock = threading.Lock()

    def __call__(self, contexts: Sequence[RequestContext]) -> None:
        assert self._lock.acquire(blocking=False), "two calls at the same time"
        self.paths += [context.path for context in contexts]
        time.sleep(0)
        self._lock.release()


def add_from_threads(observations: Observations, meanwhile: Iterable[Callable[[], object]]) -> list[list[str]]:
    """Add requests from several threads, and call ``meanwhile`` in turn until they are done; the paths of each."""
    paths = [[f"/{thread}/{number}" for number in range(REQUESTS)] for thread in range(THREADS)]

    def add(own: list[str]) -> None:
        for path in own:
            observations.add(new_context(path))

    threads = [threading.Thread(target=add, args=(own,)) for own in paths]
    for thread in threads:
        thread.start()
    for call in meanwhile:
        call()
        if not any(thread.is_alive() for thread in threads):
            break
    for thread in threads:
        thread.join()
    return paths


@pytest.fixture(autouse=True)
def _frequent_switches() -> Iterator[None]:
    """Threads are interrupted between almost any two instructions."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


def assert_observed(recorder: Recorder, paths: list[list[str]]) -> None:
    """Every request once, those of each thread in the order in which it added them."""
    assert len(recorder.paths) == THREADS * REQUESTS
    for thread, own in enumerate(paths):
        assert [path for path in recorder.paths if path.startswith(f"/{thread}/")] == own


@pytest.mark.parametrize("is_started", [False, True])
def test_every_observer_sees_each_request_once_and_in_order(is_started: bool) -> None:
    """From many threads, while others flush."""
    first, second = Recorder(), Recorder()
    observations = Observations([first, second])
    if is_started:
        observations.start()
    paths = add_from_threads(observations, repeat(observations.flush))
    observations.flush()
    assert_observed(first, paths)
    assert second.paths == first.paths


def test_nothing_is_lost_when_a_worker_starts_observing_in_bulk() -> None:
    """`start` is called while requests are being added."""
    recorder = Recorder()
    observations = Observations([recorder])
    paths = add_from_threads(observations, chain([observations.start], repeat(observations.flush)))
    observations.flush()
    assert_observed(recorder, paths)


def test_before_start_no_request_waits_for_the_next() -> None:
    """A thread that adds a request while another is being observed leaves it to that one's thread."""
    recorder = Recorder()
    entered, added = threading.Event(), threading.Event()

    def wait(_: Sequence[RequestContext]) -> None:
        entered.set()
        assert added.wait(10)

    observations = Observations([wait, recorder])
    thread = threading.Thread(target=observations.add, args=(new_context("/1"),))
    thread.start()
    assert entered.wait(10)
    observations.add(new_context("/2"))
    assert not recorder.paths
    added.set()
    thread.join()
    assert recorder.paths == ["/1", "/2"]


def test_before_start_nothing_stays_pending() -> None:
    """Nobody flushes, and yet every request of many threads has been observed once they are done."""
    recorder = Recorder()
    observations = Observations([recorder])
    paths = add_from_threads(observations, [])
    assert_observed(recorder, paths)


def test_before_start_a_request_is_visible_at_once() -> None:
    """A process without threads of its own observes as it responds."""
    recorder = Recorder()
    observations = Observations([recorder])
    for number in range(3):
        observations.add(new_context(f"/{number}"))
        assert recorder.paths[-1] == f"/{number}"


def test_after_start_requests_are_observed_in_bulk(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many at a time as may be pending, or those that there are when somebody asks for them."""
    monkeypatch.setattr(module, "_INTERVAL", NEVER)
    calls: list[int] = []
    observations = Observations([lambda contexts: calls.append(len(contexts))])
    observations.start()
    for _ in range(300):
        observations.add(new_context())
    assert calls == [256]
    observations.flush()
    assert calls == [256, 44]


def test_after_start_nothing_is_pending_for_long() -> None:
    """A worker that gets no further requests has observed all of them within a fraction of a second."""
    observed = threading.Event()
    observations = Observations([lambda contexts: observed.set() if contexts else None])
    observations.start()
    observations.add(new_context())
    assert observed.wait(1)


def test_flush_waits_for_observers_that_are_at_work() -> None:
    """Once it returns, whatever was added before is counted: a scrape reports it."""
    entered = threading.Event()
    counted: list[RequestContext] = []

    def observe(contexts: Sequence[RequestContext]) -> None:
        entered.set()
        time.sleep(0.05)
        counted.extend(contexts)

    observations = Observations([observe])
    thread = threading.Thread(target=observations.add, args=(new_context(),))
    thread.start()
    entered.wait()
    observations.flush()
    assert len(counted) == 1
    thread.join()


def test_a_failing_observer_does_not_silence_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """Neither those after it nor itself at the next request; the log has the traceback."""
    recorder, attempts = Recorder(), []

    def fail(contexts: Sequence[RequestContext]) -> None:
        attempts.append(len(contexts))
        raise ZeroDivisionError("a defect of the observer")

    observations = Observations([fail, recorder])
    observations.add(new_context("/1"))
    observations.add(new_context("/2"))
    assert recorder.paths == ["/1", "/2"]
    assert attempts == [1, 1]
    assert caplog.text.count("an observer failed") == 2
    assert "a defect of the observer" in caplog.text


@pytest.mark.parametrize(("rows", "is_kept"), [(1, True), (256, True), (257, False), (10_000, False)])
def test_a_large_batch_does_not_stay_in_memory(monkeypatch: pytest.MonkeyPatch, rows: int, is_kept: bool) -> None:
    """It is observed at once, with all that was pending before it; small ones may wait."""
    monkeypatch.setattr(module, "_INTERVAL", NEVER)
    recorder = Recorder()
    observations = Observations([recorder])
    observations.start()
    observations.add(new_context("/before"))
    context = new_context("/batch", rows)
    assert context.prediction
    batch = weakref.ref(context.prediction.rows)
    observations.add(context)
    del context
    gc.collect()
    assert (batch() is not None) == is_kept
    assert recorder.paths == ([] if is_kept else ["/before", "/batch"])


def test_closing_a_service_observes_the_last_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that exits as planned takes no counts with it."""
    monkeypatch.setattr(module, "_INTERVAL", NEVER)
    service = build_service(Settings(poll_seconds=0))
    service.start_threads()
    assert flask_app(service).test_client().get("/livez").status_code == 200
    assert not list(service.request_metrics.responses())
    service.close(seconds=1)
    assert [(labels.route, count) for labels, _, count in service.request_metrics.responses()] == [("/livez", 1)]
