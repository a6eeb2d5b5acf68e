"""One loaded bundle: its schema, its engine, and what it predicts."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from models.bundle import Bundle
from service.arrays import Array, Indices, Prediction
from service.http.errors import NotExplainableError
from service.inference import engine, layers
from service.inference.engine_protocol import Engine
from service.inference.golden import require_golden_outputs
from service.inference.heads import HeadColumns, assign_columns, predict_labels, row_classifier
from service.inference.layers import NetworkLayer
from service.inference.ranges import make_ranges
from service.inference.weight_check import find_weight_mismatch

_T = TypeVar("_T")
_TOLERATED_SHARE = 0.01  # of rows for which an adopted network may differ from its weights


class Model:
    """A network that passed its golden-row check. It is pure: predicting changes nothing but what it returns."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.features = bundle.manifest.features
        self.heads = assign_columns(bundle.manifest)
        self.labels = bundle.manifest.class_labels
        self.column_names = bundle.manifest.column_names
        self.name = bundle.manifest.name
        self.version = bundle.manifest.version
        self.identity = {"name": bundle.manifest.name, "version": str(bundle.manifest.version)}
        self.fingerprint = sha256(bundle.manifest.model_dump_json().encode()).hexdigest()
        self.ranges = make_ranges(bundle.manifest)
        self.output_layer = bundle.manifest.layers[-1].name
        self.raw_layers = list(dict.fromkeys(each.head.layer for each in self.heads if not each.raw_columns))
        served = {head.layer for head in bundle.manifest.heads}
        self.hidden_layers = [layer.name for layer in bundle.manifest.layers[:-1] if layer.name not in served]
        self.has_bounds = all(feature.has_bounds for feature in self.features)
        self.derived: dict[object, Any] = {}  # for `PerModel`
        self._classify_row = row_classifier(bundle.manifest.heads[0]) if self.labels else lambda _: 0
        self._engine = engine

    @classmethod
    def open(cls, folder: Path, engine_name: str, name: str = "") -> "Model":
        """Load and check the bundle in a folder; ``name`` replaces the one in its manifest.

        Raises:
            BundleError: a file does not match its manifest, or a golden row gets another output.
            StartupError: the engine is not available.
        """
        verified = Bundle.read(folder)
        loaded = engine.load(engine_name, verified)
        require_golden_outputs(verified, loaded)
        return cls(verified.with_name(name) if name else verified, loaded)

    @cached_property
    def layer_weights(self) -> tuple[NetworkLayer, ...]:
        """The weights of each layer, input to output, read when an explanation first needs them.

        Raises:
            NotExplainableError: the bundle's weights are missing or do not match the network.
        """
        network = layers.read(self.bundle)
        if not self.bundle.is_trained and (  # the sandbox has refused one that was trained
            layer := find_weight_mismatch(self.manifest, network, self._engine, tolerated_share=_TOLERATED_SHARE)
        ):
            raise NotExplainableError(
                f"the output of layer {layer} is not what its weights give for other rows: {self.bundle.remedy}"
            )
        return network

    def predict(self, rows: Array, layers: Sequence[str] = ()) -> Prediction:
        """Run the network once on ``rows`` [rows, features]; also give the outputs of the other ``layers`` named.

        Raises:
            ArithmeticError: the network overflowed, so that no number of its output means anything.
        """
        if len(rows) == 1 and not layers:
            return self._predict_row(rows, self._engine.run_row(rows, self.output_layer), {})
        by_layer = self._engine.run(rows, (self.output_layer, *layers))
        for each in by_layer.values():
            _require_finite(each)
        outputs = by_layer[self.output_layer]
        if len(rows) == 1:
            return self._predict_row(rows, outputs, by_layer)
        labels = self.predict_labels(outputs)
        return Prediction(rows, outputs, labels, self.ranges.outside(rows, labels), by_layer)

    def _predict_row(self, rows: Array, outputs: Array, by_layer: Mapping[str, Array]) -> Prediction:
        """The prediction of one row; Python's own functions take a few us less than NumPy's."""
        values = outputs.tolist()[0]
        if not isfinite(sum(values)):
            raise ArithmeticError("the network's output is not finite")
        label = self._classify_row(values)
        return Prediction(rows, outputs, (label,), self.ranges.outside_in_row(rows, label), by_layer)

    def predict_labels(self, outputs: Array) -> Indices:
        """The index of each row's predicted label, [rows]; 0 if the model is no single classification."""
        if self.labels:
            return predict_labels(self.manifest.heads[0], outputs)
        return np.zeros(len(outputs), np.intp)

    def outputs(self, rows: Array) -> Array:
        """The network's output alone, [rows, columns] in the order of ``column_names``.

        Raises:
            ArithmeticError: as `predict`.
        """
        outputs = self.run(rows)
        _require_finite(outputs)
        return outputs

    def run(self, rows: Array) -> Array:
        """As `outputs`, but rows for which the network overflowed are among them."""
        return self._engine.run(rows, (self.output_layer,))[self.output_layer]

    def raw_output(self, head: HeadColumns, prediction: Prediction) -> Array:
        """A head's output [rows, units] as the model itself gives it; the prediction must have the ``raw_layers``."""
        if head.raw_columns:
            return prediction.outputs[:, head.raw_columns]
        return prediction.layers[head.head.layer]

    def layer_outputs(self, rows: Array) -> dict[str, Array]:
        """Every layer's output, [rows, units] by name, input to output."""
        return self._engine.run(rows, [layer.name for layer in self.manifest.layers])

    def warnings(self, prediction: Prediction) -> list[list[str]]:
        """For each row a sentence for each of its values outside the training range (of the predicted label)."""
        sentences: list[list[str]] = [[] for _ in prediction.labels]
        for position in prediction.out_of_range:  # hardly ever any
            row, feature = divmod(int(position), len(self.features))
            value, label = float(prediction.rows[row, feature]), int(prediction.labels[row])
            sentences[row].append(self.ranges.describe(value, feature, label))
        return sentences


class PerModel(Generic[_T]):
    """What is made from each model when first needed, and is kept as long as the model."""

    def __init__(self, make: Callable[[Model], _T]) -> None:
        self._make = make

    def of(self, model: Model) -> _T:
        """What belongs to this model."""
        if self not in model.derived:
            model.derived[self] = self._make(model)
        made: _T = model.derived[self]
        return made


def _require_finite(outputs: Array) -> None:
    if not np.isfinite(outputs).all():
        raise ArithmeticError("the network's output is not finite")
