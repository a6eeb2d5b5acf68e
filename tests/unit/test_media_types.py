"""Media types, content codings and quality values of requests."""

import pytest
from support.http_requests import make_request

from service.http.errors import UnsupportedMediaError
from service.http.media_types import (
    accepts,
    require_identity_coding,
    require_media_type,
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
        ("", False),
        ("br", False),
        ("x-gzipped", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, br", False),
        ("gzip;q=x", False),
        ("gzip;q=0, gzip", False),
    ],
)
def test_accepts_compares_names_and_quality_values(field: str, expected: bool) -> None:
    """RFC 9110, section 12.4.2: a quality of 0 means "not acceptable"; a missing one is 1. The first match counts."""
    assert accepts(field, "gzip") is expected


@pytest.mark.parametrize(
    "content_type",
    ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'],
)
def test_equivalent_media_types_are_accepted(content_type: str) -> None:
    """Case-insensitive, and with UTF-8 as the only charset."""
    require_media_type(make_request(content_type=content_type), "application/json")


@pytest.mark.parametrize("content_type", ["text/plain", "application/jsonl", "application/json; charset=latin-1"])
def test_other_media_types_are_refused(content_type: str) -> None:
    """The message names those that are accepted."""
    with pytest.raises(UnsupportedMediaError, match=r"Content-Type: application/json` or `Content-Type: text/csv`"):
        require_media_type(make_request(content_type=content_type), "application/json", "", "text/csv")


def test_missing_content_type_is_accepted_only_where_allowed() -> None:
    """``""`` allows it."""
    require_media_type(make_request(), "application/json", "")
    with pytest.raises(UnsupportedMediaError):
        require_media_type(make_request(), "application/json")


@pytest.mark.parametrize("coding", ["gzip", "br", "identity, gzip"])
def test_compressed_body_is_refused(coding: str) -> None:
    """By both checks of the body's headers."""
    compressed = make_request(content_type="application/json", content_encoding=coding)
    for check in (require_identity_coding, lambda each: require_media_type(each, "application/json")):
        with pytest.raises(UnsupportedMediaError, match="Content-Encoding"):
            check(compressed)


@pytest.mark.parametrize("headers", [{}, {"content_encoding": "identity"}, {"content_encoding": "Identity"}])
def test_uncompressed_body_is_accepted(headers: dict[str, str]) -> None:
    """Content-Encoding may say so."""
    require_identity_coding(make_request(**headers))


def test_only_the_chunked_transfer_coding_is_accepted() -> None:
    """In any case; gunicorn does not decode others."""
    for headers in ({}, {"transfer-encoding": "chunked"}, {"transfer-encoding": "Chunked"}):
        require_no_transfer_coding(headers)
    for coding in ("gzip", "gzip, chunked"):
        with pytest.raises(UnsupportedMediaError, match="Transfer-Encoding"):
            require_no_transfer_coding({"transfer-encoding": coding})
