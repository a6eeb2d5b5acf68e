"""What happens to every request, whatever its handler does."""

import json
import re

import pytest
from support.pipelines import pipeline

from service.http.errors import NotReadyError
from service.http.messages import Handler, Request, Response


def request() -> Request:
    return Request("GET", "/somewhere\nelse", {"x-request-id": "mine"}, lambda: b"")


def fail(_: Request) -> Response:
    raise ZeroDivisionError("the secret ingredient")


def refuse(_: Request) -> Response:
    raise NotReadyError("no model is loaded", retry_after=3)


def test_a_failure_inside_says_nothing_of_the_inside(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 500 and an id; the log has the same id and what happened."""
    reply = pipeline().handle(request(), fail)
    assert (reply.status, json.loads(reply.body)["request_id"]) == (500, "mine")
    assert b"secret" not in reply.body
    assert b"ZeroDivision" not in reply.body
    assert "request mine failed" in caplog.text
    assert "the secret ingredient" in caplog.text


def test_a_refusal_carries_its_headers() -> None:
    """Not ready says when to come back."""
    reply = pipeline().handle(request(), refuse)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "3")
    assert json.loads(reply.body)["detail"] == "no model is loaded"


TIMED = re.compile(r"((admit|parse|validate|infer|render);dur=\d+\.\d{3}, )*total;dur=\d+\.\d{3}")


@pytest.mark.parametrize("handler", [fail, refuse, lambda _: Response(200, b"{}")])
def test_every_answer_says_where_its_time_went(handler: Handler) -> None:
    """In the syntax of Server-Timing, unless that is switched off."""
    assert TIMED.fullmatch(pipeline().handle(request(), handler).headers["Server-Timing"])
    assert "Server-Timing" not in pipeline(server_timing=False).handle(request(), handler).headers


def test_a_trace_is_taken_over_into_the_answer() -> None:
    """Whose trace it is, and which part of it this was; nothing if nobody asked for one."""
    given = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    asked = Request("GET", "/", given, lambda: b"")
    told = pipeline().handle(asked, fail).headers["traceresponse"]
    assert re.fullmatch("00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", told)
    assert "b7ad6b7169203331" not in told
    assert "traceresponse" not in pipeline().handle(request(), fail).headers
