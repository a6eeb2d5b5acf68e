"""What a request says about its body and about the response it accepts: media types, codings, quality values."""

import re
from collections.abc import Iterator

from service.http.errors import UnsupportedMediaError
from service.http.messages import Headers, Request
from service.http.routing import JSON

# The type or its suffix (RFC 6839), then parameters, which are not looked at. A comma outside of quotes would begin the
# value of a second Content-Type field.
_JSON_TYPE = re.compile(
    r'application/(?:[\w!#$&^.+-]+\+)?json[ \t]*(?:;(?:[^",]|"(?:[^"\\]|\\.)*+")*+)?', re.ASCII | re.IGNORECASE
)
# What a response may name as sent; of anything else a client sends it repeats nothing.
_WELL_KNOWN = frozenset({"br", "compress", "deflate", "gzip", "x-gzip", "zstd"}) | {
    "application/octet-stream",
    "application/x-www-form-urlencoded",
    "application/xml",
    "multipart/form-data",
    "text/csv",
    "text/json",
    "text/plain",
}


def require_json(request: Request) -> None:
    """Refuse a body that is not declared as JSON, or is compressed.

    Parameters of the media type are ignored: JSON defines none, and its charset has no effect (RFC 8259, section 11).

    Raises:
        UnsupportedMediaError: the message names what to send instead.
    """
    given = request.headers.get("content-type", "")
    if given == JSON and not request.headers.get("content-encoding", ""):
        return  # nearly always
    if not _JSON_TYPE.fullmatch(given):
        problem = f"{_named(given)} is not supported" if given else "the request has none"
        raise UnsupportedMediaError(f"send `Content-Type: {JSON}`: {problem}", headers={"Accept": JSON})
    require_identity_coding(request)


def require_identity_coding(request: Request) -> None:
    """Refuse a compressed body.

    Raises:
        UnsupportedMediaError: the request has a content coding; Accept-Encoding says so (RFC 9110, section 12.5.3).
    """
    given = request.headers.get("content-encoding", "")
    if given and not {*_list_elements(given)} <= {"identity"}:
        raise UnsupportedMediaError(
            f"send the body uncompressed, without Content-Encoding: {_named(given)} is not supported",
            headers={"Accept-Encoding": "identity"},
        )


def require_no_transfer_coding(headers: Headers) -> None:
    """Refuse a transfer coding other than chunked: gunicorn removes it from the header, but does not decode it.

    Raises:
        UnsupportedMediaError: the body came with such a coding.
    """
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise UnsupportedMediaError("send the body uncompressed: chunked is the only supported Transfer-Encoding")


def preferred(field: str, *offers: str) -> str:
    """The media type or content coding that an Accept or Accept-Encoding field prefers; "" if it accepts none.

    That of the highest quality; of equal ones the one that the field names most precisely, then the first of `offers`
    (RFC 9110, sections 12.4.2, 12.5.1 and 12.5.3). Parameters other than ``q`` are ignored.
    """
    qualities: dict[str, float] = {}
    for element in _list_elements(field):
        given, *parameters = map(str.strip, element.split(";"))
        qualities.setdefault(given, _quality(parameters))

    def rank(offer: str) -> tuple[float, int]:
        """The quality of an offer, and how far the range that gives it is from the offer's own name."""
        matching = [(qualities[each], -distance) for distance, each in enumerate(_ranges(offer)) if each in qualities]
        return matching[0] if matching else (0.0, 0)

    best = max(offers, key=rank)
    return best if rank(best)[0] > 0 else ""


def _named(sent: str) -> str:
    """A client's media type or coding if it is well known."""
    name = sent.partition(";")[0].strip().lower()
    return f"`{name}`" if name in _WELL_KNOWN else "the one sent"


def _list_elements(field: str) -> Iterator[str]:
    """The elements of a list in lower case, without empty ones (RFC 9110, section 5.6.1)."""
    return filter(None, map(str.strip, field.lower().split(",")))


def _quality(parameters: list[str]) -> float:
    """The quality value among parameters; 1 if there is none, 0 if it is invalid."""
    for parameter in parameters:
        name, _, value = map(str.strip, parameter.partition("="))
        if name == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0
            return quality if 0 <= quality <= 1 else 0
    return 1


def _ranges(offer: str) -> tuple[str, ...]:
    """What stands for a media type or a content coding in a field, the most precise first."""
    kind, slash, _ = offer.partition("/")
    return (offer, f"{kind}/*", "*/*") if slash else (offer, "*")
