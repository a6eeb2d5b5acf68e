"""Fuzz targets: for each parser, a function that takes bytes and raises if the parser breaks a rule.

A parser may reject its input with its own error and no other, and what it accepts must be what a second parser reads
from the same bytes. `make fuzz` looks for bytes that break these rules.
"""

import atexit
import codecs
import csv
import io
import json
import math
import shutil
import tempfile
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import orjson
from gunicorn.asgi.parser import PythonProtocol
from pydantic import ValidationError

from models import bundle
from models.bundle import Bundle
from models.manifest import Manifest
from models.weights import Weights
from service.app import api_keys
from service.app.asgi import AsgiApp
from service.app.routes import build_service
from service.http import strict_json
from service.http.context import RequestContext
from service.http.errors import RequestError, render
from service.http.messages import Request, Response
from service.http.routing import Protocol
from service.inference import engine
from service.inference.engine_protocol import Engine
from service.inference.model import Model
from service.inference.validation import Validator
from service.protocols.explanations import Explanations
from service.protocols.native_documents import NativeDocuments
from service.score.csv_reader import CsvReader
from service.score.errors import ContentError
from service.server import fast_path
from service.settings import SHIPPED_STORE, Settings
from support import headed_bundles, mixed_bundles
from support.bad_input import GOOD, MIXED
from support.bare_pipeline import bare_pipeline
from support.hostile_requests import PATHS, PROTOCOLS, STREAMS, post
from support.known_animals import MAINE_COON, named

_SHIPPED = SHIPPED_STORE / "animals" / "1"


class Target(NamedTuple):
    """``check`` raises if a parser breaks a rule; ``seeds`` are inputs to start from."""

    check: Callable[[bytes], None]
    seeds: Sequence[bytes]


@cache
def _model_and_validator() -> tuple[Model, Validator]:
    settings = Settings()
    model = Model.open(settings.model_store / settings.model_name / "1", settings.engine)
    return model, Validator(model.features, max_rows=100, max_errors=10)


@cache
def _app() -> AsgiApp:
    return AsgiApp(build_service(Settings()))


@cache
def _mixed_app() -> AsgiApp:
    """A service of a model with categories and missing values."""
    store = Path(tempfile.mkdtemp(prefix="menagerie-fuzz-"))
    atexit.register(shutil.rmtree, store)
    mixed_bundles.publish(store, name="animals")
    return AsgiApp(build_service(Settings(model_store=store)))


@cache
def _sagemaker_app() -> AsgiApp:
    """The same on SageMaker."""
    settings = _mixed_app().settings.model_copy(update={"platform": "sagemaker"})
    return AsgiApp(build_service(settings))


def _check_strict_json(body: bytes) -> None:
    """A document that the strict parser accepts is the same to orjson."""
    try:
        document = strict_json.loads(body)
    except RequestError:
        return
    try:
        fast = orjson.loads(body)
    except orjson.JSONDecodeError:
        return  # orjson has limits of its own
    strict_json.count_strings(fast)
    assert _is_equal(document, fast), (document, fast)


def _is_equal(one: Any, other: Any) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(one == other) or isinstance(one, int)  # to orjson, an integer of more than 64 bits is a float


def _check_native_body(body: bytes) -> None:
    """Accepted rows have the width and the bounds of the schema, and the body is strict JSON."""
    model, validator = _model_and_validator()
    try:
        rows, _ = validator.parse(body, RequestContext("POST", "/predict", None))
    except RequestError:
        return
    _require_valid_rows(model, rows)
    strict_json.loads(body)


def _require_valid_rows(model: Model, rows: Any) -> None:
    assert rows.shape[1:] == (len(model.features),)
    for column, feature in zip(rows.T, model.features, strict=True):
        assert np.float32(feature.minimum) <= column.min() <= column.max() <= np.float32(feature.maximum)


