"""Small networks of one shape that train at once, in NumPy: a framework's overhead would exceed their arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.dataset import Floats, Integers
from models.embeddings import fill_absent, find_slices, sum_by_entry

LEARNING_RATE = 0.01
DECAY = (0.9, 0.999)  # of Adam's two moments (Kingma and Ba 2015)
MIN_BATCH_SIZE, MAX_BATCH_SIZE = 64, 1024  # rows of a step
MAX_LOGITS = 2_000_000  # of all replicas in a step, which limits the batch if there are many labels


@dataclass(frozen=True)
class DenseLayer:
    """The kernel [inputs, units] and the bias [units] of a dense layer."""

    kernel: NDArray[np.floating]
    bias: NDArray[np.floating]


Layers = tuple[DenseLayer, ...]  # of a network: ReLU between them, softmax after the last


class Replicas:
    """Networks of one shape on the same rows; each has its own penalty, and its own weights of the rows.

    They start at random (He et al. 2015). The loss of a replica is its mean negative log likelihood plus ``penalty / (2
    rows)`` times the sum of its squared kernels, so a penalty has the scale of scikit-learn's ``1 / C``.

    The last rows of the first kernel are the vectors of categories' entries, as if each entry had a column that is 0 or
    1; only their sums and gradients take less time. They start at 0, so that one without training rows stays neutral.
    """

    def __init__(
        self,
        widths: Sequence[int],
        penalties: Sequence[float],
        row_weights: Floats,
        seed: int,
        entry_rows: Sequence[Integers] = (),
    ) -> None:
        """``widths`` are those of the input and of each layer; ``row_weights`` are [replicas, rows].

        ``entry_rows`` [replicas, entries] are, for each category, the number of training rows of each entry.
        """
        self._shapes = list(pairwise(widths))
        self._entry_rows = entry_rows
        self._categories = find_slices(widths[0], [rows.shape[1] for rows in entry_rows])
        rng = np.random.default_rng(seed)
        start = [_draw_layer(inputs, units, rng) for inputs, units in self._shapes]
        for category in self._categories:
            start[0].kernel[category] = 0
        self._parameters = np.repeat(_flatten(start)[None], len(penalties), axis=0)
        self._gradients = np.zeros_like(self._parameters)
        self._layers = self._view(self._parameters)
        self._layer_gradients = self._view(self._gradients)
        self._row_weights = row_weights
        strengths = np.asarray(penalties, np.float32) / row_weights.sum(axis=1)
        are_kernels = _flatten([DenseLayer(np.ones(shape), np.zeros(shape[1])) for shape in self._shapes])
        self._penalties = strengths[:, None] * are_kernels
        self._moments = (np.zeros_like(self._parameters), np.zeros_like(self._parameters))
        self._batch_rng = np.random.default_rng([seed, 1])
        self._batch_size = max(MIN_BATCH_SIZE, min(MAX_BATCH_SIZE, MAX_LOGITS // (len(penalties) * widths[-1])))
        self._steps = 0

    def train(self, rows: Floats, labels: Integers, steps: int, entries: Integers | None = None) -> None:
        """Take steps of Adam up to this number, with all rows or, if there are many, a random batch at each step.

        ``rows`` are [rows, columns], and ``entries`` [rows, categories].
        """
        entries = np.empty((len(rows), 0), np.intp) if entries is None else entries
        while self._steps < steps:
            if len(rows) <= self._batch_size:
                self._compute_gradients(rows, entries, labels, self._row_weights)
            else:
                batch = self._batch_rng.integers(0, len(rows), self._batch_size)
                self._compute_gradients(rows[batch], entries[batch], labels[batch], self._row_weights[:, batch])
            self._gradients += self._penalties * self._parameters
            self._step()

    def compute_logits(self, rows: Floats, replicas: slice, entries: Integers | None = None) -> Floats:
        """Compute the logits [replicas, rows, labels] of some replicas for normalized ``rows`` [rows, columns]."""
        layers = [(kernel[replicas], bias[replicas]) for kernel, bias in self._layers]
        layers[0] = (self._fill_absent(replicas), layers[0][1])
        return _compute_activations(rows, layers, self._sum_vectors(layers[0][0], entries))[-1]

    def get_layers(self, replica: int) -> Layers:
        """Copy the layers of one replica."""
        layers = [DenseLayer(kernel[replica].copy(), bias[replica, 0].copy()) for kernel, bias in self._layers]
        kernel = self._fill_absent(slice(replica, replica + 1))[0].copy()
        return (DenseLayer(kernel, layers[0].bias), *layers[1:])

    def _fill_absent(self, replicas: slice) -> Floats:
        """The first kernels of some replicas; entries without training rows have the mean of the others."""
        kernels = self._layers[0][0][replicas]
        for category, rows in zip(self._categories, self._entry_rows, strict=True):
            kernels = kernels.copy()
            kernels[:, category] = fill_absent(kernels[:, category], rows[replicas])
        return kernels

    def _sum_vectors(self, kernels: Floats, entries: Integers | None) -> Floats | None:
        """What the entries of rows add to the first layer's sums: [replicas, rows, units]."""
        if not self._categories or entries is None:
            return None
        vectors: list[Floats] = [
            kernels[:, category].take(column, axis=1)
            for category, column in zip(self._categories, entries.T, strict=True)
        ]
        for others in vectors[1:]:
            vectors[0] += others
        return vectors[0]

    def _compute_gradients(self, rows: Floats, entries: Integers, labels: Integers, weights: Floats) -> None:
        vectors = self._sum_vectors(self._layers[0][0], entries)
        *inputs, logits = _compute_activations(rows, self._layers, vectors)
        logits -= logits.max(axis=-1, keepdims=True)
        deltas = np.exp(logits, out=logits)
        deltas /= deltas.sum(axis=-1, keepdims=True)
        deltas[:, np.arange(len(labels)), labels] -= 1
        deltas *= (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1))[..., None]
        for index in reversed(range(len(inputs))):
            kernel_gradient, bias_gradient = self._layer_gradients[index]
            columns = inputs[index].shape[-1]
            np.matmul(inputs[index].swapaxes(-1, -2), deltas, out=kernel_gradient[:, :columns])
            np.sum(deltas, axis=1, keepdims=True, out=bias_gradient)
            if index:
                deltas = np.matmul(deltas, self._layers[index][0].swapaxes(-1, -2))
                deltas *= inputs[index] > 0
        for category, column in zip(self._categories, entries.T, strict=True):
            count = category.stop - category.start
            self._layer_gradients[0][0][:, category] = sum_by_entry(deltas, column, count)

    def _step(self) -> None:
        self._steps += 1
        (mean, variance), (slow, slower) = self._moments, DECAY
        mean += (1 - slow) * (self._gradients - mean)
        variance += (1 - slower) * (self._gradients**2 - variance)
        step = mean / (1 - slow**self._steps) / (np.sqrt(variance / (1 - slower**self._steps)) + 1e-7)
        self._parameters -= LEARNING_RATE * step

    def _view(self, parameters: Floats) -> list[tuple[Floats, Floats]]:
        """Views of the flat parameters [replicas, ...] as kernels [replicas, inputs, units] and biases."""
        count, views, start = len(parameters), [], 0
        for inputs, units in self._shapes:
            middle, end = start + inputs * units, start + (inputs + 1) * units
            kernel = parameters[:, start:middle].reshape(count, inputs, units)
            views.append((kernel, parameters[:, middle:end].reshape(count, 1, units)))
            start = end
        return views


