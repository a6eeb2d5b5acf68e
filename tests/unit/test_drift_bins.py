"""The bins that rows are counted in, and the population stability index of what is counted."""

import math
from random import Random

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray
from support import sampled_animals

from models.manifest import Manifest, Reference
from service.http.context import Predicted
from service.inference.model import Model
from service.monitoring.drift.bins import Bins, cells_of, noise, psi

WINDOWS = 5_000

counted = some.integers(2, 12).flatmap(
    lambda cells: some.tuples(
        arrays.arrays(np.int64, cells, elements=some.integers(1, 10_000)),
        arrays.arrays(np.int64, cells, elements=some.integers(0, 10_000)),
    )
)


def plain(then: list[float], counts: list[int]) -> float:
    """The index cell by cell, as one would write it on paper."""
    prior = len(then) / 2
    rows = sum(counts) + prior
    index = 0.0
    for share, count in zip(then, counts, strict=True):
        now = (count + prior * share) / rows
        index += (now - share) * math.log(now / share)
    return index


@given(counted)
def test_the_index_is_what_its_formula_says(drawn: tuple[NDArray[np.int64], NDArray[np.int64]]) -> None:
    """For any counts, empty cells among them: never negative, never infinite."""
    then = drawn[0] / drawn[0].sum()
    index = psi(then, drawn[1])
    assert index == pytest.approx(plain(then.tolist(), drawn[1].tolist()), rel=1e-9, abs=1e-12)
    assert -1e-12 < index < math.inf


@given(counted, some.randoms(use_true_random=False))
def test_the_index_knows_no_order(drawn: tuple[NDArray[np.int64], NDArray[np.int64]], chance: Random) -> None:
    """The same cells in another order have the same index."""
    then, counts = drawn[0] / drawn[0].sum(), drawn[1]
    order = list(range(len(counts)))
    chance.shuffle(order)
    assert psi(then[order], counts[order]) == pytest.approx(psi(then, counts), rel=1e-9, abs=1e-12)


@given(arrays.arrays(np.int64, some.integers(1, 12), elements=some.integers(1, 10_000)), some.integers(0, 1_000))
def test_equal_shares_are_no_shift(then: NDArray[np.int64], times: int) -> None:
    """However many rows there are, and if there are none."""
    assert psi(then / then.sum(), then * times) == pytest.approx(0, abs=1e-12)


def test_a_row_falls_in_one_bin_of_each_feature(model: Model) -> None:
    """Each edge belongs to the bin below it; what lies beyond all training rows, to the outermost; one cell a label."""
    bins = model.bins
    mass = bins.features["body_mass_kg"]
    rows = np.tile(np.array(model.manifest.golden[0].features, np.float32), (3, 1))
    rows[:, 0] = mass.edges[0], np.nextafter(np.float32(mass.edges[0]), np.float32(1)), 300
    answers = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1]], np.float32)
    cells = bins.of_predicted(Predicted(rows, answers))
    assert cells[:, 0].tolist() == [0, 1, 9]
    assert (cells[:, -1] - bins.labels.cells.start).tolist() == [2, 0, 3]


def test_refused_values_are_counted_beyond_the_bins(model: Model) -> None:
    """Each in the last cell of its feature; nothing is said of the others, nor of a label."""
    bins = model.bins
    cells = bins.of_refused({"ear_length_cm": 1, "body_temperature_c": 3})
    counts = np.bincount(cells.ravel(), minlength=cells_of(model.manifest))
    told = {name: counts[variable.cells].tolist() for name, variable in bins.features.items()}
    assert (told["ear_length_cm"][-1], told["body_temperature_c"][-1]) == (1, 3)
    assert sum(sum(row) for row in told.values()) == 4
    assert counts[bins.labels.cells].sum() == 0


def of_whole_numbers(model: Model, values: NDArray[np.float64], *, shares: bool) -> Bins:
    """The bins of a model of which each feature has these values, with the shares at its quantiles or without."""
    probabilities = model.manifest.reference.probabilities
    quantiles = np.quantile(values, probabilities).astype(np.float32)
    below = tuple(float((values <= quantile).mean()) for quantile in quantiles)
    names = model.manifest.feature_names
    reference = Reference(
        probabilities=probabilities,
        features=dict.fromkeys(names, tuple(quantiles.tolist())),
        labels=model.manifest.reference.labels,
        ranges=model.manifest.reference.ranges,
        shares=dict.fromkeys(names, below) if shares else {},
    )
    changed = model.manifest.model_dump() | {"reference": reference.model_dump()}
    return Bins(Manifest.model_validate(changed))