def _check_handler(path: str, request: Request, app: Callable[[], AsgiApp] = _app) -> None:
    """The handler returns JSON without NaN, possibly followed by bytes, or raises a client error."""
    route, handler = next(
        (route, handler)
        for route, handler in app().service.handlers.items()
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


def _check_post(path: str, body: bytes, app: Callable[[], AsgiApp] = _app) -> None:
    headers = {"content-type": "application/json"}
    parameters = {"model": "animals"} if "{model}" in path else {}
    _check_handler(path, Request("POST", path, headers, lambda: body, parameters), app)


def _check_invocations(media_type: str, body: bytes) -> None:
    """A request of SageMaker, whose format the tests of JSON do not reach."""
    request = Request("POST", "/invocations", {"content-type": media_type}, lambda: body)
    _check_handler("/invocations", request, _sagemaker_app)


def _check_infer(content: bytes, app: Callable[[], AsgiApp] = _app) -> None:
    """``content`` is the value of Inference-Header-Content-Length, a NUL and the body; without a NUL, only the body."""
    size, separator, body = content.partition(b"\0")
    headers = {"content-type": "application/octet-stream"}
    if separator:
        headers["inference-header-content-length"] = size.decode("latin-1")
    body = body if separator else content
    _check_handler("/v2/models/{model}/infer", Request("POST", "/", headers, lambda: body, {"model": "animals"}), app)


def _check_head(raw: bytes) -> None:
    """A head that the fast path accepts, gunicorn's parser reads the same way."""
    raw = raw[: raw.find(b"\r\n\r\n") + 4]
    taken = fast_path.head_parser(_app()).parse(raw)
    if not taken:
        return
    assert fast_path.head_parser(_app()).parse(raw) == taken  # by its shape, which is known now
    head_size, request_size, path, _, headers, _ = taken
    fields: list[tuple[bytes, bytes]] = []
    other = PythonProtocol(on_header=lambda name, value: fields.append((bytes(name).lower(), bytes(value))))
    other.feed(raw)
    assert (other.method, other.path) == (b"POST", path.encode())
    assert not other.is_chunked
    assert other.should_keep_alive
    assert (other.content_length or 0) == request_size - head_size
    values: dict[str, str] = {}
    for name, value in fields:
        key = name.decode()
        values[key] = f"{values[key]},{value.decode()}" if key in values else value.decode()
    assert all(headers.get(name, "") == value for name, value in values.items()), (values, raw)


def _check_request_id(value: bytes) -> None:
    """The response's request id is the client's, if that is safe in a header, or a new one."""
    request = Request("GET", "/", {"x-request-id": value.decode("latin-1")}, bytes)
    request_id = bare_pipeline().handle(request, lambda _: Response(200, b"")).headers["X-Request-ID"]
    assert request_id.isascii()
    assert request_id.isprintable()
    assert " " not in request_id
    assert 0 < len(request_id) <= 128
    assert request_id == value.decode("latin-1") or (len(request_id) == 32 and int(request_id, 16) >= 0)


def _check_path(path: bytes) -> None:
    """A path matches one route or none."""
    _app().match("POST", path.decode("utf-8", "replace"))


def _check_manifest(content: bytes) -> None:
    """A manifest, or weights, are rejected by validation or are usable."""
    for document_type in (Manifest, Weights):
        try:
            document = document_type.model_validate_json(content)
        except ValidationError:
            continue
        if isinstance(document, Manifest):
            assert all(".." not in name.split("/") or name for name in document.files)
            values = [value for golden in document.golden for value in golden.features]
            assert all(math.isfinite(value) for value in values if isinstance(value, float))
        document.model_dump_json()


_UNUSUAL_VALUES: list[Any] = [
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


@cache
def _bases() -> list[tuple[Path, Engine]]:
    """The folder and the engine of the shipped model, and of one of every kind that can be adopted."""
    store = Path(tempfile.mkdtemp(prefix="menagerie-fuzz-"))
    atexit.register(shutil.rmtree, store)
    published = [
        headed_bundles.publish(store / name / str(sample), heads, sample=sample)
        for name, heads in headed_bundles.HEADS.items()
        for sample in (True, False)
    ]
    return [(each.folder, engine.load("litert", each)) for each in (Bundle.read(_SHIPPED), *published)]


def _check_edited_manifest(seed: bytes) -> None:
    """A manifest with random edits is rejected, or a model with it can predict."""
    random = Random(seed)  # noqa: S311 (reproducible, not secret)
    base, loaded = random.choice(_bases())
    document = orjson.loads((base / bundle.MANIFEST).read_bytes())
    for _ in range(random.randint(1, 3)):
        _edit(document, random)
    try:
        manifest = Manifest.model_validate_json(json.dumps(document))
    except ValidationError:
        return
    model = Model(Bundle(base, manifest), loaded)
    validator = Validator(model.features, max_rows=10, max_errors=10)
    rows = [list(row.features) for row in manifest.golden[:2]]
    try:
        prediction = model.predict(validator.validate_rows(rows[:1], "golden"), model.raw_layers)
        _require_json(Response(200, NativeDocuments(model).row(prediction)))
        _require_json(Response(200, Explanations(100, 1000).explain(model, prediction)))
    except RequestError as error:
        _require_json(render(error, Protocol.NATIVE, "id"))
    except ArithmeticError:  # the golden rows make it overflow; handlers turn this into an error of the request
        pass
    manifest.to_json()


def _edit(document: Any, random: Random) -> None:
    """Replace, delete or duplicate a random part of the document."""
    while True:
        keys = list(document) if isinstance(document, dict) else range(len(document))
        key = random.choice(list(keys))
        if not isinstance(document[key], dict | list) or not document[key] or random.random() < 0.2:
            break
        document = document[key]
    if isinstance(document, list) and random.random() < 0.3:
        document.append(deepcopy(document[key]))
    elif random.random() < 0.1:
        del document[key]
    else:
        document[key] = deepcopy(random.choice(_UNUSUAL_VALUES))


def _check_key_hashes(text: bytes) -> None:
    """Only SHA-256 hashes are accepted."""
    try:
        hashes = api_keys._parse_hashes(text.decode("utf-8", "replace"), "a file")  # noqa: SLF001
    except ValueError as error:
        assert len(str(error)) < 200
        return
    assert all(len(digest) == 32 for digest in hashes)


def _check_csv(content: bytes) -> None:
    """A CSV is refused, or its reader finds as many rows as Python's csv module, in small blocks as in large ones."""
    for block_bytes in (64, 1 << 20):
        try:
            reader = CsvReader(io.BufferedReader(io.BytesIO(content)), lambda: 0, ",", block_bytes)
            chunks = list(reader.chunks(0, reader.schema.names))
        except ContentError as error:
            assert "\n" not in str(error)
            continue
        if not content.removeprefix(codecs.BOM_UTF8).startswith(b"sep="):  # which Python's csv module does not know
            rows = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""))
            expected = sum(map(bool, rows)) - 1
            found = sum(len(chunk.rows) + len(chunk.malformed) for chunk in chunks)
            assert found == reader.total_rows() == expected, content


