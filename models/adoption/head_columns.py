"""From what a model gives to the columns that are served: the heads' probabilities and values side by side."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from models.adoption.errors import AdoptionError
from models.adoption.loaded_model import Doubles, LoadedModel, LoadedOutput
from models.signature import Head
from models.tensorflow_setup import keras

Conversion = Literal["none", "softmax", "sigmoid", "binary", "binary_logit"]


class HeadColumns(NamedTuple):
    """A head, the model's output that it describes, and how its columns are computed from it."""

    head: Head
    output: LoadedOutput
    conversion: Conversion


def match_heads(loaded: LoadedModel, heads: Sequence[Head], *, from_logits: bool) -> tuple[HeadColumns, ...]:
    """Find each head's output and conversion. A classification of a ``linear`` output has logits.

    With ``from_logits``, so has one of an output whose activation is not known.

    Raises:
        AdoptionError: the heads are not one for each output, in order, or one does not fit its output.
    """
    if [head.name for head in heads] != [output.name for output in loaded.outputs]:
        given, own = (", ".join(part.name for part in parts) for parts in (heads, loaded.outputs))
        raise AdoptionError(f"the model has the outputs {own}, but there are heads for {given}: name one for each")
    return tuple(
        HeadColumns(head, output, _choose(head, output, from_logits=from_logits))
        for head, output in zip(heads, loaded.outputs, strict=True)
    )


def _choose(head: Head, output: LoadedOutput, *, from_logits: bool) -> Conversion:
    columns = len(head.column_names)
    is_binary = head.kind == "classification" and columns == 2 and output.width == 1  # noqa: PLR2004 (two labels)
    if columns != output.width and not is_binary:
        what = "targets" if head.kind == "regression" else "labels"
        raise AdoptionError(
            f"output {output.name} has {output.width} units, but {columns} {what} are given: give one for each unit"
            + (", or two for a single unit that is a probability" if output.width == 1 else "")
        )
    if head.kind == "regression":
        return "none"
    has_logits = output.activation == "linear" or (from_logits and output.activation is None)
    if is_binary:
        return "binary_logit" if has_logits else "binary"
    if not has_logits:
        return "none"
    return "softmax" if head.kind == "classification" else "sigmoid"


def convert_symbolic(conversion: Conversion, values: Any) -> Any:
    """The columns of a head as part of a network."""
    if conversion == "none":
        return values
    if conversion in ("softmax", "sigmoid"):
        return keras.layers.Activation(conversion)(values)
    if conversion == "binary_logit":
        values = keras.layers.Activation("sigmoid")(values)
    return keras.layers.Concatenate()([1.0 - values, values])


def convert(conversion: Conversion, values: Doubles) -> Doubles:
    """The columns [n, columns] of a head from the model's output [n, width], in float64."""
    if conversion == "softmax":
        powers = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))
    if conversion in ("sigmoid", "binary_logit"):
        values = 0.5 * (1 + np.tanh(0.5 * values))
    return values if conversion in ("none", "softmax", "sigmoid") else np.concatenate([1 - values, values], axis=1)
