"""The bins that rows are counted in, and the population stability index of the counts."""

import math
from random import Random

import hypothesis.extra.numpy as arrays
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some
from numpy.typing import NDArray
from support import sampled_animals

from models.manifest import Manifest
from models.reference_statistics import Reference
from service.arrays import Array
from service.inference.binning.bins import Bins, count_cells
from service.inference.model import Model
from service.monitoring.drift.psi import chance_limit, shift_limit, stability_index

WINDOWS = 5_000

training_and_recent_counts = some.integers(2, 12).flatmap(
    lambda cells: some.tuples(
        arrays.arrays(np.int64, cells, elements=some.integers(1, 10_000)),
        arrays.arrays(np.int64, cells, elements=some.integers(0, 10_000)),
    )
)
Counts = NDArray[np.int64]


@pytest.fixture(scope="module")
def bins(model: Model) -> Bins:
    return Bins(model.manifest)


def reference_index(training_shares: list[float], counts: list[int]) -> float:
    """The index cell by cell, as its formula is written."""
    prior = len(training_shares) / 2
    rows = sum(counts) + prior
    index = 0.0
    for training_share, count in zip(training_shares, counts, strict=True):
        recent_share = (count + prior * training_share) / rows
        index += (recent_share - training_share) * math.log(recent_share / training_share)
    return index


@given(training_and_recent_counts)
def test_index_equals_its_formula(drawn: tuple[Counts, Counts]) -> None:
    """For any counts, empty cells among them: never negative, never infinite."""
    training_shares = drawn[0] / drawn[0].sum()
    index = stability_index(training_shares, drawn[1])
    assert index == pytest.approx(reference_index(training_shares.tolist(), drawn[1].tolist()), rel=1e-9, abs=1e-12)
    assert -1e-12 < index < math.inf


@given(training_and_recent_counts, some.randoms(use_true_random=False))
def test_index_does_not_depend_on_the_order_of_cells(drawn: tuple[Counts, Counts], random: Random) -> None:
    """The same cells in another order have the same index."""
    training_shares, counts = drawn[0] / drawn[0].sum(), drawn[1]
    order = list(range(len(counts)))
    random.shuffle(order)
    expected = pytest.approx(stability_index(training_shares, counts), rel=1e-9, abs=1e-12)
    assert stability_index(training_shares[order], counts[order]) == expected


@given(arrays.arrays(np.int64, some.integers(1, 12), elements=some.integers(1, 10_000)), some.integers(0, 1_000))
def test_equal_shares_have_an_index_of_zero(counts: Counts, times: int) -> None:
    """However many rows there are, and if there are none."""
    assert stability_index(counts / counts.sum(), counts * times) == pytest.approx(0, abs=1e-12)


def test_a_row_falls_in_one_bin_of_each_feature(bins: Bins, model: Model) -> None:
    """A bin includes its upper edge; the outermost bins have no end; each label has a cell."""
    mass = bins.features["body_mass_kg"]
    rows = np.tile(np.array(model.manifest.golden[0].features, np.float32), (3, 1))
    rows[:, 0] = mass.edges[0], np.nextafter(np.float32(mass.edges[0]), np.float32(1)), 300
    cells = bins.bin_predicted(rows, np.array([2, 0, 3]))
    assert cells[:, 0].tolist() == [0, 1, 9]
    assert (cells[:, -1] - bins.outputs["probabilities"].cells.start).tolist() == [2, 0, 3]


def test_out_of_bounds_values_are_counted_after_the_bins(bins: Bins, model: Model) -> None:
    """Each in the last cell of its feature; other features and the label get no count."""
    cells = bins.bin_out_of_bounds([{"ear_length_cm": 1, "body_temperature_c": 3}])
    counts = np.bincount(cells.ravel(), minlength=count_cells(model.manifest))
    by_feature = {name: counts[variable.cells].tolist() for name, variable in bins.features.items()}
    assert (by_feature["ear_length_cm"][-1], by_feature["body_temperature_c"][-1]) == (1, 3)
    assert sum(sum(row) for row in by_feature.values()) == 4
    assert counts[bins.outputs["probabilities"].cells].sum() == 0


def bins_of_values(model: Model, values: NDArray[np.float64], *, shares: bool, rows: int = 24_000) -> Bins:
    """The bins of a model whose features all have these values, with the shares at their quantiles or without.

    ``rows`` is the number of training rows that the manifest names.
    """
    probabilities = model.manifest.require_reference().probabilities
    quantiles = np.quantile(values, probabilities).astype(np.float32)
    cumulative = tuple(float((values <= quantile).mean()) for quantile in quantiles)
    names = model.manifest.feature_names
    reference = Reference(
        probabilities=probabilities,
        features=dict.fromkeys(names, tuple(quantiles.tolist())),
        labels=model.manifest.require_reference().labels,
        ranges=model.manifest.require_reference().ranges,
        shares=dict.fromkeys(names, cumulative) if shares else {},
    )
    training = model.manifest.training.model_copy(update={"rows": rows})
    changed = model.manifest.model_dump() | {"reference": reference.model_dump(), "training": training.model_dump()}
    return Bins(Manifest.model_validate(changed))


