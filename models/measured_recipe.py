"""The recipe for measured rows: few, so what a network may learn from them is decided on rows that it has not seen.

docs/decisions/0017-measured-rows.md has the evaluation of these values.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models import logistic_network, network
from models.bundle import NETWORK
from models.dataset import Dataset, Doubles, Floats, Integers, Sample, split_folds
from models.embeddings import append_one_hot, fill_absent, find_slices
from models.encoder_fitting import Encoding, count_entries
from models.evaluate import Scores
from models.options import TrainingOptions
from models.replicas import DenseLayer, Layers, Replicas, move_into_tables
from models.training_result import HeldOutLosses, TrainingResult

FOLDS = 5  # each row is held out once while the candidates are compared
PENALTIES = (0.3, 1.0, 3.0)  # each is a candidate
STEPS = (20, 40, 70, 100, 150, 200, 300, 400, 600)  # of the optimizer; the candidates are compared after each
COMPARED_ROWS = 20_000  # of a larger table, only so many are used to compare the candidates
MAX_LABELS_OF_LOGISTIC_REGRESSION = 50  # with more, it would take longer than all else
REQUIRED_GAIN = 3.0  # standard errors; less may be chance, as the best of many is compared
TEMPERATURES = np.exp(np.linspace(-1.5, 1.5, 61))

Masks = list[NDArray[np.bool_]]  # of each fold: which rows it trains on, [n]


@dataclass(frozen=True)
class Task:
    """What a network learns from, and its shape.

    Rows are normalized columns [n, columns] and ``entries`` [n, embeddings] of categories whose vectors are learned;
    ``entry_counts`` [embeddings] is how many entries there are.
    """

    rows: Doubles
    entries: Integers
    entry_counts: tuple[int, ...]
    labels: Integers
    label_count: int
    hidden: tuple[int, ...]
    seed: int

    @property
    def can_be_logistic(self) -> bool:
        """Whether the network can be a logistic regression, and that takes no longer than to train it."""
        columns = self.rows.shape[1] + sum(self.entry_counts)
        can_express = logistic_network.can_express(columns, self.label_count, self.hidden)
        return can_express and self.label_count <= MAX_LABELS_OF_LOGISTIC_REGRESSION

    @property
    def one_hot_rows(self) -> Doubles | csr_array:
        """The rows with a column for each entry: what a logistic regression learns from."""
        return append_one_hot(self.rows, self.entries, self.entry_counts) if self.entry_counts else self.rows

    def select(self, indices: Integers) -> "Task":
        """The same task with some of the rows."""
        return replace(self, rows=self.rows[indices], entries=self.entries[indices], labels=self.labels[indices])

    def count_rows(self, mask: NDArray[np.bool_]) -> list[Integers]:
        """Count the rows of each entry among some rows, for each embedding."""
        pairs = zip(self.entries[mask].T, self.entry_counts, strict=True)
        return [np.bincount(entries, minlength=count) for entries, count in pairs]

    def build_replicas(self, penalties: tuple[float, ...], masks: Masks) -> Replicas:
        """Build a replica for each penalty and mask of training rows; those of a penalty are adjacent."""
        by_category = zip(*map(self.count_rows, masks), strict=True)
        entry_rows = [np.tile(np.stack(rows), (len(penalties), 1)) for rows in by_category]
        inputs = self.rows.shape[1] + sum(self.entry_counts)
        row_weights = np.array([mask for _ in penalties for mask in masks], np.float32)
        strengths = np.repeat(penalties, len(masks)).tolist()
        return Replicas([inputs, *self.hidden, self.label_count], strengths, row_weights, self.seed, entry_rows)


class Fitted(NamedTuple):
    """The held-out logits [n, labels], and what computes them once all rows were seen: layers and learned tables."""

    logits: Floats
    layers: Layers
    tables: list[Floats]


def count_steps() -> int:
    """Count the calls of ``on_step`` in `train`."""
    return len(STEPS)


def train(
    dataset: Dataset, groups: Integers, options: TrainingOptions, on_step: Callable[[str], None]
) -> TrainingResult:
    """Compare candidates on held-out groups after growing numbers of steps, and train the best again with all rows.

    The number of steps that is best on held-out groups is where training stops. The network's probabilities get a
    temperature (Guo et al. 2017) if that makes those of held-out rows better.
    """
    network.set_random_seed(options.seed)
    sample = dataset.sample(groups, options.rows, np.random.default_rng(options.seed))
    encoding = Encoding.fit(dataset.features, sample.rows)
    columns = encoding.encode(sample.rows)
    normalization = encoding.fit_normalization(columns)
    task = Task(
        normalization.apply(columns),
        encoding.find_entries(sample.rows),
        tuple(map(count_entries, encoding.embedded)),
        sample.labels,
        len(dataset.labels),
        options.hidden,
        options.seed,
    )
    masks = _mask_folds(dataset, groups, sample, options.seed)
    held_out = _compare_candidates(task, masks, on_step)
    if held_out.selected is None:
        logits, layers, tables = _fit_logistic_regression(task, masks)
        settings: dict[str, object] = {"network": "logistic regression"}
    else:
        penalty = PENALTIES[held_out.selected]
        logits, layers, tables = _train_selected(task, masks, penalty, held_out.selected_steps)
        settings = {"penalty": penalty, "steps": held_out.selected_steps}
    temperature = _fit_temperature(logits, task.labels)
    if options.balance:
        shift = temperature * _balancing_shift(task)
        logits, layers = logits + shift, (*layers[:-1], DenseLayer(layers[-1].kernel, layers[-1].bias + shift))
    encoders = encoding.complete(tables)
    normalization = normalization.extend(sum(table.shape[1] for table in tables))
    probabilities = np.exp(_log_softmax(logits / np.float32(temperature)))
    return TrainingResult(
        network.assemble(normalization, layers, temperature, NETWORK if encoders else None),
        sample,
        Scores(probabilities, sample.labels, sample.groups, rows=sample.rows),
        groups,
        held_out,
        {
            "hidden": list(options.hidden),
            **settings,
            "temperature": round(temperature, 4),
            "balance": options.balance,
            "rows": len(sample.rows),
            "groups": len(dataset.groups),
        },
        dataset.features,
        encoders,
    )


def _mask_folds(dataset: Dataset, groups: Integers, sample: Sample, seed: int) -> Masks:
    """Mask the training rows of each fold of the groups."""
    fewest = np.bincount(dataset.group_labels[groups], minlength=len(dataset.labels)).min()
    folds = split_folds(dataset, groups, max(2, min(FOLDS, int(fewest))), seed)
    return [np.isin(sample.groups, training) for training, _ in folds]


def _compare_candidates(task: Task, masks: Masks, on_step: Callable[[str], None]) -> HeldOutLosses:
    """Compute the held-out log loss of each candidate after each of `STEPS`, and select by it.

    Logistic regression is selected unless a network is better beyond chance.
    """
    if len(task.rows) > COMPARED_ROWS:
        indices = np.sort(np.random.default_rng(task.seed).permutation(len(task.rows))[:COMPARED_ROWS])
        task, masks = task.select(indices), [mask[indices] for mask in masks]
    replicas = task.build_replicas(PENALTIES, masks)
    rows, entries = task.rows.astype(np.float32), task.entries
    logits = np.empty((len(PENALTIES), len(rows), task.label_count), np.float32)
    losses = np.empty((len(STEPS), len(PENALTIES), len(rows)))
    for index, steps in enumerate(STEPS):
        replicas.train(rows, task.labels, steps, entries)
        for fold, mask in enumerate(masks):
            logits[:, ~mask] = replicas.compute_logits(rows[~mask], slice(fold, None, len(masks)), entries[~mask])
        losses[index] = _log_losses(logits, task.labels)
        on_step("selection")
    means = losses.mean(axis=2)
    best, selected = np.unravel_index(means.argmin(), means.shape)
    curves = tuple(tuple(curve.tolist()) for curve in means.T)
    if task.can_be_logistic:
        logistic = _log_losses(_fit_logistic_regression(task, masks).logits, task.labels)
        if not _is_better(losses[best, selected], logistic):
            return HeldOutLosses(STEPS, curves, None, 0, float(logistic.mean()))
        return HeldOutLosses(STEPS, curves, int(selected), STEPS[best], float(logistic.mean()))
    return HeldOutLosses(STEPS, curves, int(selected), STEPS[best], None)


def _train_selected(task: Task, masks: Masks, penalty: float, steps: int) -> Fitted:
    """Train with all rows, and once more without each fold."""
    replicas = task.build_replicas((penalty,), [*masks, np.ones(len(task.rows), bool)])
    rows, entries = task.rows.astype(np.float32), task.entries
    replicas.train(rows, task.labels, steps, entries)
    logits = np.empty((len(rows), task.label_count), np.float32)
    for fold, mask in enumerate(masks):
        logits[~mask] = replicas.compute_logits(rows[~mask], slice(fold, fold + 1), entries[~mask])[0]
    return Fitted(logits, *move_into_tables(replicas.get_layers(len(masks)), task.entry_counts))


def _fit_logistic_regression(task: Task, masks: Masks) -> Fitted:
    """Fit as `_train_selected` trains."""
    rows = task.one_hot_rows
    logits = np.empty((len(task.labels), task.label_count), np.float32)
    for mask in masks:
        coefficients, intercepts = _fit_coefficients(task, rows, mask)
        logits[~mask] = rows[~mask] @ coefficients + intercepts
    coefficients, intercepts = _fit_coefficients(task, rows, np.ones(len(task.labels), bool))
    layers = logistic_network.express(rows, coefficients, intercepts, task.hidden)
    return Fitted(logits, *move_into_tables(layers, task.entry_counts))


def _fit_coefficients(task: Task, rows: Doubles | csr_array, mask: NDArray[np.bool_]) -> tuple[Doubles, Doubles]:
    """Fit to some rows; the coefficients of entries that these do not have are the mean of the others."""
    coefficients, intercepts = logistic_network.fit_logistic_regression(rows[mask], task.labels[mask])
    for category, counts in zip(find_slices(len(coefficients), task.entry_counts), task.count_rows(mask), strict=True):
        coefficients[category] = fill_absent(coefficients[category], counts)
    return coefficients, intercepts


def _fit_temperature(logits: Floats, labels: Integers) -> float:
    """Find the temperature with the lowest log loss; 1 unless that is better beyond chance."""
    losses = [_log_losses(logits / np.float32(temperature), labels) for temperature in TEMPERATURES]
    best = int(np.argmin([loss.mean() for loss in losses]))
    return float(TEMPERATURES[best]) if _is_better(losses[best], _log_losses(logits, labels)) else 1.0


def _balancing_shift(task: Task) -> Floats:
    """What to add to the logits, [labels], so that the probabilities are those of equally frequent labels.

    Bayes' rule with other priors (Elkan 2001): a network that is trained with weighted labels tends to the same.
    """
    shares = np.bincount(task.labels, minlength=task.label_count) / len(task.labels)
    shift: Floats = -np.log(shares).astype(np.float32)
    return shift


def _is_better(losses: Doubles, reference: Doubles) -> bool:
    """Whether losses [n] are lower than those of the reference for the same rows, beyond chance.

    The gain must also pay for one more missed row, to which a confident network gives a probability of about 1/n: so
    few rows are missed on an easy table that their share is uncertain.
    """
    gains, count = reference - losses, len(losses)
    return bool(gains.mean() > max(REQUIRED_GAIN * gains.std() / np.sqrt(count), np.log(count) / count))


def _log_losses(logits: Floats, labels: Integers) -> Doubles:
    """Compute the negative log likelihood of each row, [..., n], from logits [..., n, labels].

    The labels are smoothed as if there were one more row of each label (Laplace's rule of succession). Else nothing
    limits the confidence of a network that is right on all held-out rows, and the first one that it misses costs much.
    """
    log_probabilities = _log_softmax(logits).astype(np.float64)
    label_count = logits.shape[-1]
    share = label_count / (len(labels) + label_count)
    likelihoods = log_probabilities[..., np.arange(len(labels)), labels]
    losses: Doubles = (share - 1) * likelihoods - share * log_probabilities.mean(axis=-1)
    return losses


def _log_softmax(logits: Floats) -> Floats:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    log_probabilities: Floats = shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
    return log_probabilities