@pytest.mark.parametrize("levels", [(0.7, 0.3), (0.005, 0.995), (0.995, 0.005), (0.33, 0.33, 0.34), (0.1,) * 10])
def test_values_that_many_rows_share_are_no_shift(model: Model, levels: tuple[float, ...]) -> None:
    """Counts, yes and no, marks from one to ten: the rows they were learned from do not look shifted, others do."""
    rng = np.random.default_rng(3)
    values = rng.choice(len(levels), 24_000, p=np.array(levels) / sum(levels)).astype(np.float64)
    bins = of_whole_numbers(model, values, shares=True)
    variable = bins.features["body_mass_kg"]

    def index(now: NDArray[np.float64]) -> float:
        rows = np.repeat(now[:, np.newaxis], len(model.features), axis=1).astype(np.float32)
        cells = bins.of_predicted(Predicted(rows, np.ones((len(now), len(model.labels)), np.float32)))
        return psi(variable.then, np.bincount(cells[:, 0], minlength=variable.cells.stop)[variable.cells])

    assert index(rng.choice(values, 1_000)) < 0.05
    assert index(np.full(1_000, levels.index(min(levels)))) > 0.2


def test_a_feature_that_never_varied_is_shifted_once_it_does(model: Model) -> None:
    """Whether it falls or rises."""
    bins = of_whole_numbers(model, np.ones(1_000), shares=True)
    for value in (0, 2):
        rows = np.full((1_000, len(model.features)), value, np.float32)
        cells = bins.of_predicted(Predicted(rows, np.ones((1_000, len(model.labels)), np.float32)))
        variable = bins.features["body_mass_kg"]
        assert psi(variable.then, np.bincount(cells[:, 0], minlength=variable.cells.stop)[variable.cells]) > 0.2


def test_a_value_of_many_rows_is_no_edge_unless_their_share_is_known(model: Model) -> None:
    """A bundle without shares does not say how many rows lie below a value that several quantiles fall on."""
    assert "shares" not in model.manifest.reference.model_fields_set
    assert len(model.bins.features["ear_length_cm"].edges) == 6
    assert model.bins.features["ear_length_cm"].then[0] == pytest.approx(0.25, abs=1e-3)


def test_chance_alone_raises_no_alarm(model: Model) -> None:
    """Of 5,000 windows of animals as they were trained on, not one in a thousand looks shifted, few rows or many."""
    rng = np.random.default_rng(20_11)
    pool = sampled_animals.unshifted(100_000, 4).rows
    cells = model.bins.of_predicted(Predicted(pool, model.probabilities(pool)))
    variables = [*model.bins.features.values(), model.bins.labels]
    for rows in (100, 200, 1_000):
        limits = [model.bins.limit(variable, rows, 0.2) for variable in variables]
        alarms = 0
        for _ in range(WINDOWS):
            drawn = cells[rng.integers(len(cells), size=rows)]
            counts = np.bincount(drawn.ravel(), minlength=cells_of(model.manifest))
            alarms += any(
                psi(variable.then, counts[variable.cells]) >= limit
                for variable, limit in zip(variables, limits, strict=True)
            )
        assert alarms <= WINDOWS / 1_000


def test_few_rows_take_a_greater_shift(model: Model) -> None:
    """The limit is the setting's for a whole window, and more where chance alone reaches that."""
    mass = model.bins.features["body_mass_kg"]
    assert model.bins.limit(mass, 1_000, 0.2) == 0.2
    assert model.bins.limit(mass, 100, 0.2) == noise(mass.freedom, 100, 24_000, 9) > 0.4
    # Chi-square of 9 degrees of freedom exceeds 33.6 in one of 9,000 cases; the slack is half as much again.
    assert noise(9, 1_000, 10**9, 9) == pytest.approx(1.5 * 33.6 / 1_000, rel=0.01)
