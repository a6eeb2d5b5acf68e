"""Every parser as a function of bytes that fails if it does what no parser should; `make fuzz` looks for such bytes.

A parser may refuse, in the one way that it has to. It may not raise anything else, and what it takes must be what
another reading of the same bytes takes it for.
"""

import json
import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache, partial
from hashlib import sha256
from random import Random
from typing import Any, NamedTuple

import numpy as np
import orjson
from gunicorn.asgi.parser import PythonProtocol
from pydantic import ValidationError

from models import bundle
from models.bundle import Bundle
from models.manifest import Manifest, Weights
from service.app import api_keys
from service.app.asgi import AsgiApp
from service.app.routes import build_service
from service.http import strict_json
from service.http.context import RequestContext
from service.http.errors import RequestError, render
from service.http.messages import Request, Response
from service.http.routing import Protocol
from service.inference.model import Model
from service.inference.validation import Validator
from service.server import fast_path
from service.settings import SHIPPED_STORE, Settings
from support.bad_input import GOOD
from support.hostile_requests import PATHS, PROTOCOLS, STREAMS, post
from support.known_animals import MAINE_COON, named
from support.pipelines import pipeline

_SHIPPED = SHIPPED_STORE / "animals" / "1"


class Target(NamedTuple):
    """What to feed bytes to, and good ones to begin from."""

    feed: Callable[[bytes], None]
    seeds: Sequence[bytes]


@cache
def _parts() -> tuple[Model, Validator]:
    settings = Settings()
    model = Model.open(settings.model_store / settings.model_name / "1", settings.engine)
    return model, Validator(model.features, max_rows=100, max_errors=10)


@cache
def _app() -> AsgiApp:
    return AsgiApp(build_service(Settings()))


def _strict(body: bytes) -> None:
    """What the strict reader takes, the fast one takes for the same."""
    try:
        document = strict_json.loads(body)
    except RequestError:
        return
    try:
        fast = orjson.loads(body)
    except orjson.JSONDecodeError:
        return  # it has limits of its own, and its refusal is not the last word
    strict_json.count_strings(fast)
    assert _same(document, fast), (document, fast)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other) or isinstance(one, int)  # more than 64 bits are a float to the fast one


def _native(body: bytes) -> None:
    """Rows are finite and within the schema's bounds, of its width, and come of strict JSON."""
    model, validator = _parts()
    try:
        rows_request = validator.parse(body, RequestContext("POST", "/predict", None))
    except RequestError:
        return
    _require_rows(model, rows_request.rows)
    strict_json.loads(body)


def _require_rows(model: Model, rows: Any) -> None:
    assert rows.shape[1:] == (len(model.features),)
    for column, feature in zip(rows.T, model.features, strict=True):
        assert np.float32(feature.minimum) <= column.min() <= column.max() <= np.float32(feature.maximum)


def _handled(path: str, request: Request) -> None:
    """A refusal is a refusal of the request; a response is JSON without NaN, and says where bytes follow it."""
    route, handler = next(
        (route, handler)
        for route, handler in _app().service.handlers.items()
        if (route.path, route.method) == (path, "POST")
    )
    try:
        response = handler(request)
    except RequestError as error:
        response = render(error, route.protocol, "id")
        assert 400 <= response.status < 500, response
    _require_json(response)


def _require_json(response: Response) -> None:
    size = int(response.headers.get("Inference-Header-Content-Length", len(response.body)))
    assert strict_json.loads(response.body[:size]) is not None


def _posted(path: str, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    parameters = {"model": "animals"} if "{model}" in path else {}
    _handled(path, Request("POST", path, headers, lambda: body, parameters))


def _inferred(sent: bytes) -> None:
    """The length of the JSON in a header, a NUL, the body; without the NUL, no header."""
    size, mark, body = sent.partition(b"\0")
    headers = {"content-type": "application/octet-stream"}
    if mark:
        headers["inference-header-content-length"] = size.decode("latin-1")
    body = body if mark else sent
    _handled("/v2/models/{model}/infer", Request("POST", "/", headers, lambda: body, {"model": "animals"}))


def _head(raw: bytes) -> None:
    """What the fast path accepts as a head, gunicorn's parser reads the same way."""
    raw = raw[: raw.find(b"\r\n\r\n") + 4]
    taken = fast_path._parsed(raw, _app())  # noqa: SLF001
    if not taken:
        return
    fields: list[tuple[bytes, bytes]] = []
    other = PythonProtocol(on_header=lambda name, value: fields.append((bytes(name).lower(), bytes(value))))
    other.feed(raw)
    assert (other.method, other.path) == (b"POST", taken.path.encode())
    assert not other.is_chunked
    assert other.should_keep_alive
    assert (other.content_length or 0) == taken.whole - taken.size
    values: dict[str, str] = {}
    for name, value in fields:
        key = name.decode()
        values[key] = f"{values[key]},{value.decode()}" if key in values else value.decode()
    assert all(taken.headers.get(name, "") == value for name, value in values.items()), (values, raw)


def _identified(given: bytes) -> None:
    """An id that comes back is one that was given and may stand in a header, or one of ours."""
    request = Request("GET", "/", {"x-request-id": given.decode("latin-1")}, bytes)
    told = pipeline().handle(request, lambda _: Response(200, b"")).headers["X-Request-ID"]
    assert told.isascii()
    assert told.isprintable()
    assert " " not in told
    assert 0 < len(told) <= 128
    assert told == given.decode("latin-1") or (len(told) == 32 and int(told, 16) >= 0)


def _found(path: bytes) -> None:
    """Looking for a route finds one or none."""
    _app().match("POST", path.decode("utf-8", "replace"))


def _manifest(content: bytes) -> None:
    """A manifest is refused by its reader or makes sense; so are weights."""
    for kind in (Manifest, Weights):
        try:
            read = kind.model_validate_json(content)
        except ValidationError:
            continue
        if isinstance(read, Manifest):
            assert all(".." not in name.split("/") or name for name in read.files)
            assert all(math.isfinite(value) for golden in read.golden for value in golden.features)
        read.model_dump_json()


_ODD_VALUES: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    10**30,
    1e308,
    5e-324,
    "",
    "x",
    "a/../b",
    "\x00",
    "é" * 300,
    [],
    {},
    [[]],
    [1, "x"],
]


