"""``GET /docs``: the interface's description as a page to try it out, with Swagger UI's files from its package."""

import gzip
import re
from functools import cache
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from service.http.errors import NotFoundError
from service.http.messages import Reply, Request, Route

_OURS = "initialise.js"
FILES = {  # by name: their type
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
    _OURS: "text/javascript; charset=utf-8",
}
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
<script src="docs/initialise.js?{0}"></script>
</body>
</html>
"""
_GUARDED = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_KEPT = {"Cache-Control": "public, max-age=31536000, immutable", "Vary": "Accept-Encoding"}
_GZIP = re.compile(r"(^|,)\s*gzip\s*(;\s*q=(1|0\.0*[1-9])|,|$)", re.IGNORECASE)


class _File(NamedTuple):
    content_type: str
    plain: bytes
    packed: bytes


def routes() -> list[Route]:
    """The page and what it loads; nothing is read before it is asked for."""
    return [Route("GET", "/docs", _page, open=True), Route("GET", "/docs/{file}", _file, open=True)]


def _page(_: Request) -> Reply:
    return Reply(200, _PAGE.format(_edition()).encode(), "text/html; charset=utf-8", dict(_GUARDED))


def _file(request: Request) -> Reply:
    file = _files().get(request.parameters["file"])
    if file is None:
        raise NotFoundError("see / for the paths that there are")
    reply = Reply(200, file.plain, file.content_type, _GUARDED | _KEPT)
    if len(file.packed) < len(file.plain) and _GZIP.search(request.headers.get("accept-encoding", "")):
        reply.body, reply.headers["Content-Encoding"] = file.packed, "gzip"
    return reply


@cache
def _files() -> dict[str, _File]:
    """Every file, read and packed once: 0.1 s and 2.5 MB, for who asks for the page."""
    dist = resources.files("flask_swagger_ui") / "dist"  # the rest of that package is not used
    found = {name: (dist / name).read_bytes() for name in FILES if name != _OURS}
    found[_OURS] = Path(__file__).with_name(_OURS).read_bytes()
    return {name: _File(FILES[name], content, gzip.compress(content, mtime=0)) for name, content in found.items()}


@cache
def _edition() -> str:
    """Differs whenever a file does: browsers keep the files for a year."""
    return sha256(b"".join(file.plain for file in _files().values())).hexdigest()[:12]
