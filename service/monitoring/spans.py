"""OpenTelemetry spans, if OpenTelemetry's endpoint is set and the extra ``otel`` is installed.

The server's span lasts from the request to its response; each stage is a child, made afterwards from the context's
times. A thread sends them in batches. Everything else is configured by OpenTelemetry's own variables:
``OTEL_EXPORTER_OTLP_ENDPOINT``, ``OTEL_SERVICE_NAME``, ``OTEL_TRACES_SAMPLER`` and so on.
"""

import logging
import os
import threading
from collections.abc import Mapping, Sequence
from time import perf_counter_ns, time_ns
from typing import Any

from models.installation import install_command
from service.http.context import RequestContext, TraceContext
from service.http.messages import Request
from service.monitoring import otel_environment, trace_context
from service.monitoring.log_format import printable
from service.version import VERSION

_METHODS = {"CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "TRACE"}
_FIRST_SERVER_ERROR = 500
_log = logging.getLogger("menagerie")


def is_enabled(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether OpenTelemetry's own variables ask for spans, and its packages are installed.

    Raises:
        StartupError: one of the variables is invalid.
    """
    if not otel_environment.asks_for_spans(environment):
        return False
    otel_environment.require_valid(environment)
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace.export  # noqa: F401 (once, before there are workers)
    except ImportError:
        _log.warning("OTEL_EXPORTER_OTLP_ENDPOINT is set, but no spans are sent: run `%s`", install_command("otel"))
        return False
    return True


class Spans:
    """Sends the spans of one process, from `start` to `close`."""

    def __init__(self) -> None:
        self._provider: Any = None
        self._tracer: Any = None
        self._scheme = ""

    def start(self, scheme: str) -> None:
        """Start the thread that sends; call it after the fork. ``scheme`` is ``http`` or ``https``."""
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

    def begin(self, request: Request) -> TraceContext | None:
        """Start the server's span of a request, as a child of the client's if there is one."""
        if not self._tracer:
            return trace_context.continue_trace(request.headers.get("traceparent", ""))
        from opentelemetry.trace import SpanKind

        span = self._tracer.start_span(
            _name(request), _parent_context(request), SpanKind.SERVER, start_time=request.context.started + _offset()
        )
        ids = span.get_span_context()
        return TraceContext(f"{ids.trace_id:032x}", f"{ids.span_id:016x}", bool(ids.trace_flags.sampled), span)

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """End the spans of completed requests, each with a child for each stage."""
        offset = _offset()
        for context in contexts:
            if context.trace and context.trace.is_sampled and context.trace.span:
                self._end(context, context.trace.span, offset)

    def _end(self, context: RequestContext, span: Any, offset: int) -> None:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        span.set_attributes(_attributes(context) | {"url.scheme": self._scheme})
        if context.status >= _FIRST_SERVER_ERROR:  # a client error is no failure of the server's span
            span.set_status(Status(StatusCode.ERROR))
        parent, start = set_span_in_context(span), context.started
        for stage, end in context.stages.items():
            self._tracer.start_span(stage, parent, start_time=start + offset).end(end + offset)
            start = end
        span.end(start + offset)

    def close(self, seconds: float) -> None:
        """Send the remaining spans within some seconds; a slow collector must not delay the exit of the process."""
        if not self._provider:
            return
        sender = threading.Thread(target=self._provider.shutdown, name="spans", daemon=True)
        sender.start()
        sender.join(seconds)
        if sender.is_alive():
            _log.warning("the last spans were lost: the collector did not accept them within %g s", seconds)


def _offset() -> int:
    """Nanoseconds from the epoch of ``perf_counter_ns`` to that of Unix time."""
    return time_ns() - perf_counter_ns()


def _name(request: Request) -> str:
    method = request.method if request.method in _METHODS else "HTTP"
    return f"{method} {request.route.path}" if request.route else method


def _parent_context(request: Request) -> Any:
    """OpenTelemetry's context of the client's span; an empty one, which begins a new trace, if there is none."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, TraceState, set_span_in_context

    client = trace_context.parse(request.headers.get("traceparent", ""))
    if not client:
        return Context()
    state = TraceState.from_header([request.headers.get("tracestate", "")])
    flags = TraceFlags(client.is_sampled)
    parent = SpanContext(
        int(client.trace_id, 16), int(client.span_id, 16), is_remote=True, trace_flags=flags, trace_state=state
    )
    return set_span_in_context(NonRecordingSpan(parent), Context())


def _attributes(context: RequestContext) -> dict[str, Any]:
    """OpenTelemetry's attributes for HTTP, and some of our own; no content of the request."""
    attributes = {
        "http.request.method": context.method if context.method in _METHODS else "_OTHER",
        "http.route": context.route.path if context.route else "",
        "url.path": printable(context.path),
        "http.response.status_code": context.status,
        "error.type": context.error if context.status >= _FIRST_SERVER_ERROR else "",
        "menagerie.request_id": context.request_id,
        "menagerie.error": context.error,
        "menagerie.model.name": context.model.name if context.model else "",
        "menagerie.model.version": context.model.version if context.model else 0,
        "menagerie.rows": context.rows,
    }
    return {name: value for name, value in attributes.items() if value}
