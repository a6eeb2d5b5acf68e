"""What the pipeline does with every request, whatever its handler does."""

import json
import re

import pytest
from support.bare_pipeline import bare_pipeline

from service.http.errors import NotReadyError
from service.http.messages import Handler, Request, Response


def request() -> Request:
    return Request("GET", "/somewhere\nelse", {"x-request-id": "mine"}, lambda: b"")


def raise_unexpected_error(_: Request) -> Response:
    raise ZeroDivisionError("the secret ingredient")


def raise_not_ready(_: Request) -> Response:
    raise NotReadyError("no model is loaded", retry_after=3)


def test_internal_error_reveals_no_details(caplog: pytest.LogCaptureFixture) -> None:
    """The client gets 500 and a request id; the log has the same id and the traceback."""
    response = bare_pipeline().handle(request(), raise_unexpected_error)
    assert (response.status, json.loads(response.body)["request_id"]) == (500, "mine")
    assert b"secret" not in response.body
    assert b"ZeroDivision" not in response.body
    assert "request mine failed" in caplog.text
    assert "the secret ingredient" in caplog.text


def test_error_response_has_the_headers_of_the_error() -> None:
    """503 has Retry-After."""
    response = bare_pipeline().handle(request(), raise_not_ready)
    assert (response.status, response.headers["Retry-After"]) == (503, "3")
    assert json.loads(response.body)["detail"] == "no model is loaded"


SERVER_TIMING = re.compile(r"((admit|parse|validate|infer|render);dur=\d+\.\d{3}, )*total;dur=\d+\.\d{3}")


@pytest.mark.parametrize("handler", [raise_unexpected_error, raise_not_ready, lambda _: Response(200, b"{}")])
def test_every_response_has_server_timing(handler: Handler) -> None:
    """Unless it is switched off."""
    assert SERVER_TIMING.fullmatch(bare_pipeline().handle(request(), handler).headers["Server-Timing"])
    assert "Server-Timing" not in bare_pipeline(server_timing=False).handle(request(), handler).headers


def test_trace_is_continued_in_the_response() -> None:
    """The traceresponse header has the client's trace id and a new span id; without traceparent there is none."""
    headers = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    traced_request = Request("GET", "/", headers, lambda: b"")
    traceresponse = bare_pipeline().handle(traced_request, raise_unexpected_error).headers["traceresponse"]
    assert re.fullmatch("00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01", traceresponse)
    assert "b7ad6b7169203331" not in traceresponse
    assert "traceresponse" not in bare_pipeline().handle(request(), raise_unexpected_error).headers
