"""The Server-Timing field (W3C): the duration of each stage of a request in milliseconds."""

from service.http.context import STAGES, RequestContext

_MAX_CACHED = 1000  # microseconds


class _Milliseconds(dict[int, str]):
    """``0.012`` for 12 us; formatting each time would take 1.5 us more a request."""

    def __missing__(self, microseconds: int) -> str:
        text = f"{microseconds / 1000:.3f}"
        if microseconds < _MAX_CACHED:
            self[microseconds] = text
        return text


_ms = _Milliseconds()


def header(context: RequestContext) -> str:
    """The field's value: ``admit;dur=0.012, ..., total;dur=0.090``."""
    stages, started = context.stages, context.started
    if len(stages) == len(STAGES):
        # Written out because it is what every prediction needs: a loop would take twice as long, 1 us more.
        admit, parse, validate, infer, render = stages.values()
        return (
            f"admit;dur={_ms[(admit - started) // 1000]}, parse;dur={_ms[(parse - admit) // 1000]}, "
            f"validate;dur={_ms[(validate - parse) // 1000]}, infer;dur={_ms[(infer - validate) // 1000]}, "
            f"render;dur={_ms[(render - infer) // 1000]}, total;dur={_ms[(render - started) // 1000]}"
        )
    value, start = "", started
    for stage, end in stages.items():
        value += f"{stage};dur={_ms[(end - start) // 1000]}, "
        start = end
    return f"{value}total;dur={_ms[(start - started) // 1000]}"
