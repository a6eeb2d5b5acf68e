"""The dataset that a user's table becomes, and whether it can be split for training and evaluation."""

from dataclasses import dataclass

import numpy as np

from models.dataset import Integers, Sample
from models.encoder_fitting import MAX_ONE_HOT, count_entries
from models.errors import DataError
from models.feature import Feature
from models.tables.findings import list_some

MAX_RANGES = 50_000  # of a label and a feature; each has at most 270 bytes in the manifest
MAX_SHARES = 500_000  # of a label and a category; each has at most 25 bytes
MAX_VECTOR_NUMBERS = 500_000  # of a category and a unit; each has at most 27 bytes
_MIN_FOLDS = 2


@dataclass(frozen=True)
class Table:
    """The rows of a table as ``individuals``, in file order; without groups, each row is a group."""

    description: str
    features: tuple[Feature, ...]
    labels: tuple[str, ...]
    groups: tuple[str, ...]
    group_labels: Integers
    individuals: Sample
    source_hashes: dict[str, str]

    @property
    def is_sampled(self) -> bool:
        return False

    @property
    def label_weights(self) -> tuple[float, ...]:
        return (1.0,) * len(self.labels)

    @property
    def is_grouped(self) -> bool:
        return len(self.groups) < len(self.individuals.rows)

    def sample(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:  # noqa: ARG002 (nothing is drawn)
        """All individuals of the groups."""
        return self._take(self._find_members(groups))

    def sample_augmented(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """All individuals of the groups: measured ones are not augmented."""
        return self.sample(groups, count, rng)

    def sample_stressed(self, groups: Integers, count: int, rng: np.random.Generator) -> None:
        """None: a measurement is not derived from other facts."""

    def split_extremes(self) -> None:
        """None: what is extreme in size or proportions is not known of a user's features."""

    def _find_members(self, groups: Integers) -> Integers:
        return np.flatnonzero(np.isin(self.individuals.groups, groups))

    def _take(self, indices: Integers) -> Sample:
        everyone = self.individuals
        return Sample(everyone.rows[indices], everyone.labels[indices], everyone.groups[indices])


def find_group_labels(groups: Integers, labels: Integers, label_count: int) -> Integers:
    """The most frequent label of each group, from the group and the label of each row."""
    pairs, sizes = np.unique(groups * label_count + labels, return_counts=True)
    order = np.lexsort((-sizes, pairs // label_count))  # by group; in a group, the most frequent label first
    _, first = np.unique((pairs // label_count)[order], return_index=True)
    found: Integers = (pairs % label_count)[order][first]
    return found


def check_groups(table: Table, folds: int, group: str | None) -> None:
    """Check that every label has enough groups, or rows without ``--group``, for a holdout split in every fold.

    Raises:
        DataError: a label has too few.
    """
    needed = 2 * max(folds, 2)
    counts = np.bincount(table.group_labels, minlength=len(table.labels)).tolist()
    scarce = {name: number for name, number in zip(table.labels, counts, strict=True) if number < needed}
    if not scarce:
        return
    noun = "groups" if group else "rows"
    which = list_some([f"{name!r} has {number}" for name, number in scarce.items()])
    remedies = [f"add {noun}"]
    if folds and (possible := min(scarce.values()) // 2) >= _MIN_FOLDS:
        remedies.append(f"lower --folds to {possible}")
    if group:
        remedies.append("leave out --group")
    purpose = f"--folds {folds} needs" if folds else "training needs"
    which_groups = f"groups of {group!r} in which it is the most frequent" if group else "rows"
    raise DataError(f"for each label, {purpose} at least {needed} {which_groups}, but {which}: {' or '.join(remedies)}")


def check_size(table: Table, units: int) -> None:
    """Check that a manifest can hold each feature's range, or its categories' shares, among the rows of each label.

    It must also hold a vector of as many numbers as the first hidden layer has ``units`` for each embedded category.

    Raises:
        DataError: there are too many labels and features, categories, or units.
    """
    labels, features = len(table.labels), len(table.features)
    categories = sum(feature.code_count for feature in table.features if feature.is_category)
    if labels * features > MAX_RANGES:
        raise DataError(
            f"the table has {labels} labels and {features} features, but their product may be {MAX_RANGES:,} at most: "
            "leave out features, or join labels"
        )
    if labels * categories > MAX_SHARES:
        raise DataError(
            f"the table has {labels} labels and {categories:,} categories, but their product may be {MAX_SHARES:,} at "
            "most: leave out features, join labels, or join rare categories with other = true in a schema"
        )
    sizes = [count_entries(feature) for feature in table.features if feature.is_category]
    embedded = sum(size for size in sizes if size > MAX_ONE_HOT)
    if embedded * units > MAX_VECTOR_NUMBERS:
        raise DataError(
            f"the features with more than {MAX_ONE_HOT} categories have {embedded:,} categories, and the first hidden "
            f"layer has {units} units, but their product may be {MAX_VECTOR_NUMBERS:,} at most: lower --hidden, or "
            "join rare categories with other = true in a schema"
        )
