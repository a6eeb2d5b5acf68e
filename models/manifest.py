"""The types of ``manifest.json``."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import count as count_from
from typing import Annotated, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from models.encoding import Encoder, Vector, encode
from models.feature import LARGEST_NUMBER, Feature, FrozenModel, RawValue, to_codes
from models.reference_statistics import Reference
from models.signature import Head, Input, Layer, name_columns

ModelName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$")]
RawRow = tuple[RawValue, ...]
_FIELDS_OF_FORMAT_3 = {
    "features": {"__all__": {"kind", "categories", "hashing", "allow_other", "allow_missing", "default"}},
    "encoders": True,
    "reference": {"categories", "missing"},
}


class Training(FrozenModel):
    """Provenance of the weights. ``facts`` maps each source file to the SHA-256 of its content.

    ``rows`` is the number of rows that the reference statistics are computed from; 0 if there were none.
    """

    about: str
    created: str
    rows: Annotated[int, Field(ge=0)]
    seed: int
    facts: dict[str, str]
    libraries: dict[str, str]
    settings: dict[str, Any] = Field(default_factory=dict)


class GoldenRow(FrozenModel):
    """One row of raw values in schema order and the expected output of every layer, by layer name."""

    features: RawRow
    outputs: dict[str, Vector]


class FileEntry(FrozenModel):
    """The size of a file in bytes and the SHA-256 of its content, in hex."""

    size: Annotated[int, Field(ge=0, le=2_000_000_000)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(FrozenModel):
    """Everything about a model except its weights. Features, labels and outputs are in the network's order.

    Format 1 is a classification that `models.train` has trained: it has ``labels``. Format 2 is a model that
    `models.adopt` has imported: it has ``inputs`` and ``outputs`` instead. `heads` and `input_tensors` serve both.
    Format 3 is as format 2, from either of them, with features that are not all numbers, or may be missing; its
    ``encoders`` make the network's input from them. Without a sample, a model has neither ``reference`` nor
    ``background``.
    """

    format: Literal[1, 2, 3] = 1
    name: ModelName
    version: Annotated[int, Field(ge=1, le=2**53)] = 1  # the largest integer on which all JSON readers agree
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    labels: tuple[str, ...] = ()
    encoders: tuple[Annotated[Encoder, Field(discriminator="kind")], ...] = ()
    inputs: tuple[Input, ...] = ()
    outputs: tuple[Head, ...] = ()
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    training: Training
    metrics: dict[str, Any]
    reference: Reference | None = None
    golden: Annotated[tuple[GoldenRow, ...], Field(min_length=1)]
    background: tuple[RawRow, ...]
    files: dict[FileName, FileEntry] = Field(default_factory=dict)

    @property
    def heads(self) -> tuple[Head, ...]:
        """What the columns of the last layer mean; the heads' columns follow each other."""
        last = self.layers[-1].name
        return self.outputs or (Head(name=last, kind="classification", layer=last, labels=self.labels),)

    @property
    def input_tensors(self) -> tuple[Input, ...]:
        """The model's inputs; in format 1 there is one."""
        return self.inputs or (Input(name="features", width=len(self.features)),)

    @property
    def column_names(self) -> tuple[str, ...]:
        """A name for each column of the last layer."""
        return name_columns(self.heads)

    @property
    def class_labels(self) -> tuple[str, ...]:
        """The labels of a model that is a single classification; others have none."""
        heads = self.heads
        return heads[0].labels if len(heads) == 1 and heads[0].kind == "classification" else ()

    def require_reference(self) -> Reference:
        """The reference statistics.

        Raises:
            ValueError: the model was adopted without a sample.
        """
        if self.reference is None:
            raise ValueError(f"model {self.name} was adopted without a sample, so it has no reference statistics")
        return self.reference

    def to_json(self) -> str:
        """The content of ``manifest.json``; format 1 has no field that its first readers do not know."""
        later: Any = None
        if self.format == 1:
            later = _FIELDS_OF_FORMAT_3 | {
                "inputs": True,
                "outputs": True,
                "reference": {"targets", "categories", "missing"},
            }
        elif self.format == 2:  # noqa: PLR2004
            later = _FIELDS_OF_FORMAT_3
        return self.model_dump_json(indent=1, exclude=later) + "\n"

    @property
    def feature_names(self) -> tuple[str, ...]:
        """In schema order."""
        return tuple(feature.name for feature in self.features)

    @property
    def golden_rows(self) -> NDArray[np.float32]:
        """The codes of the golden rows, [rows, features]."""
        return to_codes(self.features, [row.features for row in self.golden])

    @property
    def background_rows(self) -> NDArray[np.float32]:
        """The codes of the background rows, [rows, features]."""
        return to_codes(self.features, self.background)

    @property
    def network_inputs(self) -> tuple[str, ...]:
        """A name of its own for each column of the network's input: the features', or those that the encoders give."""
        if not self.encoders:
            return self.feature_names
        features = {feature.name: feature for feature in self.features}
        names = [name for each in self.encoders for name in each.column_names(features[each.feature])]
        return tuple(number_repeated(names))

    def encode(self, codes: NDArray[np.float32]) -> NDArray[np.float32]:
        """The network's input [rows, columns] for rows of codes, [rows, features]."""
        return encode(self.encoders, self.features, codes)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        if self.format == 1 and (len(self.labels) < 2 or self.inputs or self.outputs or not self.reference):  # noqa: PLR2004
            raise ValueError(
                "format 1 has at least two labels and reference statistics, but neither inputs nor outputs"
            )
        if self.format > 1 and (self.labels or not self.inputs or not self.outputs):
            raise ValueError(f"format {self.format} has inputs and outputs, but no labels beside them")
        self._check_encoders()
        outputs = tuple(head.name for head in self.heads)
        for field, names in (
            ("feature", self.feature_names),
            ("output", outputs),
            ("label or output", self.column_names),
        ):
            if len(set(names)) != len(names):
                raise ValueError(f"two {field}s have the same name")
        self._check_widths()
        widths = {layer.name: layer.units for layer in self.layers}
        if any({name: len(out) for name, out in golden.outputs.items()} != widths for golden in self.golden):
            raise ValueError("the outputs of a golden row do not match the names and units of the layers")
        if self.reference:
            self.reference.check(self.features, self.heads, by_label=self.format == 1)
        return self

    def _check_widths(self) -> None:
        if self.layers[-1].units != len(self.column_names):
            raise ValueError("the last layer does not have one unit per label or target")
        layers = {layer.name for layer in self.layers}
        if any(head.layer not in layers for head in self.heads):
            raise ValueError("an output is not that of one of the layers")
        if sum(tensor.width for tensor in self.input_tensors) != len(self.features):
            raise ValueError("the inputs do not have one column per feature")
        rows = (*self.background, *(golden.features for golden in self.golden))
        if any(len(row) != len(self.features) for row in rows):
            raise ValueError("a golden or background row does not have one value per feature")
        numbers = [value for row in rows for value in row if isinstance(value, float)]
        if any(abs(value) > LARGEST_NUMBER for value in numbers):
            raise ValueError("a golden or background row has a number that a float32 cannot hold")
        try:
            to_codes(self.features, rows)
        except (TypeError, ValueError):
            raise ValueError("a golden or background row has a value that is not one of its feature's") from None

    def _check_encoders(self) -> None:
        if (self.format == 3) != bool(self.encoders):  # noqa: PLR2004
            raise ValueError("format 3 has encoders, and no other format has any")
        if not self.encoders and not all(feature.is_plain for feature in self.features):
            raise ValueError(f"format {self.format} has no features but numbers that are never missing")
        features = {feature.name: feature for feature in self.features}
        for encoder in self.encoders:
            if encoder.feature not in features:
                raise ValueError(f"an encoder reads {encoder.feature}, which is not a feature")
            encoder.check(features[encoder.feature])


def number_repeated(names: Sequence[str]) -> Iterator[str]:
    """Yield the names, with a number after each that was there before."""
    taken: set[str] = set()
    numbers = defaultdict[str, Iterator[int]](lambda: count_from(2))
    for name in names:
        own = name
        while own in taken:
            own = f"{name} ({next(numbers[name])})"
        taken.add(own)
        yield own
