"""The same rows in every protocol of the service."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from benchmarks import load_generators
from benchmarks.benchmark_run import BenchmarkRun
from benchmarks.comparison import Samples, measure_saturated
from benchmarks.server import Server

BATCH_SIZE = 10_000  # rows
_JSON_LENGTH_HEADER = "Inference-Header-Content-Length"


class ProtocolRequest(NamedTuple):
    """A request in one protocol; ``headers`` are those that not every request has."""

    path: str
    body: bytes
    headers: Mapping[str, str]


def measure_protocols(run: BenchmarkRun) -> Samples:
    """CPU time per row in each protocol: one row per request on 16 connections, and 10,000 on two."""
    for _ in range(run.rounds):
        with run.start_ours() as server:
            for count, connections in ((1, load_generators.CONNECTIONS), (BATCH_SIZE, 2)):
                for name, request in build_requests(run.bundle.manifest.name, run.typical_rows(count)).items():
                    figures = measure_saturated(
                        run, _at_path(server, request.path), request.body, connections, request.headers
                    )
                    yield (
                        f"{name}, {count:,} {'row' if count == 1 else 'rows'}",
                        {
                            "row_us": figures["cpu_us"] / count,
                            "rows_cpu_s": count / figures["cpu_us"] * 1e6,
                            "failures": figures["failures"],
                        },
                    )


def build_requests(model: str, rows: Sequence[Sequence[float]]) -> dict[str, ProtocolRequest]:
    """Requests for the rows by protocol, among them ``/explain`` for a single row."""
    values = np.array(rows, "<f4").tobytes()
    tensor = {"name": "features", "shape": [len(rows), len(rows[0])], "datatype": "FP32"}
    binary_tensor = tensor | {"parameters": {"binary_data_size": len(values)}}
    head = _json(inputs=[binary_tensor], parameters={"binary_data_output": True})
    native = {"features": rows[0]} if len(rows) == 1 else {"instances": rows}
    infer = f"/v2/models/{model}/infer"
    binary = {"Content-Type": "application/octet-stream"}
    explain = {"/explain": ProtocolRequest("/explain", _json(**native), {})} if len(rows) == 1 else {}
    return {
        "/predict": ProtocolRequest("/predict", _json(**native), {}),
        **explain,
        "/v1 :predict": ProtocolRequest(f"/v1/models/{model}:predict", _json(instances=rows), {}),
        "/v2 infer, JSON": ProtocolRequest(infer, _json(inputs=[tensor | {"data": rows}]), {}),
        "/v2 infer, binary": ProtocolRequest(infer, head + values, binary | {_JSON_LENGTH_HEADER: str(len(head))}),
        "/v2 infer, raw": ProtocolRequest(infer, values, binary | {_JSON_LENGTH_HEADER: "0"}),
    }


def _json(**document: object) -> bytes:
    return json.dumps(document).encode()


def _at_path(server: Server, path: str) -> Server:
    return replace(server, peer=replace(server.peer, path=path))
