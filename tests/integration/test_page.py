"""GET / and GET /models/{model}/: the page, its files and their headers."""

import gzip
import json
import re
import shutil
from pathlib import Path
from urllib.parse import urljoin

import pytest
from flask import Flask
from flask.testing import FlaskClient
from support import mixed_bundles
from support.http_responses import Send
from support.published_bundles import newest_version

from models.bundle import MANIFEST
from service.app import create_app
from service.settings import SHIPPED_STORE, Settings
from service.web import page

BROWSER = {"Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"}
FILES = sorted(path for path in page.FOLDER.rglob("*") if path.is_file())
PAGE_PATHS = [f"/page/{path.name}" for path in FILES if path.parent == page.FOLDER]
ODD_NAME = "birds_2.x-y"
MAX_PAGE_BYTES = 150_000  # of all that a browser loads on opening, compressed


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of a service with the shipped model, the default, and two further ones."""
    store = tmp_path_factory.mktemp("several")
    shutil.copytree(SHIPPED_STORE, store, dirs_exist_ok=True)
    for name in ("penguins", ODD_NAME):
        mixed_bundles.publish(store, name=name)
    return create_app(Settings(model_store=store, models="*")).test_client()


@pytest.fixture(scope="module")
def without_default(tmp_path_factory: pytest.TempPathFactory) -> FlaskClient:
    """A client of a service with models of which none is the default."""
    store = tmp_path_factory.mktemp("without_default")
    for name in ("penguins", "seals"):
        mixed_bundles.publish(store, name=name)
    return create_app(Settings(model_store=store, models="*")).test_client()


@pytest.mark.parametrize(
    "accept",
    [
        BROWSER["Accept"],
        "text/html",
        "text/*",
        "text/html, */*",
        "text/html, application/json;q=0.9",
        "application/json;q=0.1, text/html;q=0.2",
        "application/json;q=0, */*",
        "application/*;q=0.5, text/*",
        "Text/HTML;level=1",
    ],
)
def test_browser_gets_html(send: Send, accept: str) -> None:
    """A client whose Accept prefers HTML."""
    response = send("GET", "/", headers={"Accept": accept})
    assert (response.status, response.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert response.body.startswith(b"<!doctype html>")
    assert response.headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    "accept",
    [
        None,
        "*/*",
        "application/json",
        "text/plain",
        "text/html;q=0",
        "text/html;q=x",
        "",
        "text/html;q=0.2, application/json",
        "application/json, text/html;q=0.9, */*;q=0.8",
        "application/json, text/html",
        "application/json, text/plain, */*",
        "text/html;q=0, text/*, application/json;q=0.1",
        "application/*",
        "text/html;q=0.1, */*",
        "image/png",
        "application/json;q=0, image/png",
    ],
)
def test_other_clients_get_the_paths(send: Send, accept: str | None) -> None:
    """As JSON, and Vary tells caches that the response depends on Accept."""
    response = send("GET", "/", headers=None if accept is None else {"Accept": accept})
    assert response.headers["Content-Type"] == "application/json"
    assert json.loads(response.body)["paths"]["predict"] == "/predict"
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ["/models/animals/", "/models/penguins/", "/models/birds_2.x-y/"])
def test_each_model_has_a_page_with_the_same_files(several: FlaskClient, path: str) -> None:
    """A browser that has opened one page loads no file again for another."""
    pages = {each: several.get(each, headers=BROWSER) for each in ("/", path)}
    assert [response.status_code for response in pages.values()] == [200, 200]
    files = {each: [urljoin(each, name) for name in _loaded_files(response.text)] for each, response in pages.items()}
    assert files["/"] == files[path]
    assert all(several.get(file).status_code == 200 for file in files[path])
    default, own = (response.headers for response in pages.values())
    assert default["Content-Security-Policy"] == own["Content-Security-Policy"]
    assert default["ETag"] != own["ETag"]
    assert several.get(path, headers=BROWSER | {"If-None-Match": own["ETag"]}).status_code == 304
    assert several.get(path, headers=BROWSER | {"If-None-Match": default["ETag"]}).status_code == 200
    assert own["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize("name", ["animals", "penguins", ODD_NAME])
def test_other_clients_get_the_paths_of_the_model(several: FlaskClient, name: str) -> None:
    """The same that the page of the model uses, and those of the service."""
    paths = several.get(f"/models/{name}/").get_json()["paths"]
    assert several.get(paths["model"]).get_json()["name"] == name
    assert several.get(paths["drift"]).status_code == several.get(paths["shadow"]).status_code == 200
    assert several.get(paths["docs"]).status_code == several.get(paths["live"]).status_code == 200
    feature = several.get(paths["model"]).get_json()["features"][0]["name"]
    assert feature in several.get(paths["openapi"]).text
    for path in (paths["predict"], paths["explain"]):
        refused = several.post(path, json={"features": {feature: "x"}})
        assert (refused.status_code, refused.get_json()["errors"][0]["field"]) == (422, f"features.{feature}")


@pytest.mark.parametrize(
    "path", ["/models/seals/", "/models/seals/page/report", "/models//", "/models/penguins//", "/models/"]
)
def test_pages_of_no_model_are_not_found(several: FlaskClient, path: str) -> None:
    """Whatever the client accepts."""
    for headers in (BROWSER, None):
        assert several.get(path, headers=headers).status_code == 404


def test_description_of_a_model_is_json_for_browsers_too(several: FlaskClient) -> None:
    """The page links to it."""
    response = several.get("/models/penguins", headers=BROWSER)
    assert (response.status_code, response.content_type) == (200, "application/json")


def test_report_is_that_of_the_model(several: FlaskClient) -> None:
    """Under the path of the page, as the page asks for it."""
    assert "report.json" in several.get("/models/animals/page/report").get_json()["files"]
    assert several.get("/models/animals/page/report/index.html").status_code == 200
    assert several.get("/models/penguins/page/report").get_json() == {"files": []}
    assert several.get("/models/penguins/page/report/index.html").status_code == 404


def test_without_a_default_model_the_page_lists_all(without_default: FlaskClient) -> None:
    """For browsers; other clients get the paths that exist."""
    response = without_default.get("/", headers=BROWSER)
    assert (response.status_code, response.content_type) == (200, "text/html; charset=utf-8")
    assert response.headers["Vary"] == "Accept, Accept-Encoding"
    assert all(without_default.get(urljoin("/", name)).status_code == 200 for name in _loaded_files(response.text))
    assert without_default.get("/models/seals/", headers=BROWSER).status_code == 200
    paths = without_default.get("/").get_json()["paths"]
    assert {path: without_default.get(path).status_code for path in paths.values()} == dict.fromkeys(
        paths.values(), 200
    )


def test_policy_allows_the_service_only(send: Send) -> None:
    """No inline script or style, no other host, no embedding, no form."""
    for path in ("/", "/page/main.js", "/page/style.css"):
        response = send("GET", path, headers=BROWSER)
        assert response.security_policy == {
            "default-src": {"'none'"},
            "script-src": {"'self'"},
            "style-src": {"'self'"},
            "img-src": {"'self'", "data:"},
            "connect-src": {"'self'"},
            "base-uri": {"'none'"},
            "form-action": {"'none'"},
            "frame-ancestors": {"'none'"},
        }
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Referrer-Policy"] == "no-referrer"


def test_policy_of_the_report_allows_no_script(send: Send) -> None:
    """Whoever trains the model makes it, with inline styles."""
    for name in ("index.html", "confusion.svg"):
        policy = send("GET", f"/page/report/{name}").security_policy
        assert policy["default-src"] == {"'none'"}
        assert "script-src" not in policy


@pytest.mark.parametrize(
    ("path", "media_type"),
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
def test_files_have_their_media_types(send: Send, path: str, media_type: str) -> None:
    """With nosniff, a browser relies on them."""
    response = send("GET", path)
    assert (response.status, response.headers["Content-Type"]) == (200, media_type)


@pytest.mark.parametrize("path", ["/", "/page/main.js", "/page/report/report.json"])
def test_unchanged_file_is_revalidated_with_304(send: Send, path: str) -> None:
    """Browsers keep a file and revalidate it with If-None-Match."""
    first = send("GET", path, headers=BROWSER)
    assert first.headers["Cache-Control"] == "no-cache"
    tag = first.headers["ETag"]
    for condition in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
        again = send("GET", path, headers=BROWSER | {"If-None-Match": condition})
        assert (again.status, again.body, again.headers["ETag"]) == (304, b"", tag)
    assert send("GET", path, headers=BROWSER | {"If-None-Match": 'W/"other"'}).status == 200


def test_files_are_compressed_where_accepted(app: Flask) -> None:
    """Vary tells caches that there are two forms."""
    client = app.test_client()
    plain = client.get("/page/main.js", headers={"Accept-Encoding": "identity"})
    compressed = client.get("/page/main.js", headers={"Accept-Encoding": "br;q=1.0, gzip;q=0.8, *;q=0.1"})
    refused = client.get("/page/main.js", headers={"Accept-Encoding": "gzip;q=0"})
    assert "Content-Encoding" not in plain.headers
    assert "Content-Encoding" not in refused.headers
    assert compressed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(compressed.data) == plain.data == (page.FOLDER / "main.js").read_bytes()
    assert compressed.headers["Vary"] == plain.headers["Vary"] == "Accept-Encoding"


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
def test_other_files_are_not_found(send: Send, path: str) -> None:
    """Only the page's files and, of the bundle, the report."""
    assert send("GET", path).status == 404


