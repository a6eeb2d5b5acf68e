"""Media types, content codings and quality values of requests."""

import pytest
from support.http_requests import make_request

from service.http.errors import UnsupportedMediaError
from service.http.media_types import (
    preferred,
    require_identity_coding,
    require_json,
    require_no_transfer_coding,
)


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("gzip", True),
        ("GZip", True),
        ("br, gzip", True),
        ("br;q=1.0, gzip;q=0.8, *;q=0.1", True),
        ("gzip ; q = 0.001", True),
        ("gzip;q=1.000;ext=1", True),
        ("gzip;level=9", True),
        ("gzip;seq=0", True),
        ("gzip;Q=0.5", True),
        ("*", True),
        ("*;q=0.1", True),
        ("gzip, identity", True),
        ("gzip;q=0.5, identity;q=0.5", True),
        ("", False),
        ("br", False),
        ("x-gzipped", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, br", False),
        ("gzip;q=x", False),
        ("gzip;q=nan", False),
        ("gzip;q=-1", False),
        ("gzip;q=2", False),
        ("gzip;q=", False),
        ("gzip;q=0, gzip", False),
        ("gzip;q=0, *", False),
        ("*;q=0", False),
        ("identity, *;q=0.1", False),
        ("gzip;q=0.4, identity;q=0.5", False),
        ("identity;q=0, gzip;q=0", False),
        (",,;,", False),
    ],
)
def test_preferred_content_coding(field: str, expected: bool) -> None:
    """RFC 9110, section 12.5.3: the highest quality; ``*`` is any coding not named; of equal names, the first."""
    assert (preferred(field, "gzip", "identity") == "gzip") is expected


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("a/x", "a/x"),
        ("a/y;q=0.1", "a/y"),
        ("A/Y", "a/y"),
        ("a/y;level=1", "a/y"),
        ("a/x;q=0.5, a/y", "a/y"),
        ("a/x, a/y;q=0.5", "a/x"),
        ("a/y, a/x", "a/x"),
        ("a/*", "a/x"),
        ("*/*", "a/x"),
        ("a/y, */*", "a/y"),
        ("a/y, a/*", "a/y"),
        ("b/z, */*;q=0.1", "a/x"),
        ("a/x;q=0, */*;q=0.1", "a/y"),
        ("a/x;q=0.2, a/*;q=0.1, */*;q=1", "a/x"),
        ("a/x;q=0, a/y;q=0, */*", ""),
        ("b/*", ""),
        ("", ""),
        ("a", ""),
        ("text/html, image/gif, *; q=.2, */*; q=.2", "a/x"),
    ],
)
def test_preferred_media_type(field: str, expected: str) -> None:
    """RFC 9110, section 12.5.1: the most precise range gives a type its quality; the first of equal types wins."""
    assert preferred(field, "a/x", "a/y") == expected


JSON_TYPES = [
    "application/json",
    "Application/JSON",
    "application/json; charset=utf-8",
    'application/json;charset="UTF-8"',
    "application/json; charset=latin-1",
    "application/json; charset=utf-8; version=1",
    "application/json;odata=verbose",
    "application/json ; odata=verbose;IEEE754Compatible=true",
    'application/json; profile="https://example.org/a,b;c=\\"d\\""',
    "application/json;",
    "application/json; ",
    "application/json;;charset",
    "application/vnd.api+json",
    "application/problem+json; charset=utf-8",
    "application/vnd.a+b+json",
]
OTHER_TYPES = [
    "text/plain",
    "text/json",
    "text/plain; a=application/json",
    "application/jsonl",
    "application/+json",
    "application/json-seq",
    "application/geo+json-seq",
    "application",
    "json",
    "application/json, application/json",
    "application/json; charset=utf-8, text/plain",
    "text/plain, application/json",
    'application/json; a="b',
    "application/json charset=utf-8",
    "multipart/form-data; boundary=x",
    "application/" + "a+" * 4000,
    "application/json" + ' ;"' * 4001,
]


@pytest.mark.parametrize("content_type", JSON_TYPES)
def test_equivalent_media_types_are_accepted(content_type: str) -> None:
    """In any case and with any parameters; a suffix says that a type is JSON."""
    require_json(make_request(content_type=content_type))


@pytest.mark.parametrize("content_type", OTHER_TYPES, ids=lambda value: value[:60])
def test_other_media_types_are_refused(content_type: str) -> None:
    """Accept tells programs what is accepted."""
    with pytest.raises(UnsupportedMediaError) as caught:
        require_json(make_request(content_type=content_type))
    assert caught.value.detail.startswith("send `Content-Type: application/json`: ")
    assert caught.value.headers == {"Accept": "application/json"}


@pytest.mark.parametrize(
    ("content_type", "named"),
    [
        ("text/plain", "`text/plain`"),
        ("Application/X-WWW-Form-Urlencoded; charset=utf-8", "`application/x-www-form-urlencoded`"),
        ("multipart/form-data; boundary=zebra", "`multipart/form-data`"),
        ("text/zebra", "the one sent"),
        ("text/plain, text/plain", "the one sent"),
    ],
)
def test_what_was_sent_is_named_if_it_is_well_known(content_type: str, named: str) -> None:
    """A response repeats nothing else of what a client sent."""
    with pytest.raises(UnsupportedMediaError) as caught:
        require_json(make_request(content_type=content_type))
    assert caught.value.detail == f"send `Content-Type: application/json`: {named} is not supported"


def test_missing_content_type_is_refused() -> None:
    """The message says so."""
    with pytest.raises(UnsupportedMediaError, match="application/json`: the request has none"):
        require_json(make_request())


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip", "x-identity"])
def test_compressed_body_is_refused(coding: str) -> None:
    """By both checks of the body's headers; Accept-Encoding tells programs (RFC 9110, section 12.5.3)."""
    for check in (require_identity_coding, require_json):
        with pytest.raises(UnsupportedMediaError, match="without Content-Encoding") as caught:
            check(make_request(content_type="application/json", content_encoding=coding))
        assert caught.value.headers == {"Accept-Encoding": "identity"}


@pytest.mark.parametrize("coding", ["", "identity", "Identity", "identity, identity", " , "])
@pytest.mark.parametrize("content_type", ["application/json", "application/json; charset=utf-8"])
def test_uncompressed_body_is_accepted(content_type: str, coding: str) -> None:
    """Content-Encoding may say so."""
    request = make_request(content_type=content_type, content_encoding=coding)
    require_identity_coding(request)
    require_json(request)


def test_only_the_chunked_transfer_coding_is_accepted() -> None:
    """In any case; gunicorn does not decode others."""
    for headers in ({}, {"transfer-encoding": "chunked"}, {"transfer-encoding": "Chunked"}):
        require_no_transfer_coding(headers)
    for coding in ("gzip", "gzip, chunked"):
        with pytest.raises(UnsupportedMediaError, match="Transfer-Encoding"):
            require_no_transfer_coding({"transfer-encoding": coding})
