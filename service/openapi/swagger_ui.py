"""GET /docs: Swagger UI for the OpenAPI document, with the files of the package flask-swagger-ui."""

from functools import cached_property
from hashlib import sha256
from importlib import resources
from pathlib import Path

from service.http.errors import NotFoundError
from service.http.messages import Request, Response
from service.http.routing import Declare, Protocol
from service.http.static_file import IMMUTABLE, OWN_SOURCES, StaticFile

_OWN_FILE = "initialise.js"
FILES = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png", _OWN_FILE)
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Menagerie: the interface</title>
<link rel="icon" type="image/png" href="docs/favicon-32x32.png?{0}">
<link rel="stylesheet" href="docs/swagger-ui.css?{0}">
</head>
<body>
<div id="swagger-ui"></div>
<script src="docs/swagger-ui-bundle.js?{0}"></script>
<script type="module" src="docs/initialise.js?{0}"></script>
</body>
</html>
"""
_HEADERS = {
    "Content-Security-Policy": OWN_SOURCES,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_declare = Declare(Protocol.SERVICE)


class SwaggerUi:
    """Files are read when they are first requested: 0.1 s and 2.5 MB."""

    def __init__(self) -> None:
        folder = resources.files("flask_swagger_ui") / "dist"  # the rest of that package is not used
        reads = {name: (folder / name).read_bytes for name in FILES if name != _OWN_FILE}
        reads[_OWN_FILE] = Path(__file__).with_name(_OWN_FILE).read_bytes
        self._files = {name: StaticFile(name, read, cache_control=IMMUTABLE) for name, read in reads.items()}

    @_declare("GET", "/docs", {"text/html": ["string"]}, public=True)
    def docs(self, _: Request) -> Response:
        """Swagger UI for the OpenAPI document of the default model, or with `?model=` that of another one."""
        return Response(200, _PAGE.format(self._edition).encode(), "text/html; charset=utf-8", dict(_HEADERS))

    @_declare(
        "GET",
        "/docs/{file}",
        {"text/css": ["string"], "text/javascript": ["string"], "image/png": ["binary"]},
        more={304: {}},
        errors=[NotFoundError],
        file_names=lambda _: FILES,
        public=True,
    )
    def docs_file(self, request: Request) -> Response:
        """A file of Swagger UI."""
        if request.parameters["file"] not in self._files:
            raise NotFoundError("unknown file: the OpenAPI document lists the files of this path")
        return self._files[request.parameters["file"]].respond(request)

    @cached_property
    def _edition(self) -> str:
        """Changes with any of the files: browsers keep each address for a year."""
        return sha256(b"".join(file.content for file in self._files.values())).hexdigest()[:12]
