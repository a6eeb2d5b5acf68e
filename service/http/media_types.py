"""What a request says that its body is."""

from service.http.errors import UnsupportedMediaError
from service.http.messages import Headers, Request

JSON = "application/json"


def require(request: Request, *media: str) -> None:
    """Refuse a body that says it is anything but plain, of one of these types and in UTF-8; ``""`` is to say nothing.

    Raises:
        UnsupportedMediaError: naming what to send instead.
    """
    said, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if said.strip() not in media or charset not in ("", "utf-8"):
        wanted = " or ".join(f"`Content-Type: {name}`" for name in media if name)
        raise UnsupportedMediaError(f"send the body as {wanted}, in UTF-8")
    require_plain(request)


def require_plain(request: Request) -> None:
    """Refuse a compressed body.

    Raises:
        UnsupportedMediaError: it says that it is encoded.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaError("send the body as it is, without Content-Encoding")


def require_sent_plain(headers: Headers) -> None:
    """Refuse a body that was encoded on its way: gunicorn takes it off the wire, but does not decode it.

    Raises:
        UnsupportedMediaError: it came with a transfer coding other than chunked.
    """
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise UnsupportedMediaError("send the body as it is, with no Transfer-Encoding but chunked")
