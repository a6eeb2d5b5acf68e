"""An OpenTelemetry collector for tests: it receives spans by OTLP over HTTP, and keeps them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span


class ReceivedSpan(NamedTuple):
    """One span, its ids as they are written in a ``traceparent``."""

    span: Span
    resource: dict[str, Any]

    @property
    def trace_id(self) -> str:
        return self.span.trace_id.hex()

    @property
    def span_id(self) -> str:
        return self.span.span_id.hex()

    @property
    def parent_id(self) -> str:
        return self.span.parent_span_id.hex()

    @property
    def attributes(self) -> dict[str, Any]:
        return _to_dict(self.span.attributes)


class Collector(NamedTuple):
    url: str
    spans: list[ReceivedSpan]

    def children(self, parent: ReceivedSpan) -> list[ReceivedSpan]:
        """The spans under another by their start time."""
        children = [span for span in self.spans if span.parent_id == parent.span_id]
        return sorted(children, key=lambda child: child.span.start_time_unix_nano)


@contextmanager
def running_collector() -> Iterator[Collector]:
    """A collector on a free port."""
    spans: list[ReceivedSpan] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            assert self.path == "/v1/traces"
            export = ExportTraceServiceRequest.FromString(self.rfile.read(int(self.headers["Content-Length"])))
            for part in export.resource_spans:
                resource = _to_dict(part.resource.attributes)
                spans.extend(ReceivedSpan(span, resource) for scope in part.scope_spans for span in scope.spans)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Log nothing: the tests report what is wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield Collector(f"http://127.0.0.1:{server.server_port}", spans)
    finally:
        server.shutdown()
        server.server_close()


def _to_dict(attributes: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in attributes}
