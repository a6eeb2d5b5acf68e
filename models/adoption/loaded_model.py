"""A user's model as it was read from its file: its inputs, its outputs, and how to run it."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.adoption.errors import AdoptionError, summarize
from models.feature import Feature
from models.signature import Input
from models.tensorflow_setup import tf

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]


class InputTensor(NamedTuple):
    """What the model takes for one row under a name: ``shape`` is without the batch, ``dtype`` is TensorFlow's name."""

    name: str
    shape: tuple[int, ...]
    dtype: str

    @property
    def width(self) -> int:
        """The number of columns."""
        return math.prod(self.shape)


class LoadedOutput(NamedTuple):
    """One output of the model, ``width`` numbers per row.

    ``activation`` is Keras' name of the function that gives them; None if it cannot be told.
    """

    name: str
    width: int
    activation: str | None


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A user's model.

    ``run`` maps the model's own input tensors, in order, to its outputs, in order. ``network`` is the Keras model; None
    for a SavedModel, which is a graph without layers. ``resource`` is what holds the weights. ``warnings`` are
    sentences about the model. ``cut`` is there for a model that looks categories up.

    A cut model's rows are the codes of its ``features``: where a column has ``values``, the number in a row is the
    index of one of them, and NaN is the last one.
    """

    description: str
    tensors: tuple[InputTensor, ...]
    outputs: tuple[LoadedOutput, ...]
    run: Callable[[Sequence[Any]], Sequence[Any]]
    resource: Any
    network: Any = None
    custom_objects: dict[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    cut: Any = None
    features: tuple[Feature, ...] = ()
    values: tuple[NDArray[Any] | None, ...] = ()

    @property
    def inputs(self) -> tuple[Input, ...]:
        """The inputs in the model's own order."""
        return tuple(Input(name=tensor.name, width=tensor.width) for tensor in self.tensors)

    @property
    def column_dtypes(self) -> list[str]:
        """TensorFlow's type of each column."""
        return [tensor.dtype for tensor in self.tensors for _ in range(tensor.width)]

    @property
    def feature_count(self) -> int:
        """The number of columns of all inputs."""
        return sum(tensor.width for tensor in self.tensors)

    def split(self, rows: Any) -> list[Any]:
        """The model's own input tensors from ``rows`` [n, features]: the inputs' columns one after the other."""
        if any(values is not None for values in self.values):
            return join_columns(self.tensors, [*map(_look_up, self.values, np.asarray(rows).T)])
        parts, start = [], 0
        for tensor in self.tensors:
            part = rows[:, start : start + tensor.width]
            start += tensor.width
            parts.append(tf.cast(tf.reshape(part, (-1, *tensor.shape)), tensor.dtype))
        return parts

    def predict(self, rows: Floats) -> dict[str, Doubles]:
        """Run the model itself on ``rows`` [n, features], n > 0; each output is [n, width], by name.

        Raises:
            AdoptionError: the model fails on these rows.
        """
        return self.predict_tensors(lambda: self.split(tf.constant(rows, tf.float32)), len(rows))

    def predict_raw(self, columns: Sequence[NDArray[Any]]) -> dict[str, Doubles]:
        """Run the model itself on the raw values of its columns, each [n]; as `predict`."""
        return self.predict_tensors(lambda: join_columns(self.tensors, columns), len(columns[0]))

    def predict_tensors(self, make: Callable[[], Sequence[Any]], count: int) -> dict[str, Doubles]:
        """Run the model on its own input tensors; as `predict`."""
        try:
            results = self.run(make())
        except Exception as error:  # noqa: BLE001 (TensorFlow and a user's class raise nearly anything)
            raise AdoptionError(
                f"the model fails on {count} rows ({summarize(error)}): check the columns' order and that their "
                "values are those that it was trained on"
            ) from None
        return {
            output.name: tf.cast(result, tf.float64).numpy().reshape(count, output.width)
            for output, result in zip(self.outputs, results, strict=True)
        }


def join_columns(tensors: Sequence[InputTensor], columns: Sequence[NDArray[Any]]) -> list[Any]:
    """A model's own input tensors from the raw values of its columns, each [n]."""
    parts, start = [], 0
    for tensor in tensors:
        block = np.stack(columns[start : start + tensor.width], axis=1)
        start += tensor.width
        if tensor.dtype != "string":
            block = block.astype(np.float64 if block.dtype == object else block.dtype)
        parts.append(tf.reshape(tf.cast(tf.constant(block), tensor.dtype), (-1, *tensor.shape)))
    return parts


def _look_up(values: NDArray[Any] | None, codes: Floats) -> NDArray[Any]:
    if values is None:
        return codes
    found: NDArray[Any] = values[np.where(np.isnan(codes), len(values) - 1, codes).astype(np.intp)]
    return found
