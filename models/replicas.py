"""Small networks of one shape that train at once, in NumPy: a framework's overhead would exceed their arithmetic."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from models.dataset import Doubles, Floats, Integers
from models.embeddings import Embedding, fill_absent, sum_by_entry

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

    The input of the first layer is the rows' columns and then the vectors of their entries in each embedding. Their
    tables start at 0, and so an entry without training rows stays neutral; the penalty includes them.
    """

    def __init__(
        self,
        widths: Sequence[int],
        penalties: Sequence[float],
        row_weights: Floats,
        seed: int,
        embeddings: Sequence[Embedding] = (),
    ) -> None:
        """``widths`` are those of the input and of each layer; ``row_weights`` are [replicas, rows]."""
        self._shapes = list(pairwise(widths))
        self._embeddings = embeddings
        rng = np.random.default_rng(seed)
        start = [_draw_layer(inputs, units, rng) for inputs, units in self._shapes]
        tables = [np.zeros(each.shape) for each in embeddings]
        self._parameters = np.repeat(_flatten(start, tables)[None], len(penalties), axis=0)
        self._gradients = np.zeros_like(self._parameters)
        self._layers, self._tables = self._view(self._parameters)
        self._layer_gradients, self._table_gradients = self._view(self._gradients)
        self._row_weights = row_weights
        strengths = np.asarray(penalties, np.float32) / row_weights.sum(axis=1)
        ones = [DenseLayer(np.ones(shape), np.zeros(shape[1])) for shape in self._shapes]
        are_kernels = _flatten(ones, [np.ones(each.shape) for each in embeddings])
        self._penalties = strengths[:, None] * are_kernels
        self._moments = (np.zeros_like(self._parameters), np.zeros_like(self._parameters))
        self._batch_rng = np.random.default_rng([seed, 1])
        self._batch_size = max(MIN_BATCH_SIZE, min(MAX_BATCH_SIZE, MAX_LOGITS // (len(penalties) * widths[-1])))
        self._steps = 0

    def train(self, rows: Floats, labels: Integers, steps: int, entries: Integers | None = None) -> None:
        """Take steps of Adam up to this number, with all rows or, if there are many, a random batch at each step.

        ``rows`` are [rows, columns] and ``entries``, which embeddings need, [rows, embeddings].
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
        if entries is not None:
            tables = [fill_absent(*each) for each in self._select_tables(replicas)]
            rows = _append_vectors(rows, tables, entries)
        return _compute_activations(rows, [(kernel[replicas], bias[replicas]) for kernel, bias in self._layers])[-1]

    def get_layers(self, replica: int) -> Layers:
        """Copy the layers of one replica."""
        return tuple(DenseLayer(kernel[replica].copy(), bias[replica, 0].copy()) for kernel, bias in self._layers)

    def get_tables(self, replica: int) -> list[Floats]:
        """The table [entries, width] of each embedding of one replica."""
        return [fill_absent(*each)[0] for each in self._select_tables(slice(replica, replica + 1))]

    def _select_tables(self, replicas: slice) -> list[tuple[Floats, Integers]]:
        """The tables of some replicas, and the training rows of their entries."""
        pairs = zip(self._tables, self._embeddings, strict=True)
        return [(table[replicas], embedding.counts[replicas]) for table, embedding in pairs]

    def _compute_gradients(self, rows: Floats, entries: Integers, labels: Integers, weights: Floats) -> None:
        rows = _append_vectors(rows, self._tables, entries)
        *inputs, logits = _compute_activations(rows, self._layers)
        logits -= logits.max(axis=-1, keepdims=True)
        deltas = np.exp(logits, out=logits)
        deltas /= deltas.sum(axis=-1, keepdims=True)
        deltas[:, np.arange(len(labels)), labels] -= 1
        deltas *= (weights / np.maximum(weights.sum(axis=1, keepdims=True), 1))[..., None]
        for index in reversed(range(len(inputs))):
            kernel_gradient, bias_gradient = self._layer_gradients[index]
            np.matmul(inputs[index].swapaxes(-1, -2), deltas, out=kernel_gradient)
            np.sum(deltas, axis=1, keepdims=True, out=bias_gradient)
            if index:
                deltas = np.matmul(deltas, self._layers[index][0].swapaxes(-1, -2))
                deltas *= inputs[index] > 0
        if self._tables:
            self._compute_table_gradients(deltas, entries)

    def _compute_table_gradients(self, deltas: Floats, entries: Integers) -> None:
        """Sum up, for each entry, the gradients of its rows; ``deltas`` are those of the first layer's sums."""
        end = self._shapes[0][0]
        for gradient, embedding, column in reversed(
            list(zip(self._table_gradients, self._embeddings, entries.T, strict=True))
        ):
            start = end - embedding.width
            vectors = np.matmul(deltas, self._layers[0][0][:, start:end].swapaxes(-1, -2))
            gradient[:] = sum_by_entry(vectors, column, embedding.shape[0])
            end = start

    def _step(self) -> None:
        self._steps += 1
        (mean, variance), (slow, slower) = self._moments, DECAY
        mean += (1 - slow) * (self._gradients - mean)
        variance += (1 - slower) * (self._gradients**2 - variance)
        step = mean / (1 - slow**self._steps) / (np.sqrt(variance / (1 - slower**self._steps)) + 1e-7)
        self._parameters -= LEARNING_RATE * step

    def _view(self, parameters: Floats) -> tuple[list[tuple[Floats, Floats]], list[Floats]]:
        """Views of the flat parameters [replicas, ...]: kernels [replicas, inputs, units] with biases, and tables."""
        count, layers, tables, start = len(parameters), [], [], 0
        for inputs, units in self._shapes:
            middle, end = start + inputs * units, start + (inputs + 1) * units
            kernel = parameters[:, start:middle].reshape(count, inputs, units)
            layers.append((kernel, parameters[:, middle:end].reshape(count, 1, units)))
            start = end
        for entries, width in (each.shape for each in self._embeddings):
            end = start + entries * width
            tables.append(parameters[:, start:end].reshape(count, entries, width))
            start = end
        return layers, tables


def _draw_layer(inputs: int, units: int, rng: np.random.Generator) -> DenseLayer:
    return DenseLayer(rng.standard_normal((inputs, units)) * np.sqrt(2 / inputs), np.zeros(units))


def _flatten(layers: Sequence[DenseLayer], tables: Sequence[Doubles]) -> Floats:
    parts = [part.ravel() for layer in layers for part in (layer.kernel, layer.bias)]
    return np.concatenate([*parts, *(table.ravel() for table in tables)]).astype(np.float32)


def _append_vectors(rows: Floats, tables: Sequence[Floats], entries: Integers) -> Floats:
    """Put the vectors of the entries [rows, embeddings] behind the columns: [replicas, rows, inputs]."""
    if not tables:
        return rows
    columns = np.broadcast_to(rows, (len(tables[0]), *rows.shape))
    vectors = [table.take(column, axis=1) for table, column in zip(tables, entries.T, strict=True)]
    return np.concatenate([columns, *vectors], axis=2)


def _compute_activations(rows: Floats, layers: Sequence[tuple[Floats, Floats]]) -> list[Floats]:
    """Compute the input of each layer, and the logits, from kernels [replicas, inputs, units] and biases."""
    activations = [rows]
    for index, (kernel, bias) in enumerate(layers):
        sums = np.matmul(activations[-1], kernel)
        sums += bias
        activations.append(np.maximum(sums, 0, out=sums) if index < len(layers) - 1 else sums)
    return activations
