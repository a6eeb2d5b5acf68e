"""One loaded bundle: its schema, its engine, and what it predicts."""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from models.bundle import Bundle
from service.arrays import Array, Prediction
from service.http.errors import NoModelError
from service.inference import engine, layers
from service.inference.engine import Engine
from service.inference.golden import require_golden_outputs
from service.inference.layers import NetworkLayer
from service.inference.ranges import Ranges
from service.significant_digits import format_distinct

_T = TypeVar("_T")


class Model:
    """A network that passed its golden-row check. It is pure: predicting changes nothing but what it returns."""

    def __init__(self, bundle: Bundle, engine: Engine) -> None:
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.features = bundle.manifest.features
        self.labels = bundle.manifest.labels
        self.version = bundle.manifest.version
        self.identity = {"name": bundle.manifest.name, "version": str(bundle.manifest.version)}
        self.fingerprint = sha256(bundle.manifest.model_dump_json().encode()).hexdigest()
        self.ranges = Ranges(bundle.manifest)
        self.hidden_layers = [layer.name for layer in bundle.manifest.layers[:-1]]
        self.derived: dict[object, Any] = {}  # for `PerModel`
        self._output = bundle.manifest.layers[-1].name
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
        return layers.read(self.bundle)

    def require_path(self, parameters: Mapping[str, str]) -> None:
        """Refuse a path whose ``model`` or ``version`` is not this model.

        Raises:
            NoModelError: the message names what is served.
        """
        name, version = self.identity["name"], self.identity["version"]
        if parameters.get("model", name) != name:
            raise NoModelError(f"model not found: this service serves {name}")
        if parameters.get("version", version) != version:
            raise NoModelError(f"version not found: this service serves version {version} of {name}")

    def predict(self, rows: Array, layers: Sequence[str] = ()) -> Prediction:
        """Run the network once on ``rows`` [rows, features]; also give the outputs of the hidden ``layers`` named.

        Raises:
            ArithmeticError: the network overflowed, so that no number of its output means anything.
        """
        if len(rows) == 1 and not layers:
            return self._predict_row(rows, self._engine.run_row(rows, self._output), {})
        outputs = self._engine.run(rows, (self._output, *layers))
        probabilities = outputs[self._output]
        if len(rows) == 1:
            return self._predict_row(rows, probabilities, outputs)
        _require_finite(probabilities)
        labels = probabilities.argmax(axis=1)
        return Prediction(rows, probabilities, labels, self.ranges.outside(rows, labels), outputs)

    def _predict_row(self, rows: Array, probabilities: Array, outputs: Mapping[str, Array]) -> Prediction:
        """The prediction of one row; Python's own functions take a few us less than NumPy's."""
        values = probabilities.tolist()[0]
        if not isfinite(sum(values)):
            raise ArithmeticError("the network's output is not finite")
        label = values.index(max(values))
        return Prediction(rows, probabilities, (label,), self.ranges.outside_in_row(rows, label), outputs)

    def probabilities(self, rows: Array) -> Array:
        """The labels' probabilities alone, [rows, labels] in the order of ``labels``.

        Raises:
            ArithmeticError: as `predict`.
        """
        probabilities = self._engine.run(rows, (self._output,))[self._output]
        _require_finite(probabilities)
        return probabilities

    def layer_outputs(self, rows: Array) -> dict[str, Array]:
        """Every layer's output, [rows, units] by name, input to output."""
        return self._engine.run(rows, [*self.hidden_layers, self._output])

    def warnings(self, prediction: Prediction) -> list[list[str]]:
        """For each row a sentence for each of its values outside the training range of the predicted label."""
        sentences: list[list[str]] = [[] for _ in prediction.labels]
        for position in prediction.out_of_range:  # hardly ever any
            row, feature = divmod(int(position), len(self.features))
            value, label = float(prediction.rows[row, feature]), int(prediction.labels[row])
            sentences[row].append(self.warning(value, feature, label))
        return sentences

    def warning(self, value: float, feature_index: int, label_index: int) -> str:
        """The sentence for a value of a feature outside the training range of a label."""
        feature = self.features[feature_index]
        lower, upper = self.ranges.lower[label_index][feature_index], self.ranges.upper[label_index][feature_index]
        unit = f" {feature.unit}".rstrip()
        shown, lowest, highest = format_distinct((value, lower, upper))
        return (
            f"{feature.name} is {shown}{unit}, outside the training range of {self.labels[label_index]}, "
            f"{lowest} to {highest}{unit}: the prediction may be unreliable"
        )


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


def _require_finite(probabilities: Array) -> None:
    if not np.isfinite(probabilities).all():
        raise ArithmeticError("the network's output is not finite")
