"""The page that shows the description: its files, as they are sent."""

import gzip
import re

import pytest
from support.http_responses import Send

from service.openapi.swagger_ui import FILES


def test_the_page_needs_no_script_of_its_own(send: Send) -> None:
    """All that it loads are files from here, so that its policy can be strict."""
    page = send("GET", "/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-store"
    assert b"style=" not in page.body
    assert re.findall(rb"<script>|<style|https?:", page.body) == []
    loaded = re.findall(r'(?:src|href)="docs/([^?"]+)\?[0-9a-f]{12}"', page.body.decode())
    assert sorted(loaded) == sorted(FILES)


TYPES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
    "initialise.js": "text/javascript; charset=utf-8",
}


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in FILES)])
def test_nothing_comes_from_elsewhere(send: Send, path: str) -> None:
    """The browser is told to run and ask nothing but this service."""
    headers = send("GET", path).headers
    policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
    assert policy.pop("default-src") == policy.pop("frame-ancestors") == policy.pop("base-uri") == "'none'"
    assert policy.pop("form-action") == "'none'"
    assert policy == dict.fromkeys(("script-src", "style-src", "connect-src"), "'self'") | {"img-src": "'self' data:"}
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
def test_files_are_packed_for_who_can_unpack(send: Send, name: str) -> None:
    """Every file is sent in less where that is less, and the same once unpacked; caches keep both apart."""
    plain, packed = (
        send("GET", f"/docs/{name}", headers={"Accept-Encoding": asked}) for asked in ("identity", "br, gzip;q=0.5")
    )
    assert (plain.status, packed.status) == (200, 200)
    assert plain.headers["Content-Type"] == packed.headers["Content-Type"] == TYPES[name]
    assert plain.headers["Vary"] == packed.headers["Vary"] == "Accept-Encoding"
    assert "immutable" in plain.headers["Cache-Control"]
    assert "Content-Encoding" not in plain.headers
    body = packed.body  # requests unpacks, Flask's client does not
    assert plain.body == (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    assert (packed.headers.get("Content-Encoding") == "gzip") == (name.endswith((".js", ".css")))


@pytest.mark.parametrize("asked", ["", "br", "gzip;q=0", "gzip; q=0.0, br", "x-gzipped", "notgzip"])
def test_who_cannot_unpack_gets_a_file_as_it_is(send: Send, asked: str) -> None:
    """Saying nothing, or no, is heeded."""
    assert "Content-Encoding" not in send("GET", "/docs/swagger-ui.css", headers={"Accept-Encoding": asked}).headers


@pytest.mark.parametrize("name", ["swagger-ui.js", "..%2fapp.py", "%2e%2e/viewer.py", "INITIALISE.js", ""])
def test_no_other_file_is_sent(send: Send, name: str) -> None:
    """What is not on the list is not there."""
    answer = send("GET", f"/docs/{name}")
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/problem+json")