def move_into_tables(layers: Layers, counts: Sequence[int]) -> tuple[Layers, list[Floats]]:
    """Make embeddings of the last rows of the first kernel, those of ``counts`` entries for each category.

    The layers that remain take the vectors of tables [entries, width] instead, one for each category. The width is the
    number of units that the first kernel uses.
    """
    if not counts:
        return layers, []
    kernel, bias = layers[0].kernel, layers[0].bias
    categories = find_slices(len(kernel), counts)
    units = max(1, int(np.count_nonzero(kernel.any(axis=0))))
    rest = [kernel[: categories[0].start], *[np.eye(units, len(bias), dtype=np.float32)] * len(counts)]
    tables = [kernel[category, :units] for category in categories]
    return (DenseLayer(np.concatenate(rest), bias), *layers[1:]), tables


def _draw_layer(inputs: int, units: int, rng: np.random.Generator) -> DenseLayer:
    return DenseLayer(rng.standard_normal((inputs, units)) * np.sqrt(2 / inputs), np.zeros(units))


def _flatten(layers: Sequence[DenseLayer]) -> Floats:
    return np.concatenate([part.ravel() for layer in layers for part in (layer.kernel, layer.bias)]).astype(np.float32)


def _compute_activations(
    rows: Floats, layers: Sequence[tuple[Floats, Floats]], vectors: Floats | None = None
) -> list[Floats]:
    """Compute the input of each layer, and the logits, from kernels [replicas, inputs, units] and biases.

    ``vectors`` [replicas, rows, units] are what categories add to the sums of the first layer.
    """
    activations = [rows]
    for index, (kernel, bias) in enumerate(layers):
        sums = np.matmul(activations[-1], kernel[:, : activations[-1].shape[-1]])
        if not index and vectors is not None:
            sums += vectors
        sums += bias
        activations.append(np.maximum(sums, 0, out=sums) if index < len(layers) - 1 else sums)
    return activations