_BODIES = [protocol.body for protocol in PROTOCOLS]
_ROWS = np.array([MAINE_COON, MAINE_COON], "<f4").tobytes()
_BINARY = (
    b'{"inputs":[{"name":"features","shape":[2,8],"datatype":"FP32","parameters":{"binary_data_size":64}}],'
    b'"outputs":[{"name":"probabilities","parameters":{"classification":2,"binary_data":true}},{"name":"hidden_1"}]}'
)
_MIXED_ROW = orjson.dumps(MIXED)
_MIXED_COLUMNS = orjson.dumps({name: [value, value] for name, value in MIXED.items()})
_MIXED_CSV = ",".join(str(value) for value in MIXED.values()).encode()
_TEXTS = {"island": b"Dream", "sex": b"", "colony": "ümläut".encode(), "observer": b"a\0b"}
_MIXED_DATATYPES = {"bill_length": "FP32", "body_mass": "FP64", "year": "INT64", "ring": "INT8", "is_breeding": "BOOL"}
_MIXED_BINARY = {
    name: np.array([MIXED[name]], datatype.lower().replace("fp", "float")).tobytes()
    for name, datatype in _MIXED_DATATYPES.items()
} | {name: len(text).to_bytes(4, "little") + text for name, text in _TEXTS.items()}
_MIXED_INFERENCE = orjson.dumps(
    {
        "inputs": [
            {
                "name": name,
                "shape": [1],
                "datatype": _MIXED_DATATYPES.get(name, "BYTES"),
                "parameters": {"binary_data_size": len(content)},
            }
            for name, content in _MIXED_BINARY.items()
        ]
    }
)
_MIXED_TENSORS = orjson.dumps(
    {
        "inputs": [
            {"name": name, "shape": [1], "datatype": _MIXED_DATATYPES.get(name, "BYTES"), "data": [value]}
            for name, value in MIXED.items()
        ]
    }
)
TARGETS = {
    "strictjson": Target(
        _check_strict_json, [*_BODIES, b'{"a":[1e5,-0.0,true,null,"\\ud83d\\ude00"],"b":{}}', b"1" * 310]
    ),
    "native": Target(_check_native_body, [GOOD, _BODIES[1], orjson.dumps({"features": named(MAINE_COON)})]),
    "predict": Target(partial(_check_post, "/predict"), _BODIES[:2]),
    "explain": Target(partial(_check_post, "/explain"), [GOOD]),
    "tfpredict": Target(partial(_check_post, "/v1/models/{model}:predict"), _BODIES[3:5]),
    "tfclassify": Target(partial(_check_post, "/v1/models/{model}:classify"), [_BODIES[5]]),
    "infer": Target(_check_infer, [*_BODIES[6:], b"0\0" + _ROWS, b"%d\0" % len(_BINARY) + _BINARY + _ROWS]),
    "mixedpredict": Target(
        partial(_check_post, "/predict", app=_mixed_app),
        [b'{"features":%b}' % _MIXED_ROW, b'{"instances":[%b,%b]}' % (_MIXED_ROW, _MIXED_ROW)],
    ),
    "mixedtfpredict": Target(
        partial(_check_post, "/v1/models/{model}:predict", app=_mixed_app),
        [
            b'{"inputs":%b}' % _MIXED_COLUMNS,
            b'{"instances":[%b]}' % _MIXED_ROW.replace(b'"Dream"', b'{"b64":"RHJlYW0="}'),
        ],
    ),
    "mixedinfer": Target(
        partial(_check_infer, app=_mixed_app),
        [
            _MIXED_TENSORS,
            b"%d\0" % len(_MIXED_INFERENCE) + _MIXED_INFERENCE + b"".join(_MIXED_BINARY.values()),
        ],
    ),
    "mixedcsv": Target(
        partial(_check_invocations, "text/csv"),
        [_MIXED_CSV, ",".join(MIXED).encode() + b"\r\n\n" + _MIXED_CSV, b'40,NA,"2007",Dream,,"a\n""b",+5,TRUE,x'],
    ),
    "jsonlines": Target(
        partial(_check_invocations, "application/jsonlines"),
        [_MIXED_ROW + b"\n\r\n" + orjson.dumps([*MIXED.values()]), b'{"features":%b}\n{"data":{}}' % _MIXED_ROW],
    ),
    "head": Target(
        _check_head, [post(b"Content-Length: 9\r\nA: b\r\n"), *(row.sent for row in STREAMS if len(row.sent) < 1000)]
    ),
    "id": Target(_check_request_id, [b"abc", b"0f-9_A.b:c/d+e=@", b"a\r\nb", b"\xff"]),
    "path": Target(_check_path, [b"/predict", *(row.sent.split(b" ")[1] for row in PATHS if len(row.sent) < 1000)]),
    "manifest": Target(_check_manifest, [(_SHIPPED / bundle.MANIFEST).read_bytes()]),
    "edits": Target(_check_edited_manifest, [b"a", b"b"]),
    "csv": Target(
        _check_csv,
        [b'a,"b\n",c\r1,2,3\r\n"x""\r\ny",,"\n"\n\n1,2', b"\xef\xbb\xbfa\r1\r2", b"a,b\n" + 99 * b"1,2\n"],
    ),
    "keys": Target(_check_key_hashes, [b"# a remark\n" + sha256(b"").hexdigest().encode() + b" , "]),
}
