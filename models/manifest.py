"""The types of ``manifest.json`` and ``weights.json``, and the check of a network against the golden rows."""

import unicodedata
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, model_validator

# Relative and absolute. Engines and processors differ by about 5e-7 in float32 arithmetic of this size.
GOLDEN_TOLERANCE = 1e-5

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$")]
Vector = tuple[FiniteFloat, ...]


# Invisible characters that are no part of a name at its ends: zero-width spaces and joiners, marks of direction.
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"


def normalize_name(text: str) -> str:
    """The name of a feature, column or label as training reads it from a table, and as scoring looks for it.

    Spaces of all kinds become one ordinary space, and none is left at the ends. Characters are composed (Unicode's
    NFC). Zero-width joiners within words remain: Persian, Hindi and emoji need them.
    """
    return unicodedata.normalize("NFC", " ".join(text.split()).strip(_INVISIBLE + " "))


class _FrozenModel(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Feature(_FrozenModel):
    """One input of the network, in raw units. A value outside ``minimum`` to ``maximum`` is invalid.

    ``how`` tells a person how to take the measurement.
    """

    name: Annotated[str, Field(min_length=1, max_length=200)]
    unit: str = ""
    minimum: FiniteFloat
    maximum: FiniteFloat
    how: str = ""

    @model_validator(mode="after")
    def _check_bounds(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError(f"feature {self.name}: minimum {self.minimum} is not below maximum {self.maximum}")
        return self


class Layer(_FrozenModel):
    """One layer of the network. Every engine exposes its output, ``units`` wide, under ``name``."""

    name: str
    units: Annotated[int, Field(ge=1)]
    activation: str


class Training(_FrozenModel):
    """Provenance of the weights. ``facts`` maps each source file to the SHA-256 of its content."""

    about: str
    created: str
    rows: Annotated[int, Field(ge=1)]
    seed: int
    facts: dict[str, str]
    libraries: dict[str, str]
    settings: dict[str, Any] = {}


class Reference(_FrozenModel):
    """Statistics of the training rows, for warnings and drift.

    ``features[name][i]`` is the quantile at ``probabilities[i]``, which run from 0 (the minimum) to 1 (the maximum).
    ``labels`` is the share of the training rows for which the network predicts each label. ``ranges[label][name]`` is
    the minimum and maximum of a feature among the training rows of a label. ``shares[name][i]`` is the share of the
    training rows that is at most ``features[name][i]``: more than ``probabilities[i]`` if many rows have that very
    value. Old bundles have no ``shares``.
    """

    probabilities: Vector
    features: dict[str, Vector]
    labels: dict[str, FiniteFloat]
    ranges: dict[str, dict[str, tuple[FiniteFloat, FiniteFloat]]]
    shares: dict[str, Vector] = {}


class GoldenRow(_FrozenModel):
    """One row in schema order and the expected output of every layer, by layer name."""

    features: Vector
    outputs: dict[str, Vector]


class FileEntry(_FrozenModel):
    """The size of a file in bytes and the SHA-256 of its content, in hex."""

    size: Annotated[int, Field(ge=0, le=2_000_000_000)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_FrozenModel):
    """Everything about a model except its weights. Features and labels are in the network's order."""

    format: Literal[1] = 1
    name: ModelName
    version: Annotated[int, Field(ge=1, le=2**53)] = 1  # the largest integer on which all JSON readers agree
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    training: Training
    metrics: dict[str, Any]
    reference: Reference
    golden: Annotated[tuple[GoldenRow, ...], Field(min_length=1)]
    background: tuple[Vector, ...]
    files: dict[FileName, FileEntry] = {}

    @property
    def feature_names(self) -> tuple[str, ...]:
        """In schema order."""
        return tuple(feature.name for feature in self.features)

    @property
    def golden_rows(self) -> NDArray[np.float32]:
        """The golden rows' inputs, [rows, features]."""
        return np.array([row.features for row in self.golden], np.float32)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        for field, names in (("feature", self.feature_names), ("label", self.labels)):
            if len(set(names)) != len(names):
                raise ValueError(f"two {field}s have the same name")
        if self.layers[-1].units != len(self.labels):
            raise ValueError("the last layer does not have one unit per label")
        if any(len(row) != len(self.features) for row in (*self.background, *(g.features for g in self.golden))):
            raise ValueError("a golden or background row does not have one value per feature")
        widths = {layer.name: layer.units for layer in self.layers}
        if any({name: len(out) for name, out in golden.outputs.items()} != widths for golden in self.golden):
            raise ValueError("the outputs of a golden row do not match the names and units of the layers")
        self._check_reference()
        return self

    def _check_reference(self) -> None:
        reference = self.reference
        by_feature = [set(reference.features), set(reference.shares or reference.features)]
        by_feature += [set(ranges) for ranges in reference.ranges.values()]
        if any(names != set(self.feature_names) for names in by_feature):
            raise ValueError("the reference statistics do not cover exactly the features")
        if not set(reference.labels) == set(reference.ranges) == set(self.labels):
            raise ValueError("the reference statistics do not cover exactly the labels")
        rows = (*reference.features.values(), *reference.shares.values())
        if any(len(row) != len(reference.probabilities) for row in rows):
            raise ValueError("a feature does not have one reference quantile per probability")


class GoldenMismatch(NamedTuple):
    """The index of a golden row and the name of a layer whose output differs from the manifest."""

    row: int
    layer: str


def find_golden_mismatch(
    manifest: Manifest, outputs: Mapping[str, ArrayLike], *, rows: int | None = None
) -> GoldenMismatch | None:
    """Compare a network's outputs with the golden rows, within `GOLDEN_TOLERANCE`; None if all agree.

    ``outputs`` maps each layer's name to an array [rows, units]. If ``rows`` is given, the network's input was the
    golden rows repeated up to that number. An array of another shape counts as a mismatch in row 0.
    """
    for layer in manifest.layers:
        actual = np.asarray(outputs[layer.name])
        golden = np.array([row.outputs[layer.name] for row in manifest.golden])
        expected = np.resize(golden, (rows or len(golden), layer.units))
        if actual.shape != expected.shape:
            return GoldenMismatch(0, layer.name)
        agrees = np.isclose(actual, expected, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE).all(axis=1)
        if not agrees.all():
            return GoldenMismatch(int(agrees.argmin()) % len(golden), layer.name)
    return None


class NormalizationWeights(_FrozenModel):
    """``(input - mean) / standard_deviation``; one value of each for every input."""

    mean: Vector
    standard_deviation: Vector


class DenseWeights(_FrozenModel):
    """``activation(weights @ input + bias)``; ``weights`` has a row for each unit and a column for each input."""

    weights: tuple[Vector, ...]
    bias: Vector


class Weights(_FrozenModel):
    """The parameters of each layer, by layer name, for explanations."""

    layers: dict[str, NormalizationWeights | DenseWeights]
