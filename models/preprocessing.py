"""The Keras model that takes raw values: preprocessing layers that do what the encoders do, then the network."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from models.bundle import NETWORK
from models.dataset import Floats
from models.encoding import Encoder, NumberEncoder
from models.feature import MISSING, Feature
from models.manifest import RawRow, number_repeated
from models.raw_values import find_unknown
from models.tensorflow_setup import keras, tf

PREPROCESSING = "preprocessing"  # the sub-model that makes the network's input of raw values
MISSING_TEXT = ""
MISSING_INTEGER = -(2**63)  # no category of a table is as far from 0


def build(features: Sequence[Feature], encoders: Sequence[Encoder], network: Any) -> Any:
    """Build a model of one input [n, 1] for each feature, by `input_names`, and the network's output [n, labels].

    Numbers are float32, and NaN if missing. Categories are strings or int64, truth values among the latter as 0 and 1;
    missing ones are `MISSING_TEXT` or `MISSING_INTEGER`. A value that is not in the vocabulary raises an error where
    "other" is not allowed.
    """
    names = input_names(features)
    inputs = [_create_input(feature, name) for feature, name in zip(features, names, strict=True)]
    columns = _build_preprocessing(features, encoders)(inputs)
    return keras.Model(dict(zip(names, inputs, strict=True)), network(columns))


def input_names(features: Sequence[Feature]) -> list[str]:
    """The names of the features; Keras allows no slash in them, and none of a name that another layer has."""
    return list(number_repeated([NETWORK, PREPROCESSING, *(each.name.replace("/", "_") for each in features)]))[2:]


def to_tensors(features: Sequence[Feature], rows: Sequence[RawRow]) -> dict[str, Any]:
    """The inputs of `build` for raw rows in schema order, in which None is a missing value."""
    columns = zip(*rows, strict=True)
    tensors = [_to_tensor(feature, column) for feature, column in zip(features, columns, strict=True)]
    return dict(zip(input_names(features), tensors, strict=True))


def compute_columns(whole: Any, tensors: dict[str, Any]) -> Floats:
    """The network's input [n, columns], as the preprocessing of a model of `build` gives it."""
    columns: Floats = whole.get_layer(PREPROCESSING)(list(tensors.values())).numpy()
    return columns


def _create_input(feature: Feature, name: str) -> Any:
    return keras.Input((1,), name=name, dtype=_find_type(feature))


def _find_type(feature: Feature) -> str:
    if not feature.is_category:
        return "float32"
    return "string" if feature.category_type is str else "int64"


def _to_tensor(feature: Feature, column: Sequence[Any]) -> Any:
    missing = {"float32": MISSING, "string": MISSING_TEXT, "int64": MISSING_INTEGER}[_find_type(feature)]
    return tf.constant([[missing if value is None else value] for value in column], _find_type(feature))


def _build_preprocessing(features: Sequence[Feature], encoders: Sequence[Encoder]) -> Any:
    inputs = [_create_input(feature, f"feature_{number}") for number, feature in enumerate(features, start=1)]
    sources = {feature.name: (feature, tensor) for feature, tensor in zip(features, inputs, strict=True)}
    columns = [part for encoder in encoders for part in _encode(encoder, *sources[encoder.feature])]
    joined = keras.layers.Concatenate()(columns) if len(columns) > 1 else columns[0]
    return keras.Model(inputs, joined, name=PREPROCESSING)


def _encode(encoder: Encoder, feature: Feature, values: Any) -> list[Any]:
    """The columns of an encoder, as one or two tensors."""
    if not feature.is_category:
        return _encode_number(encoder, feature, values)
    return [_look_up(encoder, feature, values)]


def _encode_number(encoder: Encoder, feature: Feature, values: Any) -> list[Any]:
    if not isinstance(encoder, NumberEncoder):
        raise TypeError(f"training makes no bins of numbers, but there are some of {feature.name}")
    if feature.is_required:
        return [values]
    is_missing = keras.ops.isnan(values)
    fill = feature.to_code(None) if feature.default is not None else encoder.fill
    filled = [keras.ops.where(is_missing, fill, values)]
    return [*filled, keras.ops.cast(is_missing, "float32")] if encoder.indicator else filled


def _look_up(encoder: Encoder, feature: Feature, values: Any) -> Any:
    """The row of a table for each category, in the order of Keras' lookups: missing, unknown, then the vocabulary."""
    may_be_missing = not feature.is_required
    is_text = feature.category_type is str
    codes = [feature.to_code(None)] if may_be_missing else []
    codes += [feature.other_code] if feature.allow_other else []
    codes += [float(code) for code in range(len(feature.categories))]
    table = encoder.encode(np.array(codes, np.float32), feature)
    lookup = keras.layers.StringLookup if is_text else keras.layers.IntegerLookup
    indices = lookup(
        vocabulary=list(feature.categories) if is_text else [int(category) for category in feature.categories],
        num_oov_indices=int(feature.allow_other),
        oov_token=find_unknown(feature),
        mask_token=(MISSING_TEXT if is_text else MISSING_INTEGER) if may_be_missing else None,
    )(values)
    vectors = keras.layers.Embedding(*table.shape, weights=[table], trainable=False)
    return keras.layers.Flatten()(vectors(indices))
