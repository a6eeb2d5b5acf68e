"""``python -m benchmarks.regression --against PATH``: server CPU time per request here and in another checkout."""

import argparse
import itertools
import json
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import peers, process_tree
from benchmarks.benchmark_run import BenchmarkRun, prepare_run
from benchmarks.closed_loop_client import Exchange, saturate
from benchmarks.protocols import build_requests
from benchmarks.results import FIGURES, Figure, format_cell
from benchmarks.server import pinned_to

BATCH_SIZE = 1000  # rows
WARM_UP_SECONDS = 0.2
TURNS = 4  # of each checkout with each request in a round
_RATIO = Figure("ratio", "x", shows_ratio=False)


def build_exchanges(run: BenchmarkRun) -> dict[str, Exchange]:
    """The measured requests by name."""
    manifest, (row,) = run.bundle.manifest, run.typical_rows(1)
    v1, v2 = (build_requests(manifest.name, [row])[name] for name in ("/v1 :predict", "/v2 infer, JSON"))
    as_list, too_short = (json.dumps({"features": values}).encode() for values in (row, row[1:]))
    return {
        "list": Exchange("/predict", as_list),
        "list, own trace and request ID": Exchange("/predict", as_list, traced=True),
        "named": Exchange("/predict", peers.read_peer(peers.OURS).request_body(manifest, row)),
        "/v1 :predict": Exchange(v1.path, v1.body),
        "/v2 infer, JSON": Exchange(v2.path, v2.body),
        "422": Exchange("/predict", too_short, status=422),
        f"{BATCH_SIZE:,} rows": Exchange("/predict", run.batch_body(BATCH_SIZE), connections=2),
    }


def measure(run: BenchmarkRun, roots: Sequence[Path]) -> list[dict[str, float]]:
    """For the service of each checkout, server CPU time per request in µs by the exchange's name.

    All of them run, one is under load at a time, and they take short turns, so that a disturbance meets them alike.
    """
    with ExitStack() as stack:
        ports = [stack.enter_context(run.start_ours(root=root)).port for root in roots]
        stack.enter_context(pinned_to({run.load_core}))
        cpu_us = [dict.fromkeys(build_exchanges(run), 0.0) for _ in roots]
        for name, exchange in build_exchanges(run).items():
            for port in ports:
                saturate(port, exchange, WARM_UP_SECONDS)
            for _, (port, of_checkout) in itertools.product(range(TURNS), zip(ports, cpu_us, strict=True)):
                before = process_tree.cpu_seconds()
                responses = saturate(port, exchange, run.seconds / TURNS)
                of_checkout[name] += (process_tree.cpu_seconds() - before) / responses * 1e6 / TURNS
    return cpu_us


def format_table(other: Sequence[Mapping[str, float]], this: Sequence[Mapping[str, float]]) -> str:
    """Medians and ranges over the rounds as Markdown; each ratio is of the two measurements of one round."""
    lines = ["| server CPU time per request | other | this | this / other |", "|---|--:|--:|--:|"]
    for name in this[0]:
        before, after = ([cpu_us[name] for cpu_us in rounds] for rounds in (other, this))
        ratios = [new / old for old, new in zip(before, after, strict=True)]
        cells = [
            format_cell(FIGURES["cpu_us"], before, None),
            format_cell(FIGURES["cpu_us"], after, None),
            format_cell(_RATIO, ratios, None),
        ]
        lines.append(f"| {' | '.join([name, *cells])} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regression", description="Server CPU time per request here and in another checkout."
    )
    parser.add_argument("--against", type=Path, required=True, metavar="PATH", help="the other checkout")
    parser.add_argument("--rounds", type=int, default=5, help="each with newly started services (5)")
    parser.add_argument(
        "--seconds", type=float, default=2, help="of load on each service with each request in a round (2)"
    )
    options = parser.parse_args()
    run = prepare_run([], options.rounds, options.seconds)
    rounds = []
    for number in range(options.rounds):
        rounds.append(measure(run, (options.against.resolve(), peers.ROOT)))
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)  # noqa: T201
    print(format_table(*zip(*rounds, strict=True)))  # noqa: T201


if __name__ == "__main__":
    main()
