"""A request pipeline on its own, without a model."""

from service.app.pipeline import Pipeline
from service.http.routing import Protocol
from service.monitoring.trace_context import continue_trace


def bare_pipeline(*, server_timing: bool = True) -> Pipeline:
    """A pipeline without API keys, CORS and observers."""
    return Pipeline(
        api_keys=None,
        cors=None,
        protocol_of=lambda _: Protocol.NATIVE,
        begin_trace=lambda request: continue_trace(request.headers.get("traceparent", "")),
        observe=lambda _: None,
        server_timing=server_timing,
    )
