"""Models of every kind of head, served in process, and what they must answer, computed from their bundles."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.bundle import Bundle
from models.signature import Head, Input, Target
from service.inference.model import Model
from support import headed_bundles

NAME = "headed"
ROWS: Sequence[Sequence[float]] = ((0.5, -1.0, 2.0), (-2.5, 0.25, 1.0), (2.0, 2.0, -0.5))
INPUTS: Mapping[str, Sequence[Input]] = {
    "one input": (),
    "an input for each feature": tuple(Input(name=f"f{i}", width=1) for i in (1, 2, 3)),
    "several inputs": (Input(name="position", width=2), Input(name="speed", width=1)),
    "own names": (Input(name="features", width=1), Input(name="instances", width=2)),
}


MORE_HEADS: dict[str, tuple[Head, ...]] = {
    "one target": (
        Head(name="price", kind="regression", layer="probabilities", targets=(Target(name="price", unit="USD"),)),
    ),
    "own names": (Head(name="label", kind="classification", layer="probabilities", labels=("a", "b", "c")),),
    "a classification among others": (
        Head(name="risk", kind="regression", layer="probabilities", targets=(Target(name="risk"),)),
        Head(name="plan", kind="classification", layer="probabilities", labels=("no", "yes"), threshold=0.4),
    ),
}


class Headed(NamedTuple):
    """A published model: its bundle, and the same model loaded, to compare with."""

    bundle: Bundle
    model: Model
    store: Path

    @classmethod
    def publish(cls, store: Path, kind: str, inputs: str = "one input", *, sample: bool = True) -> "Headed":
        """Publish a model with one of the `HEADS` and one of the `INPUTS`."""
        heads = (headed_bundles.HEADS | MORE_HEADS)[kind]
        published = headed_bundles.publish(store, heads, inputs=INPUTS[inputs], sample=sample)
        return cls(published, Model.open(published.folder, "litert"), store)

    @property
    def heads(self) -> tuple[Head, ...]:
        return self.bundle.manifest.heads

    def columns(self, rows: Any) -> dict[str, NDArray[np.float32]]:
        """Each head's columns [rows, labels or targets], by its name."""
        outputs = self.model.outputs(np.array(rows, np.float32))
        stops = np.cumsum([len(head.column_names) for head in self.heads])[:-1]
        parts = np.split(outputs, stops, axis=1)
        return {head.name: part for head, part in zip(self.heads, parts, strict=True)}

    def raw(self, rows: Any) -> dict[str, NDArray[np.float32]]:
        """Each head's output as the model itself gives it, [rows, units], by its name."""
        layers = self.model.layer_outputs(np.array(rows, np.float32))
        return {
            head.name: self.columns(rows)[head.name] if head.layer == self.model.output_layer else layers[head.layer]
            for head in self.heads
        }

    def documents(self, rows: Any) -> list[dict[str, Any]]:
        """What `/predict` says about each row that has no warnings, without the model."""
        columns = self.columns(rows)
        documents = []
        for index in range(len(rows)):
            by_head = {head.name: _document(head, columns[head.name][index]) for head in self.heads}
            predicted = {"outputs": by_head} if len(by_head) > 1 else by_head[self.heads[0].name]
            documents.append({**predicted, "warnings": []})
        return documents


def shortest(value: np.float32) -> float:
    """The number that has the shortest decimals of a float32."""
    return float(str(value))


def _document(head: Head, values: NDArray[np.float32]) -> dict[str, Any]:
    by_name = {name: shortest(value) for name, value in zip(head.column_names, values, strict=True)}
    if head.kind == "regression":
        return {"values": by_name, "units": {target.name: target.unit for target in head.targets}}
    if head.kind == "multi_label":
        threshold = np.float32(head.threshold or 0.5)
        return {"labels": [name for name in by_name if np.float32(by_name[name]) > threshold], "probabilities": by_name}
    best = int(values.argmax()) if head.threshold is None else int(values[1] > np.float32(head.threshold))
    return {"label": head.labels[best], "confidence": shortest(values[best]), "probabilities": by_name}
