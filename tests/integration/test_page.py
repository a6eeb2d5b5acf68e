"""The page's files: who gets them, in what form, and under which rules."""

import gzip
import json
import re
from pathlib import Path

import pytest
from flask import Flask
from support.http_responses import HttpResponse, Send

from models import bundle
from models.bundle import MANIFEST
from service.app import create_app
from service.settings import Settings
from service.web import page

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
FILES = sorted(path for path in page.FOLDER.rglob("*") if path.is_file())
HEAVIEST = 150_000  # bytes of all that a browser loads before the card is read, compressed


def told(answer: HttpResponse) -> dict[str, set[str]]:
    """A Content-Security-Policy as a table."""
    rules = [rule.split() for rule in answer.headers["Content-Security-Policy"].split(";")]
    return {name: set(sources) for name, *sources in rules}


def test_a_browser_gets_the_page(send: Send) -> None:
    """HTML for whoever says that he reads it."""
    answer = send("GET", "/", headers=BROWSER)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.body.startswith(b"<!doctype html>")
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/json", "text/plain", "text/html;q=0", "text/html;q=x", ""]
)
def test_everybody_else_gets_the_paths(send: Send, accept: str | None) -> None:
    """JSON as before, and a cache is told that it depends on what was asked for."""
    answer = send("GET", "/", headers=None if accept is None else {"Accept": accept})
    assert answer.headers["Content-Type"] == "application/json"
    assert json.loads(answer.body)["paths"]["predict"] == "/predict"
    assert answer.headers["Vary"] == "Accept, Accept-Encoding"
    assert answer.headers["Cache-Control"] == "no-store"


def test_the_page_may_load_its_own_files_and_nothing_else(send: Send) -> None:
    """No script or style inside the document, no other host, no frame around it, nowhere to send a form."""
    for path in ("/", "/page/main.js", "/page/style.css"):
        answer = send("GET", path, headers=BROWSER)
        assert told(answer) == {
            "default-src": {"'none'"},
            "script-src": {"'self'"},
            "style-src": {"'self'"},
            "img-src": {"'self'", "data:"},
            "connect-src": {"'self'"},
            "base-uri": {"'none'"},
            "form-action": {"'none'"},
            "frame-ancestors": {"'none'"},
        }
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Referrer-Policy"] == "no-referrer"


