"""Which label each unit of a classification stands for, from the sample's label column."""

import shlex
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from models.adoption.errors import AdoptionError
from models.adoption.options import join_names
from models.adoption.sample import LabelColumn
from models.dataset import Doubles, Integers
from models.tables.findings import count, list_some
from models.tables.labels import sort_labels

LEAST_PROBABILITY = 0.01  # a lower one counts as this, so that a few confident errors do not outweigh all other rows
MIN_DEVIATIONS = 3.0  # standard errors by which an order must be more likely than with any two labels exchanged


MUCH_BETTER = 0.2  # a difference in accuracy that does not come about by chance


class LabelOrder(NamedTuple):
    """The labels in the order of the units; ``indices`` [rows] are those of the sample's labels, if it has any."""

    labels: tuple[str, ...]
    indices: Integers | None


def order_labels(
    column: LabelColumn,
    width: int,
    given: Sequence[str],
    probabilities: Doubles,
    note: Callable[[str], None],
) -> LabelOrder:
    """Find the order of ``width`` labels: as ``given``, whole numbers from 0 by value, or else sorted.

    Sorted is how scikit-learn's `LabelEncoder` and pandas number labels. That is a guess, so it must be clearly more
    likely than any other order, given the ``probabilities`` [rows, width] that the model predicts for the sample.

    Raises:
        AdoptionError: the labels do not fit the model, or their order cannot be told.
    """
    if given:
        return LabelOrder(tuple(given), _index_by_name(column, given))
    if column.has_whole_numbers and column.numbers is not None and _is_within(column.numbers, width):
        return LabelOrder(tuple(map(str, range(width))), column.numbers.astype(np.intp))
    if len(column.texts) != width:
        raise AdoptionError(
            f"column {column.name!r} has {count(len(column.texts), 'label')} ({_list(column.texts)}), but the model "
            f"tells {width} apart: choose another --label, or name all in the order of the model's units with --labels"
        )
    labels = sort_labels(column.texts)
    indices = _index_by_name(column, labels)
    accuracy = _require_likely(column, labels, indices, probabilities)
    note(f"labels in sorted order, with which {accuracy:.0%} of the sample's predictions are right: {_list(labels)}")
    return LabelOrder(labels, indices)


def _is_within(numbers: Doubles, width: int) -> bool:
    return bool(((numbers >= 0) & (numbers < width)).all())


def _index_by_name(column: LabelColumn, labels: Sequence[str]) -> Integers:
    """The index of each row's label; numbers that are no labels stand for their position."""
    positions = {label: index for index, label in enumerate(labels)}
    if unknown := [text for text in column.texts if text not in positions]:
        if column.has_whole_numbers and column.numbers is not None and _is_within(column.numbers, len(labels)):
            return column.numbers.astype(np.intp)
        raise AdoptionError(
            f"column {column.name!r} has labels that --labels does not name ({_list(unknown)}): name all of the "
            "model's labels, in the order of its units"
        )
    return np.array([positions[text] for text in column.texts], np.intp)[column.codes]


def _require_likely(column: LabelColumn, labels: Sequence[str], indices: Integers, probabilities: Doubles) -> float:
    """Refuse the order if another one explains the sample better, or nearly as well; return the accuracy."""
    width = len(labels)
    logs = np.log(np.maximum(probabilities, LEAST_PROBABILITY))
    likelihood, gain, gain_squared = np.zeros((3, width, width))  # by label (row) and unit (column)
    for label in range(width):
        own = logs[indices == label]
        gains = own[:, [label]] - own  # of each row's own unit over the others
        likelihood[label], gain[label], gain_squared[label] = own.sum(0), gains.sum(0), np.square(gains).sum(0)
    best = linear_sum_assignment(likelihood, maximize=True)[1]
    deviations = (gain + gain.T) / np.sqrt(np.maximum(gain_squared + gain_squared.T, 1e-12))
    np.fill_diagonal(deviations, np.inf)
    predicted = probabilities.argmax(axis=1)
    accuracy = float((predicted == indices).mean())
    if deviations.min() >= MIN_DEVIATIONS and (best == np.arange(width)).all():
        return accuracy
    by_unit = np.empty(width, int)
    by_unit[best] = np.arange(width)
    message = f"the order of the labels in {column.name!r} cannot be told: "
    better = float((by_unit[predicted] == indices).mean())
    if better >= accuracy + MUCH_BETTER:
        suggestion = shlex.quote(join_names([labels[index] for index in by_unit]))
        message += f"sorted, {accuracy:.0%} of the predictions are right, but {better:.0%} with --labels {suggestion}"
    else:
        message += f"sorted ({_list(labels)}), {accuracy:.0%} of the predictions are right, hardly more than otherwise"
    raise AdoptionError(f"{message}: name them in the order of the model's units with --labels")


def _list(names: Sequence[str]) -> str:
    return list_some(names, 10)
