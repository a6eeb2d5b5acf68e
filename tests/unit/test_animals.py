"""Individuals sampled from the facts have the documented distributions."""

from pathlib import Path

import numpy as np
import pytest

from models import animals
from models.animals import FEATURES, LABELS, MASS, TAIL, TEMPERATURE, Animals
from models.dataset import Integers
from models.errors import DataError

COUNT = 20_000


@pytest.fixture(scope="module")
def facts() -> Animals:
    return Animals.read()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def all_groups(facts: Animals) -> Integers:
    return np.arange(len(facts.groups))


def test_facts_are_203_rows_of_eight_measurements(facts: Animals) -> None:
    """The table is complete, and the hashes of its source files are known."""
    assert facts.means.shape == facts.sds.shape == facts.is_derived.shape == (203, 8)
    assert np.bincount(facts.group_labels).tolist() == [46, 69, 12, 76]
    assert facts.source_hashes.keys() == {"traits.csv", "sources.csv"}
    assert facts.count_basis_codes().total() == 203 * 8


def test_means_and_spreads_are_recovered(rng: np.random.Generator) -> None:
    """Before measurement error, many individuals of one row have its mean and SD, even if the SD is large."""
    means = np.tile([20.0, 50.0, 55.0, 30.0, 20.0, 12.0, 10.0, 38.4], (COUNT, 1))
    sds = means * [0.4, 0.1, 0.2, 0.35, 0.3, 0.1, 0.2, 0.01]
    drawn = animals.draw_individuals(means, sds, rng)
    assert drawn.mean(axis=0) == pytest.approx(means[0], rel=0.01)
    assert drawn.std(axis=0) == pytest.approx(sds[0], rel=0.04)


@pytest.mark.parametrize(("first", "second", "expected"), [(0, 1, 0.9 * 0.65), (1, 2, 0.65**2), (0, TEMPERATURE, 0.0)])
def test_size_moves_mass_and_lengths_together(
    rng: np.random.Generator, first: int, second: int, expected: float
) -> None:
    """Logs of two measurements correlate by the product of their size correlations; that of temperature is 0."""
    means = np.full((COUNT, 8), 30.0)
    drawn = np.log(animals.draw_individuals(means, 0.1 * means, rng))
    assert np.corrcoef(drawn[:, first], drawn[:, second])[0, 1] == pytest.approx(expected, abs=0.02)


def test_a_bobtails_length_does_not_depend_on_size(rng: np.random.Generator) -> None:
    """A tail whose coefficient of variation is above 0.30 varies independently."""
    means = np.full((COUNT, 8), 30.0)
    sds = 0.1 * means
    sds[:, TAIL] = 0.4 * means[:, TAIL]
    drawn = np.log(animals.draw_individuals(means, sds, rng))
    assert np.corrcoef(drawn[:, 0], drawn[:, TAIL])[0, 1] == pytest.approx(0, abs=0.02)


def test_measurement_error_is_four_percent_and_a_fifth_of_a_degree(rng: np.random.Generator) -> None:
    """The error of lengths and mass is relative, that of temperature absolute."""
    values = np.full((COUNT, 8), 30.0)
    measured = animals.add_measurement_error(values, rng)
    assert np.log(measured[:, :TEMPERATURE] / 30).std(axis=0) == pytest.approx(np.full(7, 0.04), rel=0.03)
    assert measured[:, TEMPERATURE].std() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("method", ["sample", "sample_augmented", "sample_stressed"])
