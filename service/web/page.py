"""GET / and GET /models/{model}/: the page, its files, and the report of the model that it shows."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from models.manifest import Manifest
from service.http.errors import NotFoundError
from service.http.media_types import preferred
from service.http.messages import Request, Response, json_response
from service.http.model_paths import DEFAULT_MODEL_PATHS, list_model_paths
from service.http.routing import JSON, Declare, Protocol
from service.http.static_file import MEDIA_TYPES, NO_SOURCES, StaticFile
from service.inference.catalog import Catalog
from service.inference.model import Model, PerModel
from service.version import VERSION

FOLDER = Path(__file__).resolve().parent / "static"
REPORT = "report/"

_REPORT_POLICY = f"{NO_SOURCES}; style-src 'unsafe-inline'; img-src data:"  # its styles are inline, it has no script
_FILE = {
    media_type: ["string"] for media_type in ("text/css", "text/html", "text/javascript", "text/plain", "image/svg+xml")
} | {JSON: ["object"]}
_SERVICE_PATHS = {
    "models": "/models",
    "health": "/health",
    "live": "/livez",
    "ready": "/readyz",
    "metrics": "/metrics",
}
_declare = Declare(Protocol.SERVICE)
_declare_file = partial(_declare, "GET", returns=_FILE, more={304: {}}, errors=[NotFoundError])


class Page:
    """The page is the same for every model; the report is that of the model that serves."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        names = [*page_files(), *(f"vendor/{name}" for name in page_files("vendor/"))]
        self._files = {name: StaticFile(name, (FOLDER / name).read_bytes) for name in names}
        self._model_page = StaticFile("index.html", self._read_model_page)
        self._reports = PerModel(_report)

    @_declare("GET", "[/models/{model}]/", {JSON: ["Index"], "text/html": ["string"]}, more={304: {}}, public=True)
    def index(self, request: Request) -> Response:
        """The web page of the model for browsers, a list of paths for other clients.

        Without a default model, browsers get a page with all models.
        """
        name = request.parameters.get("model", "")
        if name:
            self._catalog.registry_of(request)
        if preferred(request.headers.get("accept", ""), JSON, "text/html") == "text/html":
            response = self._page_of(name).respond(request)
        else:
            response = json_response(self._list_paths(name))
        response.headers["Vary"] = "Accept, Accept-Encoding"
        return response

    def _page_of(self, name: str) -> StaticFile:
        if name:
            return self._model_page
        return self._files["index.html" if "" in self._catalog.by_path else "models.html"]

    def _read_model_page(self) -> bytes:
        """The page for two folders further down, with the same files."""
        return self._files["index.html"].content.replace(b'"page/', b'"../../page/')

    def _list_paths(self, name: str) -> dict[str, Any]:
        default = DEFAULT_MODEL_PATHS if "" in self._catalog.by_path else {}
        paths = list_model_paths(name) if name else default
        return {
            "service": "menagerie",
            "version": VERSION,
            "status": "alive",  # KServe's client of its V1 protocol looks for this at /
            "paths": {**paths, **_SERVICE_PATHS},
        }

    @_declare_file(path="/page/{file}", file_names=lambda _: page_files(), public=True)
    def page_file(self, request: Request) -> Response:
        """A file of the web page."""
        return _respond(self._files, request.parameters["file"], request)

    @_declare_file(path="/page/vendor/{file}", file_names=lambda _: page_files("vendor/"), public=True)
    def page_vendor(self, request: Request) -> Response:
        """A third-party library of the web page."""
        return _respond(self._files, f"vendor/{request.parameters['file']}", request)

    @_declare("GET", "[/models/{model}]/page/report", "Report")
    def report(self, request: Request) -> Response:
        """Names of the files of the model's report."""
        model = self._catalog.select(request).model
        return json_response({"files": report_files(model.manifest)})

    @_declare_file(
        path="[/models/{model}]/page/report/{file}",
        file_names=lambda manifest: report_files(manifest) or ["index.html"],
    )
    def report_file(self, request: Request) -> Response:
        """A file of the model's report."""
        files = self._reports.of(self._catalog.select(request).model)
        return _respond(files, request.parameters["file"], request)


def page_files(subfolder: str = "") -> list[str]:
    """The names of the page's own files in one of its folders."""
    return sorted(path.name for path in (FOLDER / subfolder).iterdir() if path.suffix in MEDIA_TYPES)


def report_files(manifest: Manifest) -> list[str]:
    """The names of those files of a model's report that a browser can show."""
    names = [name.removeprefix(REPORT) for name in manifest.files if name.startswith(REPORT)]
    return [name for name in names if PurePosixPath(name).suffix in MEDIA_TYPES]


def _report(model: Model) -> dict[str, StaticFile]:
    return {
        name: StaticFile(name, partial(model.bundle.read_bytes, REPORT + name), _REPORT_POLICY)
        for name in report_files(model.manifest)
    }


def _respond(files: Mapping[str, StaticFile], name: str, request: Request) -> Response:
    if name not in files:
        raise NotFoundError("unknown file: the OpenAPI document lists the files of this path")
    return files[name].respond(request)
