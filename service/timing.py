"""Where a request's time went, for whoever asked: the header ``Server-Timing`` (W3C), in milliseconds."""

from service.record import Record

_SHOWN = [f"{microseconds / 1000:.3f}" for microseconds in range(1000)]  # making them anew took 2.5 us a request


def header(record: Record) -> str:
    """The stages of a request, each with what it took, and all of it: ``admit;dur=0.012, …, total;dur=0.090``."""
    told, before = "", record.started
    for stage, at in record.laps:
        told += f"{stage};dur={_shown(at - before)}, "
        before = at
    return f"{told}total;dur={_shown(before - record.started)}"


def _shown(nanoseconds: int) -> str:
    microseconds = nanoseconds // 1000
    return _SHOWN[microseconds] if microseconds < len(_SHOWN) else f"{microseconds / 1000:.3f}"
