"""Embeddings: tables with a vector for each value of a category, which training learns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from models.dataset import Floats, Integers


@dataclass(frozen=True)
class Embedding:
    """A table that each replica learns; ``counts`` [replicas, entries] are the training rows of each entry."""

    counts: Integers
    width: int

    @property
    def shape(self) -> tuple[int, int]:
        """(entries, width) of the table."""
        return self.counts.shape[-1], self.width


def fill_absent(table: NDArray[np.floating], counts: Integers) -> NDArray[np.floating]:
    """Give entries without training rows the mean vector of all rows: nothing is known of them.

    ``table`` is [..., entries, width] and ``counts`` [..., entries].
    """
    shares = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    mean = np.matmul(shares[..., np.newaxis, :].astype(table.dtype), table)
    filled: NDArray[np.floating] = np.where(counts[..., np.newaxis] > 0, table, mean)
    return filled


def sum_by_entry(vectors: Floats, entries: Integers, count: int) -> Floats:
    """Sum the vectors [replicas, rows, width] of the rows of each of ``count`` entries: [replicas, entries, width]."""
    replicas, rows, width = vectors.shape
    sums = one_hot(entries, count).T @ vectors.swapaxes(0, 1).reshape(rows, replicas * width)
    by_entry: Floats = sums.reshape(count, replicas, width).swapaxes(0, 1)
    return by_entry


def one_hot(entries: Integers, count: int) -> csr_array:
    """A sparse matrix [rows, count] with a 1 in the column of each row's entry."""
    return csr_array((np.ones(len(entries), np.float32), entries, np.arange(len(entries) + 1)), (len(entries), count))
