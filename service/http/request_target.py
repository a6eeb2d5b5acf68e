"""Where a request is sent: its Host (RFC 9110, section 7.2) and a target in absolute form (RFC 9112, section 3.2.2)."""

import re
from ipaddress import IPv6Address
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from service.http.errors import RequestError

# RFC 3986, section 3.2: an IPv6 address in brackets, or a name or IPv4 address; then a port, which may be empty.
_AUTHORITY = re.compile(
    r"(?:\[([0-9A-Fa-f:.]+)\]|(?:[A-Za-z0-9._~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+)(?::([0-9]{0,5}))?",
)
_MAX_PORT = 65_535


def is_authority(text: str) -> bool:
    """Whether this is a host, which is not empty, with a port or without; user information is not allowed."""
    match = _AUTHORITY.fullmatch(text)
    if not match:
        return False
    literal, port = match.groups()
    return int(port or 0) <= _MAX_PORT and (literal is None or _is_ipv6(literal))


def require_host(host: str | None, http_version: str) -> None:
    """Check a request's Host (RFC 9112, section 3.2); an empty one is valid.

    Raises:
        RequestError: it is invalid, or missing in HTTP/1.1.
    """
    if host is None and http_version == "1.1":
        raise RequestError("the Host header is missing: HTTP/1.1 requires it")
    if host and not is_authority(host):
        raise RequestError("the Host header is invalid: send a host name or address, with or without a port")


class AbsoluteTarget(NamedTuple):
    """A request target such as ``http://host/path``, without its query; ``path`` is decoded."""

    scheme: str
    authority: str
    path: str

    @classmethod
    def split(cls, target: bytes) -> "AbsoluteTarget | None":
        """The parts of a target in absolute form, valid or not; None for one in another form."""
        if target.startswith(b"/") or b"://" not in target:
            return None
        scheme, _, rest = target.decode("latin-1").partition("://")
        authority, _, path = rest.partition("/")
        return cls(scheme, authority, unquote_to_bytes(f"/{path}").decode("utf-8", "replace"))

    def require_valid(self) -> None:
        """Check scheme and authority.

        Raises:
            RequestError: one of them is invalid.
        """
        if self.scheme.lower() not in {"http", "https"}:
            raise RequestError("the scheme of the request target is neither http nor https")
        if not is_authority(self.authority):
            raise RequestError("the authority of the request target is invalid: send a host, with or without a port")


def _is_ipv6(text: str) -> bool:
    try:
        IPv6Address(text)
    except ValueError:
        return False
    return True
