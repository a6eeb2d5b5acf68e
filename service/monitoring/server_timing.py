"""The Server-Timing field (W3C): the duration of each stage of a request in milliseconds."""

from service.http.context import RequestContext

_CACHED = 1000
_MILLISECONDS = [f"{microseconds / 1000:.3f}" for microseconds in range(_CACHED)]  # formatting takes 2.5 us a request


def header(context: RequestContext) -> str:
    """The field's value: ``admit;dur=0.012, ..., total;dur=0.090``."""
    value, start = "", context.started
    for stage, end in context.stages:
        value += f"{stage};dur={_milliseconds(end - start)}, "
        start = end
    return f"{value}total;dur={_milliseconds(start - context.started)}"


def _milliseconds(nanoseconds: int) -> str:
    microseconds = nanoseconds // 1000
    return _MILLISECONDS[microseconds] if microseconds < _CACHED else f"{microseconds / 1000:.3f}"
