"""One loaded bundle: its schema, its engine, and what it can say about rows."""

import time
from collections.abc import Iterable, Mapping, Sequence
from math import isfinite
from pathlib import Path

import numpy as np

from models.bundle import Bundle, BundleError
from models.manifest import find_golden_mismatch
from service.http.context import Places, Predicted, Record
from service.http.errors import NoModelError
from service.inference import engine
from service.inference.engine import Array, Engine
from service.monitoring.drift.bins import Bins
from service.monitoring.model_metrics import Ledger


class Model:
    """A network that passed its self-test, ready to predict."""

    def __init__(self, bundle: Bundle, engine: Engine, ledger: Ledger) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.features = bundle.manifest.features
        self.labels = bundle.manifest.labels
        self.number = bundle.manifest.version
        self.identity = {"name": bundle.manifest.name, "version": str(bundle.manifest.version)}
        self.statistics = ledger.of(bundle.manifest)
        self.bins = Bins(bundle.manifest)
        self._engine = engine
        self.answer = bundle.manifest.layers[-1].name

    @classmethod
    def open(cls, folder: Path, engine_name: str, ledger: Ledger, name: str = "") -> "Model":
        """The model in a bundle's folder, verified and self-tested; under its own name unless another is given.

        Raises:
            BundleError: a file is not what its manifest says, or a golden row has another answer.
            StartupError: the engine cannot be had.
        """
        found = Bundle.read(folder)
        loaded = engine.load(engine_name, found)
        _self_test(found, loaded)
        return cls(found.with_name(name) if name else found, loaded, ledger)

    def require(self, parameters: Mapping[str, str]) -> None:
        """Refuse a path whose ``model``, and ``version`` if it has one, are not this one.

        Raises:
            NoModelError: naming what is served.
        """
        name, version = self.identity["name"], self.identity["version"]
        if parameters["model"] != name:
            raise NoModelError(f"no model of that name is served here: {name} is")
        if parameters.get("version", version) != version:
            raise NoModelError(f"no such version of {name} is served here: {version} is")

    def layers(self, rows: Array) -> dict[str, Array]:
        """Every layer's output, [rows, units] by layer name, input to output."""
        return self._engine.run(rows, [layer.name for layer in self.manifest.layers])

    def run(self, rows: Array, layers: Iterable[str], record: Record) -> dict[str, Array]:
        """One run of the network, counted and recorded: outputs of these layers and of the last, [rows, units] by name.

        Raises:
            ArithmeticError: the network overflowed; no number of its answer means anything.
        """
        started = time.perf_counter_ns()
        outputs = self._engine.run(rows, (self.answer, *layers))
        spent = time.perf_counter_ns() - started
        answer = outputs[self.answer]
        _require_finite(answer)
        record.unlike = self.statistics.ran(rows, answer, spent)
        record.predicted = Predicted(rows, answer)
        record.lap("infer")
        return outputs

    def probabilities(self, rows: Array, record: Record) -> Array:
        """The labels' probabilities by such a run, [rows, labels] in the order of ``labels``.

        Raises:
            ArithmeticError: the network overflowed.
        """
        return self.run(rows, (), record)[self.answer]

    def evaluate(self, rows: Array) -> Array:
        """The same for rows that nobody asked about, so that no statistics count them.

        Raises:
            ArithmeticError: the network overflowed.
        """
        answer = self._engine.run(rows, (self.answer,))[self.answer]
        _require_finite(answer)
        return answer

    def warnings(self, rows: Array, answers: Sequence[int], unlike: Places) -> list[list[str]]:
        """For each row a sentence for each of its values that is ``unlike`` what the training rows of its answer had.

        ``answers`` are the labels' indices, one a row.
        """
        said: list[list[str]] = [[] for _ in answers]
        for place in unlike:  # hardly ever any
            row, index = divmod(int(place), len(self.features))
            said[row].append(self.warning(float(rows[row, index]), index, answers[row]))
        return said

    def warning(self, value: float, index: int, answer: int) -> str:
        """What to say of such a value of the feature with that index, in a row with that label's for its answer."""
        feature, ranges = self.features[index], self.statistics.ranges
        least, most = ranges.least[answer][index], ranges.most[answer][index]
        unit = f" {feature.unit}".rstrip()
        return (
            f"{feature.name} is {value:g}{unit}, but {least:g} to {most:g}{unit} "
            f"in every {self.labels[answer]} of the training rows: the answer is a guess"
        )


def _require_finite(answer: Array) -> None:
    # Reducing four numbers costs NumPy 9 us in a busy server; for many it is the faster way.
    if not (all(map(isfinite, answer[0].tolist())) if len(answer) == 1 else np.isfinite(answer).all()):
        raise ArithmeticError("the network's answer is not finite")


def _self_test(found: Bundle, loaded: Engine) -> None:
    layers = [layer.name for layer in found.manifest.layers]
    for layer in layers:
        if layer not in loaded.layers:
            raise BundleError(f"the network in {found.folder} has no layer {layer}: train the model again")
    outputs = loaded.run(found.manifest.golden_rows, layers)
    if mismatch := find_golden_mismatch(found.manifest, outputs):
        raise BundleError(
            f"{found.folder} fails its self-test: golden row {mismatch.row} gets another answer from layer "
            f"{mismatch.layer} than its manifest says: copy the bundle again, or train the model again"
        )
