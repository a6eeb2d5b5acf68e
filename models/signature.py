"""What goes into a network and what comes out of it: inputs, layers and heads."""

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from models.feature import FrozenModel


class Layer(FrozenModel):
    """One layer of the network. Every engine exposes its output, ``units`` wide, under ``name``."""

    name: str
    units: Annotated[int, Field(ge=1)]
    activation: str


class Input(FrozenModel):
    """One input of the model as its author built it; it takes the next ``width`` features in schema order."""

    name: Annotated[str, Field(min_length=1)]
    width: Annotated[int, Field(ge=1)]


class Target(FrozenModel):
    """One quantity that a regression predicts."""

    name: Annotated[str, Field(min_length=1)]
    unit: str = ""


class Head(FrozenModel):
    """One output of the model as its author built it, and what its numbers mean.

    A ``classification`` has one probability for each of ``labels``, a ``multi_label`` head an independent one for each;
    a ``regression`` has one value for each of ``targets``. They are consecutive columns of the last layer.

    ``layer`` is the layer with the output as the model itself gives it: another one than the last where the model
    gives logits, or only the probability of the second of two labels. If it is the last layer, the output is the
    head's columns. A label counts as predicted if its probability
    is greater than ``threshold``; of a classification with two labels that means the second. None: the most probable
    label, or 0.5 for ``multi_label``.
    """

    name: Annotated[str, Field(min_length=1)]
    kind: Literal["classification", "multi_label", "regression"]
    layer: str
    labels: tuple[str, ...] = ()
    targets: tuple[Target, ...] = ()
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = None

    @property
    def column_names(self) -> tuple[str, ...]:
        """The labels, or the names of the targets."""
        return self.labels or tuple(target.name for target in self.targets)

    @model_validator(mode="after")
    def _check_consistency(self) -> Self:
        least = {"classification": (2, 0), "multi_label": (1, 0), "regression": (0, 1)}[self.kind]
        counts = len(self.labels), len(self.targets)
        if any(count < minimum or (count and not minimum) for count, minimum in zip(counts, least, strict=True)):
            raise ValueError(f"output {self.name}: a {self.kind} does not have {counts[0]} labels, {counts[1]} targets")
        if len(set(self.column_names)) != len(self.column_names):
            raise ValueError(f"output {self.name}: two labels or targets have the same name")
        if self.threshold and (self.kind == "regression" or (self.kind == "classification" and len(self.labels) > 2)):  # noqa: PLR2004 (a binary one)
            raise ValueError(f"output {self.name}: only two labels, or independent ones, can have a threshold")
        return self


def name_columns(heads: Sequence[Head]) -> tuple[str, ...]:
    """A name for each column of the heads: its label or target, after the output's name if there are several.

    An output whose only target has its own name is not named twice.
    """
    if len(heads) == 1:
        return heads[0].column_names
    return tuple(
        head.name if head.column_names == (head.name,) else f"{head.name}.{column}"
        for head in heads
        for column in head.column_names
    )