def _edited(choices: bytes) -> None:
    """A manifest that was changed here and there is refused, or a service can be built of it."""
    random = Random(choices)  # noqa: S311 (the bytes choose)
    document = orjson.loads((_SHIPPED / bundle.MANIFEST).read_bytes())
    for _ in range(random.randint(1, 3)):
        _edit(document, random)
    try:
        manifest = Manifest.model_validate_json(json.dumps(document))
    except ValidationError:
        return
    model = Model(Bundle(_SHIPPED, manifest), _parts()[0]._engine)  # noqa: SLF001
    validator = Validator(model.features, max_rows=10, max_errors=10)
    rows = [list(row.features) for row in manifest.golden[:2]]
    try:
        model.warnings(model.predict(validator.validate_rows(rows, "golden")))
    except RequestError as error:
        _require_json(render(error, Protocol.NATIVE, "id"))
    manifest.model_dump_json()


def _edit(document: Any, random: Random) -> None:
    """Put something odd in the place of a part, or the like of another part beside it."""
    while True:
        keys_ = list(document) if isinstance(document, dict) else range(len(document))
        key = random.choice(list(keys_))
        if not isinstance(document[key], dict | list) or not document[key] or random.random() < 0.2:
            break
        document = document[key]
    if isinstance(document, list) and random.random() < 0.3:
        document.append(deepcopy(document[key]))
    elif random.random() < 0.1:
        del document[key]
    else:
        document[key] = deepcopy(random.choice(_ODD_VALUES))


def _hashes(text: bytes) -> None:
    """Only SHA-256 hashes are taken for hashes."""
    try:
        found = api_keys._parse_hashes(text.decode("utf-8", "replace"), "a file")  # noqa: SLF001
    except ValueError as error:
        assert len(str(error)) < 200
        return
    assert all(len(one) == 32 for one in found)


_BODIES = [protocol.body for protocol in PROTOCOLS]
_ROWS = np.array([MAINE_COON, MAINE_COON], "<f4").tobytes()
_BINARY = (
    b'{"inputs":[{"name":"features","shape":[2,8],"datatype":"FP32","parameters":{"binary_data_size":64}}],'
    b'"outputs":[{"name":"probabilities","parameters":{"classification":2,"binary_data":true}},{"name":"hidden_1"}]}'
)
TARGETS = {
    "strictjson": Target(_strict, [*_BODIES, b'{"a":[1e5,-0.0,true,null,"\\ud83d\\ude00"],"b":{}}', b"1" * 310]),
    "native": Target(_native, [GOOD, _BODIES[1], orjson.dumps({"features": named(MAINE_COON)})]),
    "predict": Target(partial(_posted, "/predict"), _BODIES[:2]),
    "explain": Target(partial(_posted, "/explain"), [GOOD]),
    "tfpredict": Target(partial(_posted, "/v1/models/{model}:predict"), _BODIES[3:5]),
    "tfclassify": Target(partial(_posted, "/v1/models/{model}:classify"), [_BODIES[5]]),
    "infer": Target(_inferred, [*_BODIES[6:], b"0\0" + _ROWS, b"%d\0" % len(_BINARY) + _BINARY + _ROWS]),
    "head": Target(
        _head, [post(b"Content-Length: 9\r\nA: b\r\n"), *(row.sent for row in STREAMS if len(row.sent) < 1000)]
    ),
    "id": Target(_identified, [b"abc", b"0f-9_A.b:c/d+e=@", b"a\r\nb", b"\xff"]),
    "path": Target(_found, [b"/predict", *(row.sent.split(b" ")[1] for row in PATHS if len(row.sent) < 1000)]),
    "manifest": Target(_manifest, [(_SHIPPED / bundle.MANIFEST).read_bytes()]),
    "edits": Target(_edited, [b"a", b"b"]),
    "keys": Target(_hashes, [b"# a remark\n" + sha256(b"").hexdigest().encode() + b" , "]),
}
