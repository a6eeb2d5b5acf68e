"""``GET /openapi.json``: the interface, described for programs."""

from collections.abc import Sequence
from functools import cache

from models.manifest import Manifest
from service.http.messages import Reply, Request, Route, json_reply


def routes(manifest: Manifest, max_rows: int, others: Sequence[Route], *, guarded: bool) -> list[Route]:
    """``GET /openapi.json`` for one model and for these routes and itself; ``guarded`` if a key is asked for."""

    @cache
    def body() -> bytes:
        # At first use, as 10 ms of imports and 100 ms of work are nothing that a start should wait for.
        from service.openapi.document import document
        from service.openapi.model_types import Vocabulary

        return json_reply(document(Vocabulary(manifest, max_rows), described, guarded=guarded)).body

    def answer(_: Request) -> Reply:
        return Reply(200, body())

    described = [*others, Route("GET", "/openapi.json", answer)]
    return described[-1:]
