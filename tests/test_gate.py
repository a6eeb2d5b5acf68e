"""What happens to every request, whatever its handler does."""

import json
import logging

import pytest

from service.errors import NotReadyError
from service.gate import Gate, log
from service.messages import Reply, Request


def request() -> Request:
    return Request("GET", "/somewhere\nelse", {"x-request-id": "mine"}, lambda: b"")


def fail(_: Request) -> Reply:
    raise ZeroDivisionError("the secret ingredient")


def refuse(_: Request) -> Reply:
    raise NotReadyError("no model is loaded", retry_after=3)


def test_a_failure_inside_says_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 500 and an id; the log has the same id and what happened."""
    reply = Gate().answer(request(), fail)
    assert (reply.status, json.loads(reply.body)["request_id"]) == (500, "mine")
    assert b"secret" not in reply.body
    assert b"ZeroDivision" not in reply.body
    assert "request mine failed" in caplog.text
    assert "the secret ingredient" in caplog.text


def test_a_refusal_carries_its_headers() -> None:
    """Not ready says when to come back."""
    reply = Gate().answer(request(), refuse)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "3")
    assert json.loads(reply.body)["detail"] == "no model is loaded"


@pytest.mark.parametrize("told", [True, False])
def test_requests_are_logged_when_asked_for(caplog: pytest.LogCaptureFixture, told: bool) -> None:
    """One line a request, which a path cannot break in two."""
    caplog.set_level(logging.INFO, "menagerie")
    Gate(observers=[log] * told).answer(request(), lambda _: Reply(200, b"{}"))
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == told
    assert not told or (lines[0].startswith(r"GET '/somewhere\nelse' 200 ") and lines[0].endswith(" mine"))
