"""``python -m benchmarks.regression --against PATH``: server CPU time per request here and in another checkout."""

import argparse
import itertools
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks import load_generators, peers, process_tree
from benchmarks.benchmark_run import BenchmarkRun, prepare_run
from benchmarks.comparison import measure_load, warm_up
from benchmarks.exchanges import Exchange, build_exchanges, choose
from benchmarks.results import FIGURES, Figure, format_cell

_TURN_SECONDS = 1  # the shortest load of wrk
_RATIO = Figure("ratio", "x", shows_ratio=False)


def measure(run: BenchmarkRun, roots: Sequence[Path], exchanges: Mapping[str, Exchange]) -> list[dict[str, float]]:
    """For the service of each checkout, server CPU time per request in µs by the exchange's name.

    All of them run, one is under load at a time, and they take turns of a second, so that a disturbance meets them
    alike.
    """
    turns = max(1, round(run.seconds / _TURN_SECONDS))
    with ExitStack() as stack:
        services = [stack.enter_context(run.start_for(exchanges.values(), root)) for root in roots]
        cpu_us = [dict.fromkeys(exchanges, 0.0) for _ in roots]
        for name, exchange in exchanges.items():
            for ports in services:
                warm_up(run, ports[exchange.keyed], exchange)
            for _, (ports, of_checkout) in itertools.product(range(turns), zip(services, cpu_us, strict=True)):
                figures = measure_load(run, ports[exchange.keyed], exchange, _TURN_SECONDS)
                process_tree.wait_until_idle()
                if figures["failures"]:
                    raise peers.PeerError(f"{name}: {figures['failures']:.0f} responses have another status")
                of_checkout[name] += figures["cpu_us"] / turns
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
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="NAME",
        help="the requests that have this in their name; all if omitted",
    )
    parser.add_argument("--rounds", type=int, default=5, help="each with newly started services (5)")
    parser.add_argument(
        "--seconds", type=int, default=2, help="of load on each service with each request in a round (2)"
    )
    options = parser.parse_args()
    run = prepare_run([], options.rounds, options.seconds)
    try:
        load_generators.require_wrk()
        exchanges = choose(build_exchanges(run.bundle.manifest), options.only)
    except (load_generators.LoadGeneratorError, ValueError) as error:
        parser.error(str(error))
    rounds = []
    for number in range(options.rounds):
        try:
            rounds.append(measure(run, (options.against.resolve(), peers.ROOT), exchanges))
        except peers.PeerError as error:
            sys.exit(f"benchmarks: {error}")
        print(f"round {number + 1} of {options.rounds} done", file=sys.stderr)  # noqa: T201
    print(format_table(*zip(*rounds, strict=True)))  # noqa: T201


if __name__ == "__main__":
    main()
