"""The requests that load generators send, and the status that each of them gets."""

import json
import random
import uuid
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from models.manifest import Manifest
from service.app import api_keys

COPIES = 4096  # of a traced request: more than any server caches
BATCH_SIZE = 10_000  # rows
CONNECTIONS = 16
_BATCH_CONNECTIONS = 2  # one sends while the other is answered
_LARGE = 100  # rows, beside which the cost of a head is nothing, and of which no table of copies is made
_KEY, KEY_HASH = api_keys.make()
AUTHORIZATION = {"Authorization": f"Bearer {_KEY}"}
_NO_HEADERS: Mapping[str, str] = MappingProxyType({})
_CLIENT_HEADERS = {
    "Host": "127.0.0.1",
    "User-Agent": "python-requests/2.32.5",
    "Accept-Encoding": "identity",  # for gzip, Triton compresses, which doubles its CPU time
    "Accept": "*/*",
}
_JSON = {"Content-Type": "application/json"}


class Exchange(NamedTuple):
    """A POST with ``rows`` rows, and the status of its response.

    Each copy of a ``traced`` one has a ``traceparent`` and an ``X-Request-ID`` of its own, as service meshes and
    tracing clients send; otherwise it has neither. A ``keyed`` one is sent to a service that requires an API key.
    """

    path: str
    body: bytes
    status: int = 200
    rows: int = 1
    headers: Mapping[str, str] = _NO_HEADERS
    traced: bool = True
    keyed: bool = False
    connections: int = CONNECTIONS

    def render(self) -> list[bytes]:
        """The bytes of each copy, all of one length; a request that is not traced has only one."""
        start = f"POST {self.path} HTTP/1.1\r\n{_format_fields(_CLIENT_HEADERS)}".encode()
        fields = {**_JSON, **self.headers, "Content-Length": str(len(self.body))}
        end = f"{_format_fields(fields)}\r\n".encode() + self.body
        return [start + _format_fields(own).encode() + end for own in (_trace_headers() if self.traced else [{}])]


def build_exchanges(manifest: Manifest) -> dict[str, Exchange]:
    """The requests that this service is measured with, by name; the first is the reference for the others."""
    (row,) = typical_rows(manifest, 1)
    reference = Exchange("/predict", _json(features=row))
    batches = _in_each_protocol(manifest.name, typical_rows(manifest, BATCH_SIZE))
    return {
        "list form": reference,
        "the same request repeated": reference._replace(traced=False),
        "named form": reference._replace(body=_json(features=_by_name(manifest.feature_names, row))),
        "with an API key": reference._replace(headers=AUTHORIZATION, keyed=True),
        **_in_each_protocol(manifest.name, [row]),
        "/explain": reference._replace(path="/explain"),
        **_refused(manifest, reference),
        "/predict, batch": predict_batch(manifest, BATCH_SIZE),
        **{f"{name}, batch": _as_batch(each, BATCH_SIZE) for name, each in batches.items()},
    }


def choose(exchanges: Mapping[str, Exchange], parts: Sequence[str]) -> dict[str, Exchange]:
    """Those whose name contains one of the ``parts``, all if there are none.

    Raises:
        ValueError: a part is in no name.
    """
    for part in parts:
        if not any(part in name for name in exchanges):
            raise ValueError(f"no request has {part!r} in its name; there are: {'; '.join(exchanges)}")
    return {name: each for name, each in exchanges.items() if not parts or any(part in name for part in parts)}


def predict_batch(manifest: Manifest, rows: int) -> Exchange:
    """Many typical rows in the native protocol."""
    return _as_batch(Exchange("/predict", _json(instances=typical_rows(manifest, rows))), rows)


def typical_rows(manifest: Manifest, count: int) -> list[list[float]]:
    """Background rows of the bundle, repeated as needed: values in the schema's order, to four digits.

    Not the golden rows: half of them are corners of the schema, where every feature causes a warning.
    """
    rows = [[float(f"{value:.4g}") for value in row] for row in manifest.background]
    return [rows[number % len(rows)] for number in range(count)]


def _in_each_protocol(model: str, rows: Sequence[Sequence[float]]) -> dict[str, Exchange]:
    """The rows in the other projects' protocols."""
    infer = f"/v2/models/{model}/infer"
    values = np.array(rows, "<f4").tobytes()
    tensor = {"name": "features", "shape": [len(rows), len(rows[0])], "datatype": "FP32"}
    inputs = [tensor | {"parameters": {"binary_data_size": len(values)}}]
    head = _json(inputs=inputs, parameters={"binary_data_output": True})
    return {
        "/v1 :predict": Exchange(f"/v1/models/{model}:predict", _json(instances=rows)),
        "/v2 infer, JSON": Exchange(infer, _json(inputs=[tensor | {"data": rows}])),
        "/v2 infer, binary": Exchange(infer, head + values, headers=_binary(len(head))),
        "/v2 infer, raw": Exchange(infer, values, headers=_binary(0)),
    }


def _refused(manifest: Manifest, reference: Exchange) -> dict[str, Exchange]:
    """What clients get wrong, each with the status of its response."""
    (row,) = typical_rows(manifest, 1)
    first, *others = manifest.features
    wrong = {
        "422, too few values": row[1:],
        "422, out of bounds": [first.highest + 1, *row[1:]],
        "422, unknown feature": _by_name([f"{first.name}s", *(feature.name for feature in others)], row),
        "422, wrong type": ["heavy", *row[1:]],
    }
    return {
        **{name: reference._replace(body=_json(features=values), status=422) for name, values in wrong.items()},
        "400, not JSON": reference._replace(body=reference.body[:-1], status=400),
        "401, no API key": reference._replace(status=401, keyed=True),
        "404": reference._replace(path="/nowhere", status=404),
    }


def _by_name(names: Sequence[str], row: Sequence[float]) -> dict[str, float]:
    return dict(zip(names, row, strict=True))


def _as_batch(exchange: Exchange, rows: int) -> Exchange:
    return exchange._replace(rows=rows, traced=rows < _LARGE, connections=_BATCH_CONNECTIONS)


def _binary(head_size: int) -> dict[str, str]:
    return {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(head_size)}


def _trace_headers() -> Iterator[dict[str, str]]:
    """The headers of each copy: random, but the same in every run."""
    bits = random.Random(1).getrandbits  # noqa: S311 (nothing secret)
    for _ in range(COPIES):
        trace = f"00-{bits(128):032x}-{bits(64):016x}-01"
        yield {"traceparent": trace, "X-Request-ID": str(uuid.UUID(int=bits(128), version=4))}


def _format_fields(fields: Mapping[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in fields.items())


def _json(**document: object) -> bytes:
    return json.dumps(document).encode()