def test_report_files_are_listed(send: Send) -> None:
    """So that the page need not probe for them."""
    names = json.loads(send("GET", "/page/report").body)["files"]
    assert {"index.html", "presets.json", "report.json", "confusion.svg"} <= set(names)
    assert all(send("GET", f"/page/report/{name}").status == 200 for name in names)


def test_model_without_a_report_has_a_page(store: Path) -> None:
    """Training with --no-report makes such a model."""
    folder = store / "animals" / "1"
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"] = {name: file for name, file in manifest["files"].items() if not name.startswith("report/")}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    client = create_app(Settings(model_store=store)).test_client()
    assert client.get("/", headers=BROWSER).status_code == 200
    assert client.get("/page/report").get_json() == {"files": []}
    assert client.get("/page/report/report.json").status_code == 404


def test_changed_report_is_not_served(store: Path) -> None:
    """Its hash must be that of the manifest."""
    client = create_app(Settings(model_store=store)).test_client()
    (newest_version(store / "animals") / "report" / "worst.svg").write_text("<svg/>")
    assert client.get("/page/report/worst.svg").status_code == 500


def test_html_has_no_inline_script_or_style() -> None:
    """The policy would block them."""
    for name in ("index.html", "models.html"):
        document = (page.FOLDER / name).read_text()
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son[a-z]+=|javascript:", document)


