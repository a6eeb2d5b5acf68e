"""What a request says about its body and about the response it accepts: media types, codings, quality values."""

from service.http.errors import UnsupportedMediaError
from service.http.messages import Headers, Request


def require_media_type(request: Request, *media_types: str) -> None:
    """Refuse a body that is not of one of these types, in UTF-8 and uncompressed; ``""`` stands for no Content-Type.

    Raises:
        UnsupportedMediaError: the message names what to send instead.
    """
    headers = request.headers
    if headers.get("content-type", "") in media_types and not headers.get("content-encoding", ""):
        return  # nearly always
    given, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.strip().removeprefix("charset=").strip('"')
    if given.strip() not in media_types or charset not in ("", "utf-8"):
        accepted = " or ".join(f"`Content-Type: {name}`" for name in media_types if name)
        raise UnsupportedMediaError(f"send {accepted}, with the body in UTF-8")
    require_identity_coding(request)


def require_identity_coding(request: Request) -> None:
    """Refuse a compressed body.

    Raises:
        UnsupportedMediaError: the request has a Content-Encoding.
    """
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaError("send the body uncompressed, without Content-Encoding")


def require_no_transfer_coding(headers: Headers) -> None:
    """Refuse a transfer coding other than chunked: gunicorn removes it from the header, but does not decode it.

    Raises:
        UnsupportedMediaError: the body came with such a coding.
    """
    if headers.get("transfer-encoding", "chunked").lower() != "chunked":
        raise UnsupportedMediaError("send the body uncompressed: chunked is the only supported Transfer-Encoding")


def accepts(field: str, name: str) -> bool:
    """Whether an Accept or Accept-Encoding field names something with a quality above 0 (RFC 9110, section 12.4.2)."""
    for choice in field.lower().split(","):
        given, _, parameters = choice.partition(";")
        if given.strip() == name:
            quality = parameters.replace(" ", "").partition("q=")[2].partition(";")[0]
            try:
                return float(quality or 1) > 0
            except ValueError:
                return False
    return False
