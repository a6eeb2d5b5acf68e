"""``python -m benchmarks.shadow``: latency and server CPU time per request without and with a shadow version."""

import argparse
import itertools
import json
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median

from benchmarks import load_generators, peers, process_tree
from benchmarks.benchmark_run import BenchmarkRun, prepare_run
from benchmarks.comparison import measure_load, warm_up
from benchmarks.exchanges import Exchange
from benchmarks.results import FIGURES, Figures, Rounds, format_cell
from models import bundle
from models.bundle import MANIFEST, Bundle

_TURN_SECONDS = 1
_NAMES = ("without", "with")
_OPEN_FIGURES = ("cpu_us", "p50_ms", "p99_ms", "p999_ms", "max_ms", "failures")
_CLOSED_FIGURES = ("cpu_us", "requests_s", "failures")


def copy_store(served: Bundle, store: Path, *, shadow: bool) -> Bundle:
    """A store with the served bundle as version 1 and once more as version 2, which is the shadow or idle."""
    model_dir = store / served.manifest.name
    for version in (1, 2):
        shutil.copytree(served.folder, model_dir / str(version))
        path = model_dir / str(version) / MANIFEST
        path.write_text(json.dumps(json.loads(path.read_text()) | {"version": version}))
    bundle.write_current_version(model_dir, 1)
    if shadow:
        bundle.write_shadow_version(model_dir, 2)
    return Bundle.read(model_dir / "1")


def measure(run: BenchmarkRun, rates: Sequence[float]) -> dict[str, dict[str, Figures]]:
    """Figures by load and by service: both run, one is under load at a time, and they take turns of a second.

    So a disturbance meets both alike; the figures are medians of the turns.
    """
    turns: dict[str, dict[str, list[Figures]]] = {}
    with tempfile.TemporaryDirectory(prefix="bench-") as scratch, ExitStack() as stack:
        ports = {}
        for name in _NAMES:
            copied = copy_store(run.bundle, Path(scratch) / name, shadow=name == "with")
            ports[name] = stack.enter_context(replace(run, bundle=copied).start_ours()).port
        exchange = run.single_row(peers.read_peer(peers.OURS))
        for port in ports.values():
            warm_up(run, port, exchange)
        for rate, _, (name, port) in itertools.product([*rates, 0], range(round(run.seconds)), ports.items()):
            process_tree.wait_until_idle()
            load = f"{rate:,.0f} requests a second" if rate else "closed loop"
            figures = _measure_turn(run, port, exchange, rate)
            turns.setdefault(load, {}).setdefault(name, []).append(figures)
    return {load: {name: _medians(each) for name, each in by_name.items()} for load, by_name in turns.items()}


def _measure_turn(run: BenchmarkRun, port: int, exchange: Exchange, rate: float) -> Figures:
    """The figures of one turn at a rate, or without one in a closed loop."""
    if not rate:
        return measure_load(run, port, exchange, _TURN_SECONDS)
    before = process_tree.cpu_seconds()
    load = load_generators.run_open_loop(port, exchange, run.load_core, _TURN_SECONDS, rate)
    return load | {"cpu_us": (process_tree.cpu_seconds() - before) / load["planned"] * 1e6}


def _medians(turns: Sequence[Figures]) -> Figures:
    return {name: median(turn[name] for turn in turns) for name in turns[0]}


def format_tables(rounds: Sequence[Mapping[str, Mapping[str, Figures]]]) -> str:
    """Medians and ranges over the rounds as Markdown."""
    lines = []
    for load in rounds[0]:
        shown = _OPEN_FIGURES if "p999_ms" in rounds[0][load]["with"] else _CLOSED_FIGURES
        lines += [
            "",
            f"| {load} | {' | '.join(FIGURES[each].heading for each in shown)} |",
            "|---|" + "--:|" * len(shown),
        ]
        for name in _NAMES:
            values: Rounds = {each: [figures[load][name][each] for figures in rounds] for each in shown}
            cells = [format_cell(FIGURES[each], values[each], None) for each in shown]
            lines.append(f"| {name} a shadow | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.shadow",
        description="Latency and server CPU time per request without and with a shadow version.",
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[1_000, 5_000], help="requests a second (1000 5000)")
    parser.add_argument("--rounds", type=int, default=5, help="each with newly started services (5)")
    parser.add_argument("--seconds", type=int, default=8, help="of each load on each service in a round (8)")
    options = parser.parse_args()
    run = prepare_run([], options.rounds, options.seconds, options.seconds)
    try:
        load_generators.require_wrk()
    except load_generators.LoadGeneratorError as error:
        parser.error(str(error))
    rounds = []
    for number in range(options.rounds):
        try:
            rounds.append(measure(run, options.rates))
        except peers.PeerError as error:
            sys.exit(f"benchmarks: {error}")
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)  # noqa: T201
    print(format_tables(rounds))  # noqa: T201


if __name__ == "__main__":
    main()
