"""One loaded bundle: its schema, its engine, and what it can say about rows."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models import bundle
from models.bundle import Bundle, BundleError
from service import engine
from service.engine import Array, Engine

Integers = NDArray[np.intp]

_TOLERANCE = 1e-5  # between engines and processors; float32 arithmetic of this size differs by 5e-7


class Model:
    """A network that passed its self-test, ready to predict."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.manifest = bundle.manifest
        self.features = bundle.manifest.features
        self.labels = bundle.manifest.labels
        self.identity = {"name": bundle.manifest.name, "version": str(bundle.manifest.version)}
        self._engine = engine
        self._answer = bundle.manifest.layers[-1].name
        ranges = bundle.manifest.reference.ranges
        seen = np.array([[ranges[label][name] for name in bundle.manifest.names] for label in self.labels], np.float32)
        self._least, self._most = seen[:, :, 0], seen[:, :, 1]

    @classmethod
    def open(cls, store: Path, name: str, engine_name: str) -> "Model":
        """The newest version of a model in a store, verified and self-tested.

        Raises:
            BundleError: there is none, a file is not what its manifest says, or a golden row has another answer.
            StartupError: the engine cannot be had.
        """
        found = bundle.read(bundle.newest(store, name))
        loaded = engine.load(engine_name, found)
        _self_test(found, loaded)
        return cls(found, loaded)

    def layers(self, rows: Array) -> dict[str, Array]:
        """Every layer's output, [rows, units] by layer name, input to output."""
        outputs = self._engine.run(rows)
        return {layer.name: outputs[layer.name] for layer in self.manifest.layers}

    def probabilities(self, rows: Array) -> Array:
        """The labels' probabilities, [rows, labels] in the order of ``labels``.

        Raises:
            ArithmeticError: the network overflowed; no number of its answer means anything.
        """
        answer = self._engine.run(rows)[self._answer]
        if not np.isfinite(answer).all():
            raise ArithmeticError("the network's answer is not finite")
        return answer

    def warnings(self, rows: Array, answers: Integers) -> list[list[str]]:
        """For each row a sentence for each value that no training row of its answer had.

        ``answers`` are the labels' indices, [rows].
        """
        least, most = self._least[answers], self._most[answers]
        outside = (rows < least) | (rows > most)
        said: list[list[str]] = [[] for _ in rows]
        for row, column in np.argwhere(outside).tolist() if outside.any() else ():  # there are hardly ever any
            feature, unit = self.features[column], f" {self.features[column].unit}".rstrip()
            said[row].append(
                f"{feature.name} is {rows[row, column]:g}{unit}, but {least[row, column]:g} to "
                f"{most[row, column]:g}{unit} in every {self.labels[answers[row]]} of the training rows: "
                "the answer is a guess"
            )
        return said


def _self_test(found: Bundle, loaded: Engine) -> None:
    golden = found.manifest.golden
    outputs = loaded.run(np.array([row.features for row in golden], np.float32))
    for layer in found.manifest.layers:
        if layer.name not in outputs:
            raise BundleError(f"the network in {found.folder} has no layer {layer.name}: train the model again")
        for index, row in enumerate(golden):
            if not np.allclose(outputs[layer.name][index], row.outputs[layer.name], rtol=_TOLERANCE, atol=_TOLERANCE):
                raise BundleError(
                    f"{found.folder} fails its self-test: golden row {index} gets another answer from layer "
                    f"{layer.name} than its manifest says: copy the bundle again, or train the model again"
                )
