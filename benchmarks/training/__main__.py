"""``python -m benchmarks.training``: the recipe for users' tables on public ones, beside scikit-learn's classifiers."""

import argparse
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from rich.console import Console
from sklearn import datasets

from benchmarks.environments import Environment, InstallError
from benchmarks.peers import ENVIRONMENTS, INSTALL_SECONDS, ROOT
from models import recipe
from models.dataset import split_folds
from models.evaluate import Scores, build_logistic_regression, concatenate, score
from models.options import TrainingOptions
from models.train import load_dataset

FOLDS = 5
FOLDER = Path(__file__).resolve().parent
PAGE = ROOT / "docs" / "decisions" / "0017-measured-rows.md"
MARKS = ("<!-- made by `make bench-training`: begin -->", "<!-- end -->")
HIDDEN = {"digits": (16, 16)}  # the others have the default
SCIKIT_LEARN = {
    "iris": datasets.load_iris,
    "wine": datasets.load_wine,
    "breast cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
}
HEADINGS = (
    "table", "rows", "features", "labels", "log loss", "logistic regression", "ratio",
    "calibration error", "accuracy", "logistic regression", "training, s",
)  # fmt: skip
console = Console()


class Measured(NamedTuple):
    """The cross-validation of one table; ``seconds`` of processor time took one training."""

    name: str
    rows: int
    features: int
    labels: int
    network: Scores
    logistic: Scores
    seconds: float

    @property
    def ratio(self) -> float:
        """Of the network's log loss to logistic regression's."""
        return self.network.log_loss / self.logistic.log_loss

    @property
    def cells(self) -> tuple[str, ...]:
        network, logistic = self.network, self.logistic
        return (
            self.name, f"{self.rows:,}", f"{self.features}", f"{self.labels}",
            f"{network.log_loss:.4f}", f"{logistic.log_loss:.4f}", f"{self.ratio:.2f}",
            f"{network.expected_calibration_error:.3f}",
            f"{network.accuracy:.3f}", f"{logistic.accuracy:.3f}", f"{self.seconds:.1f}",
        )  # fmt: skip


def main() -> None:
    options = _parse_arguments()
    try:
        paths = _write_tables(ENVIRONMENTS / "training-tables")
    except InstallError as error:
        sys.exit(f"benchmarks: the environment with the tables {error}")
    chosen = [path for path in paths if not options.only or path.stem in options.only]
    results: list[Measured] = []
    for path in chosen:
        with console.status(f"{path.stem}: {len(results) + 1} of {len(chosen)}"):
            results.append(_measure(path, options.seed))
        console.print(", ".join(f"{h} {c}" for h, c in zip(HEADINGS, results[-1].cells, strict=True)), highlight=False)
    text = _to_markdown(results)
    if options.only or options.seed:
        console.print(text, highlight=False)
    else:
        _write_into_page(text)
        console.print(f"written into {PAGE.relative_to(ROOT)}")


def _parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.training", description="Train on public tables.")
    parser.add_argument("--only", nargs="+", metavar="TABLE", help="print these tables only; the page stays as it is")
    parser.add_argument("--seed", type=int, default=0, help="of the splits and the training; the page has those of 0")
    return parser.parse_args()


def _write_tables(folder: Path) -> list[Path]:
    """Write each table as a CSV file, those of scikit-learn ourselves; the others need an environment of their own."""
    python = Environment(folder / "environment", FOLDER / "requirements.txt").install(INSTALL_SECONDS)
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    subprocess.run([python, FOLDER / "export_tables.py", tables], check=True)
    for name, load in SCIKIT_LEARN.items():
        data: Any = load(as_frame=True)
        table = data.frame.rename(columns={"target": "label"})
        table.loc[:, table.nunique() > 1].to_csv(tables / f"{name}.csv", index=False)
    return sorted(tables.glob("*.csv"), key=lambda path: path.stat().st_size)


def _measure(path: Path, seed: int) -> Measured:
    hidden = HIDDEN.get(path.stem, TrainingOptions.hidden)
    options = TrainingOptions(table=path, label="label", hidden=hidden, seed=seed)
    dataset = load_dataset(options)
    rng = np.random.default_rng(0)
    network, logistic, seconds = [], [], []
    for training, test in split_folds(dataset, np.arange(len(dataset.groups)), FOLDS, options.seed):
        started = time.process_time()
        trained = recipe.train(dataset, training, options, lambda _: None).classify
        seconds.append(time.process_time() - started)
        rows, tested = dataset.sample(training, 0, rng), dataset.sample(test, 0, rng)
        network.append(score(trained, tested))
        baseline = build_logistic_regression(dataset.features, rows.rows)
        logistic.append(score(baseline.fit(rows.rows.astype(float), rows.labels), tested))
    return Measured(
        path.stem,
        len(dataset.groups),
        len(dataset.features),
        len(dataset.labels),
        concatenate(network),
        concatenate(logistic),
        float(np.mean(seconds)),
    )


def _to_markdown(results: list[Measured]) -> str:
    """Make a table with a row for each result, and a sentence with the means."""
    ours = np.mean([result.network.log_loss for result in results])
    theirs = np.mean([result.logistic.log_loss for result in results])
    highest = max(results, key=lambda result: result.ratio)
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(result.cells for result in results)]
    table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    return (
        f"{table}\n\nThe mean log loss of the {len(results)} tables is {ours:.4f}, and {theirs:.4f} with logistic\n"
        f"regression. The highest ratio is {highest.ratio:.2f} ({highest.name}).\n"
    )


def _write_into_page(text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(MARKS[0])
    after = rest.split(MARKS[1])[1]
    PAGE.write_text(f"{before}{MARKS[0]}\n\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