def first_feature_index(bins: Bins, rows: Array) -> float:
    """The index of the first feature over ``rows``."""
    variable = next(iter(bins.features.values()))
    cells = bins.bin_predicted(rows, np.zeros(len(rows), np.intp))
    return stability_index(
        variable.training_shares, np.bincount(cells[:, 0], minlength=variable.cells.stop)[variable.cells]
    )


@pytest.mark.parametrize("levels", [(0.7, 0.3), (0.005, 0.995), (0.995, 0.005), (0.33, 0.33, 0.34), (0.1,) * 10])
def test_values_that_many_rows_share_are_no_shift(model: Model, levels: tuple[float, ...]) -> None:
    """Counts, yes and no, marks from one to ten: rows like the training rows do not look shifted, others do."""
    rng = np.random.default_rng(3)
    values = rng.choice(len(levels), 24_000, p=np.array(levels) / sum(levels)).astype(np.float64)
    bins = bins_of_values(model, values, shares=True)

    def index(recent: NDArray[np.float64]) -> float:
        return first_feature_index(bins, np.repeat(recent[:, np.newaxis], len(model.features), axis=1).astype("f4"))

    assert index(rng.choice(values, 1_000)) < 0.05
    assert index(np.full(1_000, levels.index(min(levels)))) > 0.2


@pytest.mark.parametrize("training_rows", [20, 40, 100])
def test_a_model_trained_on_few_rows_raises_no_false_alarm(model: Model, training_rows: int) -> None:
    """The quantiles of a few rows are uncertain, which the limit has to allow for: one alarm in 1,000 at most."""
    rng = np.random.default_rng(training_rows)
    alarms = 0
    for _ in range(100):
        bins = bins_of_values(model, rng.normal(size=training_rows), shares=True, rows=training_rows)
        variable = next(iter(bins.features.values()))
        for _ in range(10):
            rows = rng.normal(size=(200, 1)).astype(np.float32).repeat(len(model.features), axis=1)
            alarms += first_feature_index(bins, rows) >= shift_limit(bins, variable, 200, min_psi=0.2)
    assert alarms <= 1


@pytest.mark.parametrize("value", [0, 2])
def test_a_constant_feature_has_shifted_once_it_varies(model: Model, value: int) -> None:
    """Whether it falls or rises."""
    bins = bins_of_values(model, np.ones(1_000), shares=True)
    assert first_feature_index(bins, np.full((1_000, len(model.features)), value, np.float32)) > 0.2


def test_a_repeated_quantile_is_no_edge_without_shares(model: Model) -> None:
    """A manifest without shares does not say how many rows lie below a value that several quantiles fall on."""
    reference = model.manifest.require_reference().model_dump(exclude={"shares"})
    bins = Bins(Manifest.model_validate(model.manifest.model_dump() | {"reference": reference}))
    assert len(bins.features["ear_length_cm"].edges) == 6
    assert bins.features["ear_length_cm"].training_shares[0] == pytest.approx(0.25, abs=1e-3)


def test_chance_alone_raises_no_alarm(bins: Bins, model: Model) -> None:
    """At most one in a thousand of 5,000 windows of unshifted animals looks shifted, with few rows or many."""
    rng = np.random.default_rng(20_11)
    pool = sampled_animals.unshifted(100_000, 4).rows
    cells = bins.bin_predicted(pool, model.outputs(pool).argmax(axis=1))
    variables = [*bins.features.values(), *bins.outputs.values()]
    for rows in (100, 200, 1_000):
        limits = [shift_limit(bins, variable, rows, 0.2) for variable in variables]
        alarms = 0
        for _ in range(WINDOWS):
            drawn = cells[rng.integers(len(cells), size=rows)]
            counts = np.bincount(drawn.ravel(), minlength=count_cells(model.manifest))
            alarms += any(
                stability_index(variable.training_shares, counts[variable.cells]) >= limit
                for variable, limit in zip(variables, limits, strict=True)
            )
        assert alarms <= WINDOWS / 1_000


def test_few_rows_need_a_greater_shift(bins: Bins) -> None:
    """The limit is the setting's for a whole window, and more where chance alone reaches that."""
    mass = bins.features["body_mass_kg"]
    assert shift_limit(bins, mass, 1_000, 0.2) == 0.2
    assert shift_limit(bins, mass, 100, 0.2) == chance_limit(mass.degrees_of_freedom, 100, 24_000, 9) > 0.4
    # Chi-square of 9 degrees of freedom exceeds 33.6 in one of 9,000 cases; the safety factor is 1.5.
    assert chance_limit(9, 1_000, 10**9, 9) == pytest.approx(1.5 * 33.6 / 1_000, rel=0.01)
