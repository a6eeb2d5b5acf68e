"""The verdict of a comparison: a sentence that says how much changes, what, and where."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from support.headed_bundles import MIXED, MULTI_LABEL, REGRESSION, SOFTMAX, publish

from models.signature import Head, Target
from service.comparison.comparison import Comparison
from service.inference.model import Model

ONE_TARGET = (
    Head(name="price", kind="regression", layer="probabilities", targets=(Target(name="price", unit="USD"),)),
)
DOG, CAT, BIRD = [0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]  # labels a, b, c


class Case(NamedTuple):
    """A table of ``rows`` rows whose feature f1 runs from -3 to 3, and what the shadow gives instead for some of them.

    ``changes`` has for the first so many rows, where f1 is least, and for the last, another prediction.
    """

    heads: Sequence[Head]
    rows: int
    before: Sequence[float]
    changes: Sequence[tuple[slice, Sequence[float]]]
    verdict: str


CASES = [
    Case(SOFTMAX, 41, DOG, [], "too few rows for a verdict: 41 of 100"),
    Case(
        SOFTMAX, 1_000, DOG, [],
        "version 2 agrees with 1 on all 1,000 rows: with 95% confidence, at most 0.39% of all rows change",
    ),
    Case(
        SOFTMAX, 100, DOG, [],
        "version 2 agrees with 1 on all 100 rows: with 95% confidence, at most 3.7% of all rows change",
    ),
    Case(
        SOFTMAX, 1_000, DOG, [(slice(0, 1), CAT)],
        "version 2 agrees with 1 on 99.9% (99.4 to 100.0) of 1,000 rows; the only change: a -> b",
    ),
    Case(
        SOFTMAX, 1_000, DOG, [(slice(0, 3), CAT), (slice(500, 501), BIRD)],
        "version 2 agrees with 1 on 99.6% (99.0 to 99.8) of 1,000 rows; 3 of 4 changes are a -> b",
    ),
    Case(
        SOFTMAX, 5_000, DOG, [(slice(0, 38), CAT), (slice(2_000, 2_003), BIRD)],
        "version 2 agrees with 1 on 99.2% (98.9 to 99.4) of 5,000 rows; 38 of 41 changes are a -> b, all of them where "
        "f1 is at most -2.38 m (10% of all rows with a)",
    ),
    Case(
        SOFTMAX, 5_000, DOG, [(slice(0, 40), CAT), (slice(4_990, 5_000), CAT)],
        "version 2 agrees with 1 on 99.0% (98.7 to 99.2) of 5,000 rows; all 50 changes are a -> b, 40 of them where "
        "f1 is at most -2.38 m (10% of all rows with a)",
    ),
    Case(
        MULTI_LABEL, 1_000, [0.9, 0.1, 0.1], [(slice(960, 1_000), [0.9, 0.1, 0.9]), (slice(0, 4), [0.1, 0.1, 0.1])],
        "version 2 agrees with 1 on 96% (94 to 97) of 1,000 rows; 40 of 44 changes gain windy, all of them where "
        "f1 is above 2.48 m (9% of all rows)",
    ),
    Case(
        REGRESSION, 1_000, [5, 5], [(slice(0, 1_000, 5), [4, 5]), (slice(1, 1_000, 20), [5, 9])],
        "version 2 agrees with 1 to within 1% of the spread on 75% (72 to 78) of 1,000 rows; 200 of 250 changes lower "
        "price",
    ),
    Case(
        ONE_TARGET, 1_000, [5], [(slice(0, 1_000, 5), [7])],
        "version 2 agrees with 1 to within 1% of the spread on 80% (77 to 82) of 1,000 rows; all 200 changes raise "
        "price; price is 0.4 USD higher on average (root mean square 0.894 USD)",
    ),
    Case(
        MIXED, 1_000, [5, *DOG, 0.1, 0.1, 0.9, 0.1], [(slice(0, 1_000, 10), [5, *CAT, 0.1, 0.1, 0.9, 0.1])],
        "version 2 agrees with 1 to within 1% of the spread on 90% (88 to 92) of 1,000 rows; kind changes most often: "
        "all 100 changes are flat -> house",
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[case.verdict[:60] for case in CASES])
def test_verdicts(case: Case, tmp_path: Path) -> None:
    """What a person reads first."""
    first, second = (Model.open(publish(tmp_path, case.heads).folder, "litert") for _ in range(2))
    rows = np.zeros((case.rows, 3), np.float32)
    rows[:, 0] = np.linspace(-3, 3, case.rows)
    before = np.tile(np.array(case.before, np.float32), (case.rows, 1))
    after = before.copy()
    for changed, values in case.changes:
        after[changed] = values
    comparison = Comparison(first, second)
    assert comparison.report(comparison.count(rows, before, after))["verdict"] == case.verdict
