"""``python -m benchmarks``: run the measurements, print the tables and draw the charts; see benchmarks/README.md."""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.markdown import Markdown

from benchmarks import charts, comparison, load_generators, peers, several_models, standalone
from benchmarks.benchmark_run import BenchmarkRun, prepare_run
from benchmarks.comparison import Samples
from benchmarks.results import FIGURES, Results, format_number

Measure = Callable[[BenchmarkRun], Samples]
MEASUREMENTS: dict[str, tuple[str, Measure]] = {
    "closed": ("closed loop", comparison.measure_closed_loop),
    "start": ("start", standalone.measure_start),
    "memory": ("memory", standalone.measure_memory),
    "workers": ("workers", standalone.measure_workers),
    "requests": ("requests", standalone.measure_requests),
    "batches": ("batches", standalone.measure_batches),
    "idle": ("idle connections", standalone.measure_idle),
    "models": ("several models", several_models.measure_models),
    "mixed": ("mixed load", standalone.measure_mixed),
}
OPEN = "open"  # one measurement for each rate
RATES = (1000, 5000)  # requests per second
RESULTS = Path(__file__).resolve().parent / "results"
console = Console()


def main() -> None:
    options = _parse_arguments()
    try:
        load_generators.require_wrk()
    except load_generators.LoadGeneratorError as error:
        sys.exit(f"benchmarks: {error}")
    chosen = [peers.read_peer(name) for name in peers.list_peers() if name in {peers.OURS, *options.peers}]
    run = prepare_run(chosen, options.rounds, options.seconds, options.open_seconds)
    parameters = {"rounds": options.rounds, "seconds": options.seconds, "open_seconds": options.open_seconds}
    results = Results(parameters, failures=run.failures)
    try:
        _install_peers(run)
        for name, measure in _list_measurements(options.only, options.rates):
            _measure(run, name, measure, results)
    except KeyboardInterrupt:
        sys.exit("benchmarks: interrupted; nothing is written, every server is ended")
    console.print(Markdown(results.to_markdown()))
    _write(results, options.output)


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Side by side with other model servers.")
    names = peers.list_peers()
    parser.add_argument("--peers", nargs="*", choices=names, default=names, help="beside ours; all unless told")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*MEASUREMENTS, OPEN],
        default=[*MEASUREMENTS, OPEN],
        help="measurements; all unless told",
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="of full load each time (5)")
    parser.add_argument("--open-seconds", type=float, default=60, help="of the open loop each time (60)")
    parser.add_argument("--rates", nargs="+", type=int, default=RATES, help="requests/s of the open loop (1000 5000)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="folder for latest.json, latest.md and the charts")
    return parser.parse_args()


def _install_peers(run: BenchmarkRun) -> None:
    """Create the environments that are missing; a peer that cannot be installed is recorded as a failure."""
    for peer in run.peers:
        with console.status(f"setting up {peer.title} (once)"):
            try:
                peers.install_peer(peer)
            except peers.PeerError as error:
                run.failures[peer.title] = str(error)
                console.print(f"{peer.title}: given up: {error}", style="red")


def _list_measurements(keys: Sequence[str], rates: Sequence[int]) -> Iterator[tuple[str, Measure]]:
    for key in keys:
        if key == OPEN:
            for rate in rates:
                yield f"open loop, {rate:,} requests/s", partial(comparison.measure_open_loop, rate=rate)
        else:
            yield MEASUREMENTS[key]


def _measure(run: BenchmarkRun, name: str, measure: Measure, results: Results) -> None:
    """Take one measurement and print each sample as soon as it is there."""
    earlier = set(run.failures)
    with console.status(f"{name}: {run.rounds} rounds"):
        try:
            for subject, figures in measure(run):
                results.add(name, subject, figures)
                text = ", ".join(
                    f"{FIGURES[key].heading} {format_number(value)} {FIGURES[key].unit}".rstrip()
                    for key, value in figures.items()
                    if key in FIGURES
                )
                console.print(f"[bold]{name}[/bold], {subject}: {text}", highlight=False)
        except peers.PeerError as error:
            run.failures[name] = str(error)
    for subject in run.failures.keys() - earlier:
        console.print(f"{subject}: given up: {run.failures[subject]}", style="red")


def _write(results: Results, folder: Path) -> None:
    results.write(folder)
    ours = peers.read_peer(peers.OURS).title
    if ours in results.measured.get("closed loop", {}):
        charts.draw_bars(results.measured["closed loop"], ours, folder / "comparison.svg")
    if "batches" in results.measured:
        charts.draw_curve(results.measured["batches"], folder / "batches.svg")
    console.print(f"written to {folder}")


if __name__ == "__main__":
    main()
