"""The same rows asked in every protocol that ours speaks."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks import load
from benchmarks.bench import Bench
from benchmarks.comparison import Samples, busy
from benchmarks.server import Server

BATCH = 10_000  # rows
_HEADER = "Inference-Header-Content-Length"


class Question(NamedTuple):
    """One way to ask; headers beside those that every request has."""

    path: str
    body: bytes
    headers: Mapping[str, str]


def protocols(bench: Bench) -> Samples:
    """What a row costs in each protocol: one at a time on 16 connections, and 10,000 at a time on two."""
    for _ in range(bench.rounds):
        with bench.ours() as server:
            for count, connections in ((1, load.CONNECTIONS), (BATCH, 2)):
                for name, question in questions(bench.bundle.manifest.name, bench.usual(count)).items():
                    figures = busy(bench, _asked(server, question), question.body, connections, question.headers)
                    yield (
                        f"{name}, {count:,} {'row' if count == 1 else 'rows'}",
                        {
                            "row_us": figures["cpu_us"] / count,
                            "rows_cpu_s": count / figures["cpu_us"] * 1e6,
                            "failures": figures["failures"],
                        },
                    )


def questions(model: str, rows: Sequence[Sequence[float]]) -> dict[str, Question]:
    """The rows in each protocol; one row is explained, too."""
    content = np.array(rows, "<f4").tobytes()
    tensor = {"name": "features", "shape": [len(rows), len(rows[0])], "datatype": "FP32"}
    bytes_ = tensor | {"parameters": {"binary_data_size": len(content)}}
    head = _json(inputs=[bytes_], parameters={"binary_data_output": True})
    native = {"features": rows[0]} if len(rows) == 1 else {"instances": rows}
    infer = f"/v2/models/{model}/infer"
    octets = {"Content-Type": "application/octet-stream"}
    explain = {"/explain": Question("/explain", _json(**native), {})} if len(rows) == 1 else {}
    return {
        "/predict": Question("/predict", _json(**native), {}),
        **explain,
        "/v1 :predict": Question(f"/v1/models/{model}:predict", _json(instances=rows), {}),
        "/v2 infer, JSON": Question(infer, _json(inputs=[tensor | {"data": rows}]), {}),
        "/v2 infer, binary": Question(infer, head + content, octets | {_HEADER: str(len(head))}),
        "/v2 infer, raw": Question(infer, content, octets | {_HEADER: "0"}),
    }


def _json(**document: object) -> bytes:
    return json.dumps(document).encode()


def _asked(server: Server, question: Question) -> Server:
    return replace(server, peer=replace(server.peer, path=question.path))
