"""Host and request targets: what is valid (RFC 9110, section 7.2; RFC 9112, section 3.2; RFC 3986, section 3.2)."""

import pytest
from support.hostile_requests import BAD_AUTHORITIES

from service.http.errors import RequestError
from service.http.request_target import AbsoluteTarget, is_authority, require_host

GOOD_AUTHORITIES = [
    "x",
    "example.org",
    "EXAMPLE.org.",
    "example.org:8080",
    "example.org:",
    "example.org:0",
    "example.org:65535",
    "a_service",
    "~a-b._c",
    "127.0.0.1:8000",
    "[::1]",
    "[::1]:8000",
    "[::ffff:127.0.0.1]:80",
    "%41",
    "a,b",
    "xn--zbra-bpa",
]


@pytest.mark.parametrize("text", GOOD_AUTHORITIES)
def test_a_host_with_or_without_a_port_is_an_authority(text: str) -> None:
    """Names, IPv4 and IPv6 addresses."""
    assert is_authority(text)
    require_host(text, "1.1")


@pytest.mark.parametrize("text", [value.decode("latin-1") for value in BAD_AUTHORITIES])
def test_anything_else_is_none(text: str) -> None:
    """Each is refused as a Host, too."""
    assert not is_authority(text)
    with pytest.raises(RequestError, match="Host header is invalid"):
        require_host(text, "1.0")


@pytest.mark.parametrize("text", ["\n", "x\n", "\x00", "x\t", " x", "x" * 70_000 + " ", "x:" + "9" * 70_000])
def test_nor_is_what_no_server_lets_through(text: str) -> None:
    """Control characters, blanks around it, and very long ones, in no time."""
    assert not is_authority(text)


def test_an_empty_host_is_no_missing_one() -> None:
    """RFC 9112, section 3.2: HTTP/1.1 requires the field, not a value; HTTP/1.0 requires none."""
    require_host("", "1.1")
    require_host(None, "1.0")
    with pytest.raises(RequestError, match="missing"):
        require_host(None, "1.1")


@pytest.mark.parametrize(
    ("target", "parts"),
    [
        (b"http://x/predict", ("http", "x", "/predict")),
        (b"HTTP://x:80//a%2fb", ("HTTP", "x:80", "//a/b")),
        (b"http://x", ("http", "x", "/")),
        (b"http://x/", ("http", "x", "/")),
        (b"http:///", ("http", "", "/")),
        (b"http://x/a://b", ("http", "x", "/a://b")),
        (b"http://x/%c3%a9%ff", ("http", "x", "/é\N{REPLACEMENT CHARACTER}")),
        (b"://", ("", "", "/")),
    ],
)
def test_an_absolute_target_has_three_parts(target: bytes, parts: tuple[str, str, str]) -> None:
    """As gunicorn decodes the path of any other target."""
    assert AbsoluteTarget.split(target) == parts


@pytest.mark.parametrize("target", [b"/", b"/http://x/", b"*", b"x:443", b"", b"//x/y"])
def test_other_targets_are_not_absolute(target: bytes) -> None:
    """Origin form, asterisk form, authority form."""
    assert AbsoluteTarget.split(target) is None


@pytest.mark.parametrize("scheme", ["", "ftp", "http:", "httpx", "ws"])
def test_other_schemes_are_refused(scheme: str) -> None:
    """HTTP and HTTPS are one to a server behind a proxy that ends TLS."""
    AbsoluteTarget("HTTPS", "x", "/").require_valid()
    with pytest.raises(RequestError, match="neither http nor https"):
        AbsoluteTarget(scheme, "x", "/").require_valid()
