"""What further models cost: start, memory, and the CPU time of a request beside them."""

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import process_tree
from benchmarks.benchmark_run import BenchmarkRun
from benchmarks.bundle_copies import copy_bundle
from benchmarks.comparison import Samples, measure_saturated
from benchmarks.exchanges import Exchange
from benchmarks.peers import OURS, read_peer
from benchmarks.results import Figures
from benchmarks.server import check_status, start_server
from models.bundle import Bundle

COUNTS = (1, 11, 51)
VERSIONS = 2  # of each model, all of them loaded


def measure_models(run: BenchmarkRun) -> Samples:
    """One worker that serves copies of the bundle: with one model, with eleven, and with 51, of two versions each.

    Memory is that after every model has answered. The requests are to the default model, among 51 also to another one
    by its name.
    """
    ours = read_peer(OURS)
    ours = replace(ours, environment={**ours.environment, "MENAGERIE_MODELS": "*"})
    exchange = run.single_row(ours)
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        stores = {count: Path(folder) / str(count) for count in COUNTS}
        names = {count: _fill(store, run.bundle, count) for count, store in stores.items()}
        for _ in range(run.rounds):
            for count, store in stores.items():
                served = Bundle.read(store / names[count][0] / str(VERSIONS))
                with start_server(ours, served, run.cores[:1]) as server:
                    figures = {"start_s": server.start_seconds, "start_cpu_s": process_tree.cpu_seconds()}
                    by_name = [exchange._replace(path=f"/models/{name}{exchange.path}") for name in names[count]]
                    for each in by_name:
                        check_status(server.port, each)
                    figures["memory_mb"] = process_tree.memory_mb()
                    yield _label(count), {**figures, **_request_cost(run, server.port, exchange)}
                    if count == COUNTS[-1]:
                        yield f"{_label(count)}, by name", _request_cost(run, server.port, by_name[-1])


def _request_cost(run: BenchmarkRun, port: int, exchange: Exchange) -> Figures:
    figures = measure_saturated(run, port, exchange)
    return {name: figures[name] for name in ("cpu_us", "failures")}


def _fill(store: Path, source: Bundle, count: int) -> Sequence[str]:
    """Fill a store with copies of a bundle; return the models' names, first that of the bundle."""
    names = [source.manifest.name, *(f"model-{number}" for number in range(2, count + 1))]
    for name in names:
        for version in range(1, VERSIONS + 1):
            copy_bundle(source, store, name, version)
    return names


def _label(count: int) -> str:
    return "1 model" if count == 1 else f"{count} models"
