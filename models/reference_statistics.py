"""The type of a manifest's reference statistics."""

from collections.abc import Sequence

from pydantic import Field, FiniteFloat

from models.encoding import Vector
from models.feature import Feature, FrozenModel
from models.signature import Head, name_columns

ALL_ROWS = ""  # the key of ranges and categories that hold whatever the label


class Reference(FrozenModel):
    """Statistics of the training rows, for warnings and drift.

    ``features[name][i]`` is the quantile at ``probabilities[i]``, which run from 0 (the minimum) to 1 (the maximum).
    ``labels`` is the share of the training rows for which the network predicts each label. ``ranges[label][name]`` is
    the minimum and maximum of a feature among the training rows of a label. ``shares[name][i]`` is the share of the
    training rows that is at most ``features[name][i]``: more than ``probabilities[i]`` if many rows have that very
    value. Old bundles have no ``shares``.

    In format 2 the keys of ``labels`` are output columns (`models.signature.name_columns`), those of classifications
    and of `multi_label` heads; those of ``targets``, with quantiles as ``features`` has them, are the others. The only
    key of ``ranges`` is `ALL_ROWS`, unless the model is a single classification whose sample has labels.

    In format 3 all of these are of numbers and integers only, where they are not missing; ``missing`` is the share of
    the training rows in which they are. ``categories[label][name]`` is the share of each code of a category among the
    training rows of a label, or of all rows for the key `ALL_ROWS`, which is always there. The last share is that of
    missing values if these are allowed.
    """

    probabilities: Vector
    features: dict[str, Vector]
    labels: dict[str, FiniteFloat]
    ranges: dict[str, dict[str, tuple[FiniteFloat, FiniteFloat]]]
    shares: dict[str, Vector] = Field(default_factory=dict)
    targets: dict[str, Vector] = Field(default_factory=dict)
    categories: dict[str, dict[str, Vector]] = Field(default_factory=dict)
    missing: dict[str, FiniteFloat] = Field(default_factory=dict)

    def check(self, features: Sequence[Feature], heads: Sequence[Head], *, by_label: bool) -> None:
        """Check that they are of exactly these features and heads; with ``by_label``, ranges are those of each label.

        Raises:
            ValueError: they are not.
        """
        labels = heads[0].labels if len(heads) == 1 and heads[0].kind == "classification" else ()
        self._check_names(features, heads)
        self._check_categories(features, labels)
        if set(self.ranges) not in ([set(labels)] if by_label else [set(labels), {ALL_ROWS}]):
            raise ValueError("the reference statistics do not have exactly the ranges of the labels")
        rows = (*self.features.values(), *self.shares.values(), *self.targets.values())
        if any(len(row) != len(self.probabilities) for row in rows):
            raise ValueError("a feature or target does not have one reference quantile per probability")

    def _check_names(self, features: Sequence[Feature], heads: Sequence[Head]) -> None:
        by_feature = [set(self.features), set(self.shares or self.features), *map(set, self.ranges.values())]
        if any(names != {each.name for each in features if not each.is_category} for names in by_feature):
            raise ValueError("the reference statistics do not cover exactly the features")
        columns = name_columns(heads)
        kinds = [head.kind for head in heads for _ in head.column_names]
        targets = {name for name, kind in zip(columns, kinds, strict=True) if kind == "regression"}
        if set(self.labels) != set(columns) - targets or set(self.targets) != targets:
            raise ValueError("the reference statistics do not cover exactly the labels and targets")

    def _check_categories(self, features: Sequence[Feature], labels: Sequence[str]) -> None:
        """Check the shares of categories, and of missing numbers."""
        counts = {each.name: each.code_count + each.allow_missing for each in features if each.is_category}
        given = self.categories
        if any({name: len(shares) for name, shares in each.items()} != counts for each in given.values()):
            raise ValueError("the reference statistics do not have one share for each category")
        if counts and (ALL_ROWS not in given or not set(given) <= {ALL_ROWS, *labels}):
            raise ValueError("the reference statistics do not have the categories' shares of all rows and of labels")
        may_miss = {each.name for each in features if each.allow_missing and not each.is_category}
        if set(self.missing) != may_miss:
            raise ValueError("the reference statistics do not have the share of missing values where they are allowed")
