"""One loaded bundle: its schema, its engine, and what it can say about rows."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import bundle
from models.bundle import Bundle, BundleError, Feature
from service import engine
from service.engine import Array, Engine
from service.errors import NoModelError
from service.statistics import Ledger

_TOLERANCE = 1e-5  # between engines and processors; float32 arithmetic of this size differs by 5e-7


class Model:
    """A network that passed its self-test, ready to predict."""

    def __init__(self, bundle: Bundle, engine: Engine, ledger: Ledger) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.features = bundle.manifest.features
        self.labels = bundle.manifest.labels
        self.identity = {"name": bundle.manifest.name, "version": str(bundle.manifest.version)}
        self.statistics = ledger.of(bundle.manifest.version)
        self._engine = engine
        self.answer = bundle.manifest.layers[-1].name
        ranges = bundle.manifest.reference.ranges
        seen = np.array([[ranges[label][name] for name in bundle.manifest.names] for label in self.labels], np.float32)
        self._least, self._most = seen[:, :, 0], seen[:, :, 1]
        self._seen = seen.tolist()

    @classmethod
    def open(cls, folder: Path, engine_name: str, ledger: Ledger) -> "Model":
        """The model in a bundle's folder, verified and self-tested.

        Raises:
            BundleError: a file is not what its manifest says, or a golden row has another answer.
            StartupError: the engine cannot be had.
        """
        found = bundle.read(folder)
        loaded = engine.load(engine_name, found)
        _self_test(found, loaded)
        return cls(found, loaded, ledger)

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

    def run(self, rows: Array, layers: Iterable[str]) -> dict[str, Array]:
        """One counted run of the network: the outputs of these layers and of the last, [rows, units] by name.

        Raises:
            ArithmeticError: the network overflowed; no number of its answer means anything.
        """
        started = time.perf_counter_ns()
        outputs = self._engine.run(rows, (self.answer, *layers))
        self.statistics.ran(len(rows), time.perf_counter_ns() - started)
        _require_finite(outputs[self.answer])
        return outputs

    def probabilities(self, rows: Array) -> Array:
        """The labels' probabilities, [rows, labels] in the order of ``labels``.

        Raises:
            ArithmeticError: the network overflowed.
        """
        return self.run(rows, ())[self.answer]

    def evaluate(self, rows: Array) -> Array:
        """The same for rows that nobody asked about, so that no statistics count them.

        Raises:
            ArithmeticError: the network overflowed.
        """
        answer = self._engine.run(rows, (self.answer,))[self.answer]
        _require_finite(answer)
        return answer

    def warnings(self, rows: Array, answers: Sequence[int]) -> list[list[str]]:
        """For each row a sentence for each value that no training row of its answer had.

        ``answers`` are the labels' indices, one a row.
        """
        if len(rows) == 1:  # costs less than NumPy's calls
            answer = answers[0]
            values = zip(self.features, rows[0].tolist(), self._seen[answer], strict=True)
            return [[self._doubt(answer, *one) for one in values if not one[2][0] <= one[1] <= one[2][1]]]
        said: list[list[str]] = [[] for _ in answers]
        for row, sentence in self.doubts(rows, answers):
            said[row].append(sentence)
        return said

    def doubts(self, rows: Array, answers: Sequence[int] | NDArray[np.intp]) -> Iterator[tuple[int, str]]:
        """The same without a list for every row, hardly any of which has something in it: the row, and the sentence."""
        outside = np.flatnonzero((rows < self._least[answers]) | (rows > self._most[answers]))
        for place, value in zip(outside.tolist(), rows.ravel()[outside].tolist(), strict=True):
            row, index = divmod(place, len(self.features))
            answer = answers[row]
            yield row, self._doubt(answer, self.features[index], value, self._seen[answer][index])

    def _doubt(self, answer: int, feature: Feature, value: float, seen: Sequence[float]) -> str:
        (least, most), unit = seen, f" {feature.unit}".rstrip()
        return (
            f"{feature.name} is {value:g}{unit}, but {least:g} to {most:g}{unit} "
            f"in every {self.labels[answer]} of the training rows: the answer is a guess"
        )


def _require_finite(answer: Array) -> None:
    # Reducing four numbers costs NumPy 9 us in a busy server; for many it is the faster way.
    if not (all(map(isfinite, answer[0].tolist())) if len(answer) == 1 else np.isfinite(answer).all()):
        raise ArithmeticError("the network's answer is not finite")


def _self_test(found: Bundle, loaded: Engine) -> None:
    golden = found.manifest.golden
    layers = [layer.name for layer in found.manifest.layers]
    for layer in layers:
        if layer not in loaded.layers:
            raise BundleError(f"the network in {found.folder} has no layer {layer}: train the model again")
    outputs = loaded.run(np.array([row.features for row in golden], np.float32), layers)
    for layer in layers:
        for index, row in enumerate(golden):
            if not np.allclose(outputs[layer][index], row.outputs[layer], rtol=_TOLERANCE, atol=_TOLERANCE):
                raise BundleError(
                    f"{found.folder} fails its self-test: golden row {index} gets another answer from layer "
                    f"{layer} than its manifest says: copy the bundle again, or train the model again"
                )
