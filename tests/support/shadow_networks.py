"""Networks that fail as shadows: on rows that the check of a version does not have."""

import numpy as np

from support.handmade_bundles import Network

OVERFLOW_ABOVE = 2.9  # of the first feature, whose largest valid value is 3


def build_overflowing() -> Network:
    """A network of three features whose output is no number where the first one is above `OVERFLOW_ABOVE`."""
    return Network(
        weights=[np.array([[1.0, 0, 0]]), np.array([[1e30]]), np.array([[1e30], [0.0]])],
        biases=[np.array([-OVERFLOW_ABOVE]), np.zeros(1), np.array([0.0, 1.0])],
        activations=["relu", "linear", "softmax"],
    )
