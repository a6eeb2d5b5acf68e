"""What tracing sees of a request: OpenTelemetry spans, if its endpoint is set and the extra ``otel`` is installed.

The server's span begins with the request and ends with its answer; each stage is a child, made afterwards from the
record's times. They are sent in batches from a thread. Everything else is set up by OpenTelemetry's own variables:
``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER`` and so on.
"""

import logging
import os
import threading
from collections.abc import Mapping
from time import perf_counter_ns, time_ns
from typing import Any

from service.http.context import Trace
from service.http.messages import Reply, Request
from service.monitoring import log_format, trace_context
from service.version import VERSION

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
_log = logging.getLogger("menagerie")


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether spans are to be sent, by OpenTelemetry's own variables, and can be."""
    told = any(environment.get(name) for name in _ENDPOINTS)
    off = (
        environment.get("OTEL_SDK_DISABLED", "").lower() == "true" or environment.get("OTEL_TRACES_EXPORTER") == "none"
    )
    if not told or off:
        return False
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 (once, before there are workers)
    except ImportError:
        _log.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but no spans are sent: install requirements/otel.txt")
        return False
    return True


class Spans:
    """The spans of one process: none before `start`, none after `close`."""

    def __init__(self) -> None:
        self._provider: Any = None
        self._tracer: Any = None
        self._scheme = ""

    def start(self, scheme: str) -> None:
        """Begin to send, by a thread of this process: call it after the fork. ``scheme`` is what the service speaks."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        name = os.environ.get("OTEL_SERVICE_NAME", "menagerie")
        resource = Resource.create({"service.name": name, "service.version": VERSION})
        self._provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
        self._scheme = scheme
        self._tracer = self._provider.get_tracer("menagerie", VERSION)

    def begin(self, request: Request) -> Trace | None:
        """The server's span of a request, a child of the caller's if there is one."""
        if not self._tracer:
            return trace_context.take_over(request)
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(
            _name(request), _context(request), SpanKind.SERVER, start_time=request.record.started + _offset()
        )
        own = span.get_span_context()
        return Trace(f"{own.trace_id:032x}", f"{own.span_id:016x}", bool(own.trace_flags.sampled), span)

    def tell(self, request: Request, reply: Reply) -> None:
        """End a request's span, with a child for each stage."""
        record = request.record
        if not record.trace or not record.trace.sampled or not record.trace.span:
            return
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        span, offset = record.trace.span, _offset()
        span.set_attributes(_attributes(request, reply) | {"url.scheme": self._scheme})
        if reply.status >= 500:  # noqa: PLR2004 (a server's span is none of a failure if the caller is at fault)
            span.set_status(Status(StatusCode.ERROR))
        inside, before = set_span_in_context(span), record.started
        for stage, at in record.laps:
            self._tracer.start_span(stage, inside, start_time=before + offset).end(at + offset)
            before = at
        span.end(before + offset)

    def close(self, seconds: float) -> None:
        """Send what is left, for so long at most; whoever takes spans must not hold up the end."""
        if not self._provider:
            return
        sending = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        sending.start()
        sending.join(seconds)
        if sending.is_alive():
            _log.warning("the last spans are lost: they were not taken within %g s", seconds)


def _offset() -> int:
    """From `perf_counter_ns` to ns since 1970."""
    return time_ns() - perf_counter_ns()


def _name(request: Request) -> str:
    method = request.method if request.method in _METHODS else "HTTP"
    return f"{method} {request.route}" if request.route else method


def _context(request: Request) -> Any:
    """OpenTelemetry's context of the caller's span; an empty one, in which a new trace begins, if there is none."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

    asking = trace_context.parent(request.headers.get("traceparent", ""))
    if not asking:
        return Context()
    state = TraceState.from_header([request.headers.get("tracestate", "")])
    flags = TraceFlags(asking.sampled)
    parent = SpanContext(
        int(asking.trace_id, 16), int(asking.span_id, 16), is_remote=True, trace_flags=flags, trace_state=state
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _attributes(request: Request, reply: Reply) -> dict[str, Any]:
    """By OpenTelemetry's conventions for HTTP, and of our own; nothing of what was in the request."""
    record = request.record
    told = {
        "http.request.method": request.method if request.method in _METHODS else "_OTHER",
        "http.route": request.route,
        "url.path": log_format.shown(request.path),
        "http.response.status_code": reply.status,
        "error.type": record.error if reply.status >= 500 else "",  # noqa: PLR2004
        "menagerie.request_id": record.request_id,
        "menagerie.error": record.error,
        "menagerie.model.version": record.version,
        "menagerie.rows": record.rows,
    }
    return {name: value for name, value in told.items() if value}
