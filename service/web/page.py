"""The page at ``GET /``, its files, and the report that it shows, sent to browsers under strict rules."""

import gzip
import hashlib
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from pathlib import Path, PurePosixPath

from models.manifest import Manifest
from service.http.errors import NotFoundError
from service.http.messages import Handler, Reply, Request, Route, json_reply
from service.inference.model import Model

FOLDER = Path(__file__).resolve().parent / "static"
REPORT = "report/"

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
_NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
_PAGE = f"{_NOTHING}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
_REPORT = f"{_NOTHING}; style-src 'unsafe-inline'; img-src data:"  # it has its styles inside, and no script


class Static:
    """One file: read and compressed when it is first asked for, then kept.

    Browsers may keep it too, but ask each time whether it is still the one: a new version of the service shows a new
    page at once, and an unchanged file costs an answer without a body.
    """

    def __init__(self, name: str, read: Callable[[], bytes], policy: str) -> None:
        self._type = _TYPES[PurePosixPath(name).suffix]
        self._read = read
        self._policy = policy

    @cached_property
    def _plain(self) -> bytes:
        return self._read()

    @cached_property
    def _packed(self) -> bytes:
        return gzip.compress(self._plain, 9, mtime=0)

    @cached_property
    def _tag(self) -> str:
        return f'W/"{hashlib.sha256(self._plain).hexdigest()[:20]}"'

    def __call__(self, request: Request) -> Reply:
        headers = {
            "ETag": self._tag,
            "Cache-Control": "no-cache",
            "Content-Security-Policy": self._policy,
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if _matches(request.headers.get("if-none-match", ""), self._tag):
            return Reply(304, b"", self._type, headers)
        if not _takes_gzip(request.headers.get("accept-encoding", "")):
            return Reply(200, self._plain, self._type, headers)
        return Reply(200, self._packed, self._type, headers | {"Content-Encoding": "gzip"})


def routes(index: Handler) -> list[Route]:
    """The page and its files; ``index`` answers ``/`` to whoever is no browser."""
    files = {name: Static(name, (FOLDER / name).read_bytes, _PAGE) for name in names()}
    return [
        Route("GET", "/", partial(_front, files["index.html"], index), open=True),
        Route("GET", "/page/{file}", partial(_one, files, "{file}"), open=True),
        Route("GET", "/page/vendor/{file}", partial(_one, files, "vendor/{file}"), open=True),
    ]


def model_routes(model: Model) -> list[Route]:
    """The report of one version; another may have been trained without, or with other files."""
    files = {
        name: Static(name, partial(model.bundle.read_bytes, REPORT + name), _REPORT) for name in report(model.manifest)
    }
    return [
        Route("GET", "/page/report", lambda _: json_reply({"files": list(files)})),
        Route("GET", "/page/report/{file}", partial(_one, files, "{file}")),
    ]


def names() -> list[str]:
    """The page's own files."""
    return sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*") if path.suffix in _TYPES)


def report(manifest: Manifest) -> list[str]:
    """The files of a model's report that can be shown."""
    names = [name.removeprefix(REPORT) for name in manifest.files if name.startswith(REPORT)]
    return [name for name in names if PurePosixPath(name).suffix in _TYPES]


def _front(page: Static, index: Handler, request: Request) -> Reply:
    """The page for whoever says that he reads HTML, the paths as JSON for everybody else."""
    reply = (page if _reads_html(request.headers.get("accept", "")) else index)(request)
    reply.headers["Vary"] = "Accept, Accept-Encoding"
    return reply


def _one(files: Mapping[str, Handler], name: str, request: Request) -> Reply:
    name = name.format(**request.parameters)
    if name not in files:
        raise NotFoundError("there is no such file of the page")
    return files[name](request)


def _reads_html(accept: str) -> bool:
    return _quality(accept, "text/html") > 0


def _takes_gzip(accepted: str) -> bool:
    return _quality(accepted, "gzip") > 0


def _quality(accepted: str, name: str) -> float:
    """How much a header such as ``gzip;q=0.5, br`` wants what it names; 0 if it does not name it."""
    for choice in accepted.lower().split(","):
        said, _, parameters = choice.partition(";")
        if said.strip() == name:
            quality = parameters.replace(" ", "").partition("q=")[2].partition(";")[0]
            try:
                return float(quality or 1)
            except ValueError:
                return 0
    return 0


def _matches(condition: str, tag: str) -> bool:
    """Whether an ``If-None-Match`` names the tag (RFC 9110, section 13.1.2: weak comparison)."""
    opaque = tag.removeprefix("W/")
    return any(said.strip().removeprefix("W/") in (opaque, "*") for said in condition.split(","))
