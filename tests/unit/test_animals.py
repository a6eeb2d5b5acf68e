"""Facts to individuals: the sampling laws."""

from pathlib import Path

import numpy as np
import pytest

from models import animals
from models.animals import FEATURES, LABELS, TAIL, TEMPERATURE, Animals
from models.dataset import Integers
from models.errors import DataError

COUNT = 20_000


@pytest.fixture(scope="module")
def facts() -> Animals:
    return animals.read()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def every(facts: Animals) -> Integers:
    return np.arange(len(facts.groups))


def test_facts_are_203_rows_of_eight_measurements_whose_hashes_are_known(facts: Animals) -> None:
    """The table is whole, and what it was read from can be told again."""
    assert facts.means.shape == facts.sds.shape == facts.derived.shape == (203, 8)
    assert np.bincount(facts.group_labels).tolist() == [46, 69, 12, 76]
    assert facts.facts.keys() == {"traits.csv", "sources.csv"}
    assert facts.basis_counts().total() == 203 * 8


def test_means_and_spreads_are_recovered(rng: np.random.Generator) -> None:
    """Many individuals of one row have its mean and SD, before anyone looks at them, however widely they vary."""
    means = np.tile([20.0, 50.0, 55.0, 30.0, 20.0, 12.0, 10.0, 38.4], (COUNT, 1))
    sds = means * [0.4, 0.1, 0.2, 0.35, 0.3, 0.1, 0.2, 0.01]
    drawn = animals.individuals(means, sds, rng)
    assert drawn.mean(axis=0) == pytest.approx(means[0], rel=0.01)
    assert drawn.std(axis=0) == pytest.approx(sds[0], rel=0.04)


@pytest.mark.parametrize(("first", "second", "expected"), [(0, 1, 0.9 * 0.65), (1, 2, 0.65**2), (0, TEMPERATURE, 0.0)])
def test_size_moves_mass_and_lengths_together(
    rng: np.random.Generator, first: int, second: int, expected: float
) -> None:
    """Logs of two measurements correlate by the product of their loads on the size score; warmth has none."""
    means = np.full((COUNT, 8), 30.0)
    drawn = np.log(animals.individuals(means, 0.1 * means, rng))
    assert np.corrcoef(drawn[:, first], drawn[:, second])[0, 1] == pytest.approx(expected, abs=0.02)


def test_a_bobtail_has_nothing_to_do_with_size(rng: np.random.Generator) -> None:
    """A tail whose coefficient of variation is above 0.30 varies on its own."""
    means = np.full((COUNT, 8), 30.0)
    sds = 0.1 * means
    sds[:, TAIL] = 0.4 * means[:, TAIL]
    drawn = np.log(animals.individuals(means, sds, rng))
    assert np.corrcoef(drawn[:, 0], drawn[:, TAIL])[0, 1] == pytest.approx(0, abs=0.02)


def test_the_observer_errs_by_four_percent_and_a_fifth_of_a_degree(rng: np.random.Generator) -> None:
    """Lengths and mass are misread in proportion, temperature by so many degrees."""
    values = np.full((COUNT, 8), 30.0)
    read = animals.observe(values, rng)
    assert np.log(read[:, :TEMPERATURE] / 30).std(axis=0) == pytest.approx(np.full(7, 0.04), rel=0.03)
    assert read[:, TEMPERATURE].std() == pytest.approx(0.2, rel=0.03)


@pytest.mark.parametrize("kind", ["individuals", "varied", "stressed"])
def test_samples_are_balanced_within_bounds_and_in_no_order(
    facts: Animals, rng: np.random.Generator, kind: str
) -> None:
    """Classes equally often, rows of a class equally often, nothing outside the hard bounds, no ears on lizards."""
    sample = getattr(facts, kind)(every(facts), COUNT, rng)
    assert np.bincount(sample.labels).tolist() == [COUNT // 4] * 4
    for label in range(len(LABELS)):
        times = np.bincount(sample.groups[sample.labels == label])
        assert np.ptp(times[times > 0]) <= 1
    assert (facts.group_labels[sample.groups] == sample.labels).all()
    assert (sample.rows >= np.array([feature.minimum for feature in FEATURES], np.float32)).all()
    assert (sample.rows <= np.array([feature.maximum for feature in FEATURES], np.float32)).all()
    assert (sample.rows[sample.labels == LABELS.index("lizard"), 6] == 0).all()
    assert 0.2 < (np.diff(sample.labels) == 0).mean() < 0.3


def test_only_the_asked_rows_are_drawn(facts: Animals, rng: np.random.Generator) -> None:
    """What is held apart is never sampled."""
    some = np.array([0, 1, 60, 120, 203 - 1])
    assert set(facts.varied(some, 1000, rng).groups) == set(some)


def test_stress_is_one_error_a_row_on_derived_cells_alone(facts: Animals, rng: np.random.Generator) -> None:
    """A row's mean is off by about 8 % where it was derived and right where it was measured."""
    sample = facts.stressed(every(facts), 300 * len(facts.groups), rng)
    ratios = [
        (sample.rows[sample.groups == row].mean(axis=0) / np.maximum(facts.means[row], 1e-9))[:7]
        for row in range(len(facts.groups))
    ]
    off = np.log(np.maximum(ratios, 1e-9))
    derived = facts.derived[:, :7] & (facts.means[:, :7] > 0)
    exact = ~facts.derived[:, :7] & (facts.means[:, :7] > 0)
    assert off[derived].std() == pytest.approx(0.08, abs=0.01)
    assert off[exact].std() < 0.02


def test_variety_bobs_a_fifth_of_the_mammals_tails(rng: np.random.Generator) -> None:
    """Virtual breeds of mammals have a bobtail now and then; those of lizards never."""
    labels = np.repeat([0, LABELS.index("lizard")], COUNT)
    factors = animals.variety(labels, rng)
    tail = factors[:, TAIL] / factors[:, 1]
    assert (tail[:COUNT] < 0.6).mean() == pytest.approx(0.2 * 0.55 / 0.95, abs=0.02)
    assert (tail[COUNT:] < 0.6).mean() == 0
    assert (factors[:, TEMPERATURE] == 1).all()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("cat,Abyssinian,foreign,,4.0", "cat,Abyssinian,foreign,,heavy", "line 2 of traits.csv"),
        ("cat,Abyssinian,foreign,,4.0", "cat,Abyssinian,foreign,,-4.0", "line 2 of traits.csv"),
        ("cat,Abyssinian", "cow,Abyssinian", "line 2 of traits.csv"),
        ("body_mass_kg_mean", "mass", "line 2 of traits.csv"),
        ("llama,", "lizard,", "no row of class llama"),
    ],
)
def test_a_broken_table_of_facts_is_refused(tmp_path: Path, old: str, new: str, said: str) -> None:
    """The sentence names the line."""
    for name in (animals.TRAITS, animals.SOURCES):
        (tmp_path / name).write_text((animals.HERE / name).read_text().replace(old, new))
    with pytest.raises(DataError, match=said):
        animals.read(tmp_path)


def test_missing_facts_are_refused(tmp_path: Path) -> None:
    """The sentence names the file."""
    with pytest.raises(DataError, match=r"traits\.csv"):
        animals.read(tmp_path)
