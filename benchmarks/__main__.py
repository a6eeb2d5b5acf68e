"""``python -m benchmarks``: measure, tell, draw. See benchmarks/README.md."""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import alone, chart, comparison, load, peers, protocols
from benchmarks.bench import Bench, prepare
from benchmarks.results import FIGURES, Results, number

MEASUREMENTS = {
    "closed loop": comparison.closed_loop,
    "open loop": comparison.open_loop,
    "start": alone.start,
    "memory": alone.memory,
    "workers": alone.workers,
    "batches": alone.batches,
    "protocols": protocols.protocols,
    "idle connections": alone.idle,
    "mixed load": alone.mixed,
}
KEYS = {name.split()[0]: name for name in MEASUREMENTS}
RESULTS = Path(__file__).resolve().parent / "results"
console = Console()


def main() -> None:
    options = _parse()
    try:
        load.find_wrk()
    except load.NoLoadGeneratorError as error:
        sys.exit(f"benchmarks: {error}")
    chosen = [peers.read(name) for name in peers.every() if name in {peers.OURS, *options.peers}]
    bench = prepare(chosen, options.rounds, options.seconds, options.open_seconds)
    told = {"rounds": options.rounds, "seconds": options.seconds, "open_seconds": options.open_seconds}
    results = Results(told, failures=bench.failures)
    try:
        _install(bench)
        for key in options.only:
            _measure(bench, KEYS[key], results)
    except KeyboardInterrupt:
        sys.exit("benchmarks: interrupted; nothing is written, every server is ended")
    console.print(Markdown(results.markdown()))
    _write(results, options.output)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Side by side with other model servers.")
    every = peers.every()
    parser.add_argument("--peers", nargs="*", choices=every, default=every, help="beside ours; all unless told")
    parser.add_argument(
        "--only", nargs="+", choices=list(KEYS), default=list(KEYS), help="measurements; all unless told"
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of full load each time (5)")
    parser.add_argument("--open-seconds", type=float, default=60, help="of the open loop each time (60)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for latest.json, latest.md and the charts")
    return parser.parse_args()


def _install(bench: Bench) -> None:
    """Every peer's environment, made if need be; a peer that cannot be had is given up here."""
    for peer in bench.peers:
        with console.status(f"setting up {peer.title} (once)"):
            try:
                peers.install(peer)
            except peers.PeerError as error:
                bench.failures[peer.title] = str(error)
                console.print(f"{peer.title}: given up: {error}", style="red")


def _measure(bench: Bench, name: str, results: Results) -> None:
    """One measurement; a sample is told as it comes."""
    known = set(bench.failures)
    with console.status(f"{name}: {bench.rounds} rounds"):
        try:
            for subject, figures in MEASUREMENTS[name](bench):
                results.add(name, subject, figures)
                told = ", ".join(
                    f"{FIGURES[key].heading} {number(value)} {FIGURES[key].unit}".rstrip()
                    for key, value in figures.items()
                    if key in FIGURES
                )
                console.print(f"[bold]{name}[/bold], {subject}: {told}", highlight=False)
        except peers.PeerError as error:
            bench.failures[name] = str(error)
    for subject in bench.failures.keys() - known:
        console.print(f"{subject}: given up: {bench.failures[subject]}", style="red")


def _write(results: Results, folder: Path) -> None:
    results.write(folder)
    ours = peers.read(peers.OURS).title
    if ours in results.measured.get("closed loop", {}):
        chart.bars(results.measured["closed loop"], ours, folder / "comparison.svg")
    if "batches" in results.measured:
        chart.curve(results.measured["batches"], folder / "batches.svg")
    console.print(f"written to {folder}")


if __name__ == "__main__":
    main()
