"""What a model predicts for rows of numbers, and the array types that all packages share."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Doubles = NDArray[np.float64]
Indices = NDArray[np.intp]


class Prediction(NamedTuple):
    """One run of the network.

    ``rows`` [rows, features] went in, ``probabilities`` [rows, labels] came out; ``labels`` [rows] has the index of
    each row's most probable label. ``out_of_range`` has the positions in the flattened rows of values that lie outside
    the training range of their row's label. ``layers`` has the outputs [rows, units] of the hidden layers asked for.
    """

    rows: Array
    probabilities: Array
    labels: Indices | Sequence[int]
    out_of_range: Indices | Sequence[int]
    layers: Mapping[str, Array]