def test_samples_are_balanced_within_bounds_and_shuffled(facts: Animals, rng: np.random.Generator, method: str) -> None:
    """Labels equally often, rows of a label equally often, nothing outside the hard bounds, no ears on lizards."""
    sample = getattr(facts, method)(all_groups(facts), COUNT, rng)
    assert np.bincount(sample.labels).tolist() == [COUNT // 4] * 4
    for label in range(len(LABELS)):
        counts = np.bincount(sample.groups[sample.labels == label])
        assert np.ptp(counts[counts > 0]) <= 1
    assert (facts.group_labels[sample.groups] == sample.labels).all()
    assert (sample.rows >= np.array([feature.minimum for feature in FEATURES], np.float32)).all()
    assert (sample.rows <= np.array([feature.maximum for feature in FEATURES], np.float32)).all()
    assert (sample.rows[sample.labels == LABELS.index("lizard"), 6] == 0).all()
    assert 0.2 < (np.diff(sample.labels) == 0).mean() < 0.3


def test_only_the_given_groups_are_sampled(facts: Animals, rng: np.random.Generator) -> None:
    """Holdout groups never appear in a training sample."""
    groups = np.array([0, 1, 60, 120, 203 - 1])
    assert set(facts.sample_augmented(groups, 1000, rng).groups) == set(groups)


def test_stress_is_one_error_per_row_on_derived_cells_only(facts: Animals, rng: np.random.Generator) -> None:
    """The error of a row's mean is about 8 % if the mean was derived, and 0 if it was measured."""
    sample = facts.sample_stressed(all_groups(facts), 300 * len(facts.groups), rng)
    ratios = [
        (sample.rows[sample.groups == row].mean(axis=0) / np.maximum(facts.means[row], 1e-9))[:7]
        for row in range(len(facts.groups))
    ]
    errors = np.log(np.maximum(ratios, 1e-9))
    derived = facts.is_derived[:, :7] & (facts.means[:, :7] > 0)
    exact = ~facts.is_derived[:, :7] & (facts.means[:, :7] > 0)
    assert errors[derived].std() == pytest.approx(0.08, abs=0.01)
    assert errors[exact].std() < 0.02


@pytest.mark.parametrize("label", range(len(LABELS)))
def test_virtual_breeds_vary_in_size_and_shape(rng: np.random.Generator, label: int) -> None:
    """The factors of lengths have the label's SDs, size is cubed in the mass, and the temperature stays."""
    factors = np.log(animals.draw_breed_factors(np.full(COUNT, label), rng))
    size, shape = animals.BREED_SIZE_SD[label], animals.BREED_SHAPE_SD[label]
    assert factors[:, [1, 2, 5]].std(axis=0) == pytest.approx(np.full(3, np.hypot(size, shape)), rel=0.03)
    assert factors[:, MASS].std() == pytest.approx(np.hypot(3 * size, shape), rel=0.03)
    assert (factors[:, 2] - factors[:, 5]).std() == pytest.approx(shape * np.sqrt(2), rel=0.03)
    assert (factors[:, TEMPERATURE] == 0).all()


@pytest.mark.parametrize("shortening", animals.SHORTENINGS)
@pytest.mark.parametrize("label", range(len(LABELS)))
def test_a_share_of_virtual_breeds_has_a_shorter_part(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, shortening: animals.Shortening, label: int
) -> None:
    """Between the shortest and the full length, all equally likely, for the share of the label."""
    monkeypatch.setattr(animals, "BREED_SHAPE_SD", np.zeros(4))
    factors = animals.draw_breed_factors(np.full(COUNT, label), rng)
    shortened = factors[:, shortening.feature] / factors[:, 1]
    share, middle = shortening.shares[label], (1 + shortening.shortest) / 2
    assert (shortened < 1 - 1e-9).mean() == pytest.approx(share, abs=0.01)
    assert (shortened < middle).mean() == pytest.approx(share / 2, abs=0.01)
    assert shortened.min() >= (shortening.shortest if share else 1) - 1e-9


def test_extremes_are_the_heaviest_lightest_and_most_unusual_groups_of_each_label(facts: Animals) -> None:
    """The split is the same every time, and no label is without training groups."""
    training, extremes = facts.split_extremes()
    assert sorted([*training, *extremes]) == list(all_groups(facts))
    assert np.bincount(facts.group_labels[extremes]).tolist() == [5, 9, 3, 11]
    names = {facts.groups[group] for group in extremes}
    assert names >= {"Savannah", "Domestic cat female (Fisher 1947)", "Cymric"}
    assert names >= {"Mastiff", "Pomeranian", "Boston Terrier"}
    assert names >= {"North American pack llama (ccara)", "Cria at birth (Goettingen)"}
    assert names >= {"Varanus giganteus (perentie)", "Psammodromus hispanicus", "Pseudopus apodus"}


def test_unusual_proportions_do_not_depend_on_size(rng: np.random.Generator) -> None:
    """One breed of twenty has a short tail; it is found whatever its size is."""
    means = np.exp(0.02 * rng.standard_normal((20, 8))) * [4, 25, 33, 28, 10, 7, 6, 38.6]
    means[7, TAIL] /= 2
    means *= rng.uniform(0.5, 2, (20, 1)) ** [3, *[1] * 6, 0]
    expected = {7, means[:, MASS].argmax(), means[:, MASS].argmin()}
    assert set(animals.find_extremes(means)) == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("cat,Abyssinian,foreign,,4.0", "cat,Abyssinian,foreign,,heavy", "line 2 of traits.csv"),
        ("cat,Abyssinian,foreign,,4.0", "cat,Abyssinian,foreign,,-4.0", "line 2 of traits.csv"),
        ("cat,Abyssinian", "cow,Abyssinian", "line 2 of traits.csv"),
        ("body_mass_kg_mean", "mass", "line 2 of traits.csv"),
        ("llama,", "lizard,", "no row of class llama"),
    ],
)
def test_a_broken_table_of_facts_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    """The error names the line or the missing class."""
    for name in (animals.TRAITS, animals.SOURCES):
        (tmp_path / name).write_text((animals.FOLDER / name).read_text().replace(old, new))
    with pytest.raises(DataError, match=message):
        Animals.read(tmp_path)


def test_missing_facts_are_refused(tmp_path: Path) -> None:
    """The error names the file."""
    with pytest.raises(DataError, match=r"traits\.csv"):
        Animals.read(tmp_path)
