"""Embeddings: a vector for each value of a category, which training learns as a row of the first kernel."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array, hstack

from models.dataset import Floats, Integers


def fill_absent(vectors: NDArray[np.floating], counts: Integers) -> NDArray[np.floating]:
    """Give entries without training rows the mean vector of all rows: nothing is known of them.

    ``vectors`` are [..., entries, width], and ``counts`` [..., entries] are the training rows of each entry.
    """
    shares = counts / np.maximum(counts.sum(axis=-1, keepdims=True), 1)
    mean = np.matmul(shares[..., np.newaxis, :].astype(vectors.dtype), vectors)
    filled: NDArray[np.floating] = np.where(counts[..., np.newaxis] > 0, vectors, mean)
    return filled


def find_slices(end: int, counts: Sequence[int]) -> list[slice]:
    """The rows of a kernel that belong to the entries of each category; the last of them is at ``end``."""
    ends = end - sum(counts) + np.cumsum([0, *counts])
    return [slice(*pair) for pair in pairwise(ends.tolist())]


def sum_by_entry(deltas: Floats, entries: Integers, count: int) -> Floats:
    """Sum ``deltas`` [replicas, rows, units] over the rows of each of ``count`` entries: [replicas, entries, units]."""
    replicas, rows, units = deltas.shape
    sums = one_hot(entries, count).T @ deltas.swapaxes(0, 1).reshape(rows, replicas * units)
    by_entry: Floats = sums.reshape(count, replicas, units).swapaxes(0, 1)
    return by_entry


def append_one_hot(rows: NDArray[np.floating], entries: Integers, counts: Sequence[int]) -> csr_array:
    """Append to ``rows`` [n, columns] a column for each of the ``counts`` of entries; ``entries`` are [n, categories].

    The matrix is sparse: with a thousand values of a category, a dense one would need gigabytes.
    """
    columns = [one_hot(each, count) for each, count in zip(entries.T, counts, strict=True)]
    return hstack([csr_array(rows), *columns], format="csr")


def one_hot(entries: Integers, count: int) -> csr_array:
    """A sparse matrix [rows, count] with a 1 in the column of each row's entry."""
    return csr_array((np.ones(len(entries), np.float32), entries, np.arange(len(entries) + 1)), (len(entries), count))
