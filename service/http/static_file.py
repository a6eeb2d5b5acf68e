"""A file sent to browsers: with an entity tag, compressed where the browser accepts that, under a strict policy."""

import gzip
import hashlib
from collections.abc import Callable
from functools import cached_property
from pathlib import PurePosixPath

from service.http.media_types import preferred
from service.http.messages import Request, Response

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}
NO_SOURCES = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
OWN_SOURCES = f"{NO_SOURCES}; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'"
REVALIDATED = "no-cache"
IMMUTABLE = "public, max-age=31536000, immutable"  # for an address that changes with the content


class StaticFile:
    """One file: read and compressed when it is first requested, then kept in memory.

    ``policy`` is its Content-Security-Policy. Unless ``cache_control`` says otherwise, browsers keep the file and ask
    each time whether it has changed; an unchanged file costs a response without a body.
    """

    def __init__(
        self, name: str, read: Callable[[], bytes], policy: str = OWN_SOURCES, cache_control: str = REVALIDATED
    ) -> None:
        self._media_type = MEDIA_TYPES[PurePosixPath(name).suffix]
        self._read = read
        self._policy = policy
        self._cache_control = cache_control

    @cached_property
    def content(self) -> bytes:
        return self._read()

    @cached_property
    def _compressed(self) -> bytes:
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def _tag(self) -> str:
        return f'W/"{hashlib.sha256(self.content).hexdigest()[:20]}"'

    def respond(self, request: Request) -> Response:
        """The file, compressed if that is accepted and shorter, or 304 if the client has it already."""
        headers = {
            "ETag": self._tag,
            "Cache-Control": self._cache_control,
            "Content-Security-Policy": self._policy,
            "Referrer-Policy": "no-referrer",
            "Vary": "Accept-Encoding",
            "X-Content-Type-Options": "nosniff",
        }
        if _matches(request.headers.get("if-none-match", ""), self._tag):
            return Response(304, b"", self._media_type, headers)
        body = self.content
        accepted = request.headers.get("accept-encoding", "")
        if preferred(accepted, "gzip", "identity") == "gzip" and len(self._compressed) < len(body):
            body = self._compressed
            headers["Content-Encoding"] = "gzip"
        return Response(200, body, self._media_type, headers)


def _matches(condition: str, tag: str) -> bool:
    """Whether an If-None-Match field names the tag (RFC 9110, section 13.1.2: weak comparison)."""
    opaque = tag.removeprefix("W/")
    return any(given.strip().removeprefix("W/") in (opaque, "*") for given in condition.split(","))
