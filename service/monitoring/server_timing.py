"""Where a request's time went, for whoever asked: the header ``Server-Timing`` (W3C), in milliseconds."""

from service.http.context import Record

_MOST = 1000
_SHOWN = [f"{microseconds / 1000:.3f}" for microseconds in range(_MOST)]  # making them anew took 2.5 us a request


def header(record: Record) -> str:
    """The stages of a request, each with what it took, and all of it: ``admit;dur=0.012, …, total;dur=0.090``."""
    told, before = "", record.started
    for stage, at in record.laps:
        spent = (at - before) // 1000
        told += f"{stage};dur={_SHOWN[spent] if spent < _MOST else _long(spent)}, "
        before = at
    spent = (before - record.started) // 1000
    return f"{told}total;dur={_SHOWN[spent] if spent < _MOST else _long(spent)}"


def _long(microseconds: int) -> str:
    return f"{microseconds / 1000:.3f}"
