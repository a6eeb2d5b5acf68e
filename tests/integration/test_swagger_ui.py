"""GET /docs: Swagger UI and its files."""

import gzip
import re

import pytest
from support.http_responses import Send

from service.openapi.swagger_ui import FILES


def test_page_has_no_inline_script(send: Send) -> None:
    """It loads files of the service only, so that its policy can be strict."""
    page = send("GET", "/docs")
    assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["Cache-Control"] == "no-store"
    assert b"style=" not in page.body
    assert re.findall(rb"<script>|<style|https?:", page.body) == []
    loaded = re.findall(r'(?:src|href)="docs/([^?"]+)\?[0-9a-f]{12}"', page.body.decode())
    assert sorted(loaded) == sorted(FILES)


def test_imported_modules_exist(send: Send) -> None:
    """The dialog for an API key is that of the page at ``/``."""
    modules = re.findall(r'from "\.\./([^"]+)"', send("GET", "/docs/initialise.js").body.decode())
    assert len(modules) == 2
    assert all(send("GET", f"/{module}").status == 200 for module in modules)


TYPES = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
    "initialise.js": "text/javascript; charset=utf-8",
}


@pytest.mark.parametrize("path", ["/docs", *(f"/docs/{name}" for name in FILES)])
def test_policy_allows_the_service_only(send: Send, path: str) -> None:
    """The browser may run and fetch nothing from other hosts."""
    response = send("GET", path)
    assert response.security_policy == {
        **{key: {"'none'"} for key in ("default-src", "frame-ancestors", "base-uri", "form-action")},
        **{key: {"'self'"} for key in ("script-src", "style-src", "connect-src")},
        "img-src": {"'self'", "data:"},
    }
    assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("name", FILES)
def test_files_are_compressed_where_accepted(send: Send, name: str) -> None:
    """If that makes them smaller; caches keep both forms apart."""
    plain, compressed = (
        send("GET", f"/docs/{name}", headers={"Accept-Encoding": accept_encoding})
        for accept_encoding in ("identity", "br, gzip;q=0.5")
    )
    assert (plain.status, compressed.status) == (200, 200)
    assert plain.headers["Content-Type"] == compressed.headers["Content-Type"] == TYPES[name]
    assert plain.headers["Vary"] == compressed.headers["Vary"] == "Accept-Encoding"
    assert "immutable" in plain.headers["Cache-Control"]
    assert "Content-Encoding" not in plain.headers
    body = compressed.body  # requests decompresses it, Flask's client does not
    assert plain.body == (gzip.decompress(body) if body.startswith(b"\x1f\x8b") else body)
    assert (compressed.headers.get("Content-Encoding") == "gzip") == (name.endswith((".js", ".css")))


@pytest.mark.parametrize("accept_encoding", ["", "br", "gzip;q=0", "gzip; q=0.0, br", "x-gzipped", "notgzip"])
def test_file_is_not_compressed_where_gzip_is_not_accepted(send: Send, accept_encoding: str) -> None:
    """No Accept-Encoding, other codings, or a quality of 0."""
    assert (
        "Content-Encoding"
        not in send("GET", "/docs/swagger-ui.css", headers={"Accept-Encoding": accept_encoding}).headers
    )


@pytest.mark.parametrize("name", ["swagger-ui.js", "..%2fapp.py", "%2e%2e/viewer.py", "INITIALISE.js", ""])
def test_other_files_are_not_found(send: Send, name: str) -> None:
    """Only the listed names exist."""
    response = send("GET", f"/docs/{name}")
    assert (response.status, response.headers["Content-Type"]) == (404, "application/problem+json")