@pytest.mark.parametrize(("name", "entry"), [("index.html", "main.js"), ("models.html", "models.js")])
def test_modules_exist_and_are_preloaded(name: str, entry: str) -> None:
    """The HTML names all of them, so that browsers fetch them in parallel, and no others."""
    named = {file.removeprefix("page/") for file in _loaded_files((page.FOLDER / name).read_text())}
    modules, waiting = set(), {entry}
    while waiting:
        module = waiting.pop()
        modules.add(module)
        imported = re.findall(r'from "\./([^"]+)"', (page.FOLDER / module).read_text())
        waiting |= set(imported) - modules
    assert named == modules | {"style.css", "icon.svg"}


def test_files_contain_no_url_of_another_host() -> None:
    """Except the namespace of SVG; vendored files may have URLs in comments."""
    for path in FILES:
        if path.parent != page.FOLDER:
            continue
        addresses = set(re.findall(r"https?://[^\s\"'<>)]+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/initialise.js", *PAGE_PATHS])
def test_references_are_relative(app: Flask, path: str) -> None:
    """A proxy may serve the page under a path prefix, which an absolute path would leave."""
    text = app.test_client().get(path, headers=BROWSER).text
    attributes = re.findall(r"""\b(?:href|src|action|srcset|poster|url)\s*[=:]\s*["'`]([^"'`]*)""", text)
    calls = re.findall(r"""(?:\b(?:fetch\w*|send|import|URL|url)\(|\bfrom |@import )\s*["'`]?([^"'`)\s]*)""", text)
    assert [each for each in attributes + calls if each.startswith("/")] == []


def test_page_weight_is_limited(app: Flask) -> None:
    """Compressed size of all that is loaded on opening, with presets and report."""
    files = [f"/page/{path.relative_to(page.FOLDER)}" for path in FILES if path.suffix in {".js", ".css", ".svg"}]
    paths = ["/", *files, "/page/report/presets.json", "/page/report/report.json", "/model"]
    client = app.test_client()
    weights = {path: len(client.get(path, headers=BROWSER | {"Accept-Encoding": "gzip"}).data) for path in paths}
    assert sum(weights.values()) < MAX_PAGE_BYTES, weights


def test_vendored_library_has_versions_and_licences() -> None:
    """For every part of D3."""
    text = (page.FOLDER / "vendor" / "d3.txt").read_text()
    for part in ("d3-selection", "d3-scale", "d3-shape"):
        assert re.search(rf"^{part} \d+\.\d+\.\d+$", text, re.MULTILINE)
    assert text.count("Permission to use, copy, modify") >= 3


def _loaded_files(document: str) -> list[str]:
    """The files that a page loads, as it names them."""
    return re.findall(r'(?:href|src)="([^"]*page/[^"]+)"', document)
