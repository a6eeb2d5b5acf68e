"""Static files: entity tags, compression and policies."""

import gzip

import pytest
from support.http_requests import make_request

from service.http.messages import Response
from service.http.static_file import IMMUTABLE, NO_SOURCES, OWN_SOURCES, StaticFile

CONTENT = b"body { color: black }\n" * 100


def get(file: StaticFile, **headers: str) -> Response:
    return file.respond(make_request(**headers))


@pytest.fixture
def file() -> StaticFile:
    return StaticFile("a/style.css", lambda: CONTENT)


def test_file_has_its_media_type_and_the_default_headers(file: StaticFile) -> None:
    """Browsers revalidate it, and it may load files of the service only."""
    response = get(file)
    assert (response.status, response.body, response.content_type) == (200, CONTENT, "text/css; charset=utf-8")
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["Content-Security-Policy"] == OWN_SOURCES
    assert response.headers["Vary"] == "Accept-Encoding"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_policy_and_cache_control_are_configurable() -> None:
    """A report allows no script; a file whose address has its hash never changes."""
    response = get(StaticFile("x.svg", lambda: b"<svg/>", NO_SOURCES, IMMUTABLE))
    assert response.headers["Content-Security-Policy"] == NO_SOURCES
    assert response.headers["Cache-Control"] == IMMUTABLE


def test_unknown_suffix_is_an_error() -> None:
    """No file is sent without a media type."""
    with pytest.raises(KeyError, match="exe"):
        StaticFile("x.exe", lambda: b"")


def test_gzip_is_used_where_accepted_and_shorter(file: StaticFile) -> None:
    """The decompressed bytes are the same; a file that gzip makes longer is sent as it is."""
    compressed = get(file, accept_encoding="br, gzip;q=0.5")
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.body) == CONTENT
    for response in (
        get(file, accept_encoding="gzip;q=0"),
        get(StaticFile("x.js", lambda: b"1"), accept_encoding="gzip"),
    ):
        assert "Content-Encoding" not in response.headers


def test_matching_entity_tag_gets_304(file: StaticFile) -> None:
    """RFC 9110, section 13.1.2: weak comparison, lists and ``*``; the response has the tag and no body."""
    tag = get(file).headers["ETag"]
    assert tag.startswith('W/"')
    for condition in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        response = get(file, if_none_match=condition)
        assert (response.status, response.body, response.headers["ETag"]) == (304, b"", tag)
    for condition in ('W/"other"', tag[:-2] + '"', ""):
        assert get(file, if_none_match=condition).status == 200


def test_entity_tag_depends_on_the_content(file: StaticFile) -> None:
    """Not on the name."""
    tag = get(file).headers["ETag"]
    assert get(StaticFile("other.css", lambda: CONTENT)).headers["ETag"] == tag
    assert get(StaticFile("style.css", lambda: CONTENT + b"x")).headers["ETag"] != tag


def test_file_is_read_once_and_not_before_the_first_request() -> None:
    """A later change of the file is not served."""
    reads = []

    def read() -> bytes:
        reads.append(1)
        return CONTENT

    file = StaticFile("style.css", read)
    assert reads == []
    get(file)
    get(file, accept_encoding="gzip")
    assert reads == [1]