def test_the_report_may_run_no_script(send: Send) -> None:
    """It was made by whoever trained the model, and has its styles inside."""
    for name in ("index.html", "confusion.svg"):
        policy = told(send("GET", f"/page/report/{name}"))
        assert policy["default-src"] == {"'none'"}
        assert "script-src" not in policy


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/page/main.js", "text/javascript; charset=utf-8"),
        ("/page/vendor/d3.js", "text/javascript; charset=utf-8"),
        ("/page/vendor/d3.txt", "text/plain; charset=utf-8"),
        ("/page/style.css", "text/css; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
        ("/page/report", "application/json"),
        ("/page/report/report.json", "application/json"),
        ("/page/report/worst.svg", "image/svg+xml"),
    ],
)
def test_files_have_their_types(send: Send, path: str, kind: str) -> None:
    """With nosniff a browser takes a file for what it is said to be."""
    answer = send("GET", path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/report/report.json"])
def test_files_are_asked_for_again_but_not_sent_again(send: Send, path: str) -> None:
    """A browser keeps a file and asks whether it is still the one: 304 without a body if it is."""
    first = send("GET", path, headers=BROWSER)
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    for condition in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = send("GET", path, headers=BROWSER | {"If-None-Match": condition})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert send("GET", path, headers=BROWSER | {"If-None-Match": 'W/"other"'}).status == 200


def test_files_are_compressed_for_whoever_takes_it(app: Flask) -> None:
    """The same bytes, a third of the weight; a cache is told that there are two forms."""
    asked = app.test_client()
    plain = asked.get("/page/main.js", headers={"Accept-Encoding": "identity"})
    packed = asked.get("/page/main.js", headers={"Accept-Encoding": "br;q=1.0, gzip;q=0.8, *;q=0.1"})
    refused = asked.get("/page/main.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data == (page.FOLDER / "main.js").read_bytes()
    assert packed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


@pytest.mark.parametrize(
    "path",
    [
        "/page",
        "/page/",
        "/page/nowhere.js",
        "/page/vendor/update",
        "/page/vendor/d3.parts.mjs",
        "/page/../routes.py",
        "/page/%2e%2e/routes.py",
        "/page/report/",
        "/page/report/manifest.json",
        "/page/report/../manifest.json",
        "/page/model.keras",
    ],
)
def test_nothing_else_is_served(send: Send, path: str) -> None:
    """Only what the page needs, and of the bundle only the report."""
    assert send("GET", path).status == 404


def test_the_report_s_files_are_listed(send: Send) -> None:
    """The page need not try and fail."""
    names = json.loads(send("GET", "/page/report").body)["files"]
    assert {"index.html", "presets.json", "report.json", "confusion.svg"} <= set(names)
    assert all(send("GET", f"/page/report/{name}").status == 200 for name in names)


def test_a_model_without_a_report_has_a_page(store: Path) -> None:
    """A user may have trained with --no-report."""
    folder = store / "animals" / "1"
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {name: file for name, file in manifest["files"].items() if not name.startswith("report/")}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    client = create_app(Settings(model_store=store)).test_client()
    assert client.get("/", headers=BROWSER).status_code == 200
    assert client.get("/page/report").get_json() == {"files": []}
    assert client.get("/page/report/report.json").status_code == 404


def test_a_report_that_was_changed_is_not_served(store: Path) -> None:
    """What is shown is what the manifest vouches for."""
    client = create_app(Settings(model_store=store)).test_client()
    (bundle.find_newest_version(store, "animals") / "report" / "worst.svg").write_text("<svg/>")
    assert client.get("/page/report/worst.svg").status_code == 500


def test_the_document_holds_no_script_and_no_style() -> None:
    """The policy would refuse them."""
    document = (page.FOLDER / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", document)


def test_every_module_is_there_and_announced() -> None:
    """What the document and the modules name exists, and all modules are fetched at once, not one after the other."""
    document = (page.FOLDER / "index.html").read_text()
    named = set(re.findall(r'(?:href|src)="page/([^"]+)"', document))
    assert all((page.FOLDER / name).is_file() for name in named)
    imported = {
        name for path in page.FOLDER.glob("*.js") for name in re.findall(r'from "\./([^"]+)"', path.read_text())
    }
    assert imported <= named


def test_no_file_names_another_host() -> None:
    """Nothing is loaded from elsewhere; D3's own pages stand in comments and licences only."""
    for path in FILES:
        if path.parent != page.FOLDER:
            continue
        addresses = set(re.findall(r"https?://[^\s\"'<>)]+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


def test_the_page_is_light(app: Flask) -> None:
    """All that is loaded on opening, compressed, the presets and the report's figures included."""
    files = [f"/page/{path.relative_to(page.FOLDER)}" for path in FILES if path.suffix in {".js", ".css", ".svg"}]
    paths = ["/", *files, "/page/report/presets.json", "/page/report/report.json", "/model"]
    client = app.test_client()
    weights = {path: len(client.get(path, headers=BROWSER | {"Accept-Encoding": "gzip"}).data) for path in paths}
    assert sum(weights.values()) < HEAVIEST, weights


def test_the_vendored_library_says_what_it_is() -> None:
    """Version and licence of every part stand beside it."""
    said = (page.FOLDER / "vendor" / "d3.txt").read_text()
    for part in ("d3-selection", "d3-scale", "d3-shape"):
        assert re.search(rf"^{part} \d+\.\d+\.\d+$", said, re.MULTILINE)
    assert said.count("Permission to use, copy, modify") >= 3
