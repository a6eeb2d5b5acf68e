"""Cats, dogs, llamas and lizards, sampled from published means and standard deviations.

``models/README.md`` has the sampling distributions, the origin of the facts and their limits.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.dataset import Integers, Sample
from models.errors import DataError
from models.feature import Feature

Doubles = NDArray[np.float64]
Codes = tuple[str, ...]

FOLDER = Path(__file__).resolve().parent
TRAITS = "traits.csv"
SOURCES = "sources.csv"

LABELS = ("cat", "dog", "llama", "lizard")
FEATURES = tuple(
    Feature(name=name, unit=unit, minimum=minimum, maximum=maximum, how=how)
    for name, unit, minimum, maximum, how in (
        ("body_mass_kg", "kg", 0.0005, 300, "scale"),
        ("shoulder_height_cm", "cm", 0.2, 150, "ground to top of the shoulder (withers), standing"),
        ("trunk_length_cm", "cm", 1, 200, "point of shoulder to base of tail; lizard: axilla to vent"),
        ("tail_length_cm", "cm", 0, 250, "base of tail (vent) to tip, without hair; 0 = tailless"),
        ("head_length_cm", "cm", 0.3, 60, "tip of nose to back of skull"),
        ("head_width_cm", "cm", 0.2, 40, "widest point across the cheekbones"),
        ("ear_length_cm", "cm", 0, 45, "outer ear, base to tip; lizards have none: 0"),
        ("body_temperature_c", "°C", 5, 45, "rectal or cloacal thermometer; lizard: active body temperature"),
    )
)
MASS, TAIL, HEAD_LENGTH, EAR, TEMPERATURE = 0, 3, 4, 6, 7  # indices of features
_MINIMUM = np.array([feature.minimum for feature in FEATURES])
_MAXIMUM = np.array([feature.maximum for feature in FEATURES])

SIZE_CORRELATION = np.array([0.9, *[0.65] * 6, 0.0])
BOBTAIL_CV = 0.30
OBSERVER_ERROR = 0.04  # log-normal, on mass and every length
THERMOMETER_ERROR = 0.2  # °C

# Augmentation with virtual breeds: a log-normal factor on all lengths (its cube on the mass), another on each
# measurement, and for some a part that is much shorter. docs/decisions/0018 has the evaluation of these values, which
# are by label.
BREED_SIZE_SD = np.array([0.20, 0.20, 0.20, 0.40])
BREED_SHAPE_SD = np.array([0.06, 0.06, 0.06, 0.12])
LABEL_WEIGHTS = (1.0, 2.0, 1.0, 1.0)


class Shortening(NamedTuple):
    """A feature that is shorter in a share of the virtual breeds, which is by label: down to ``shortest`` of it."""

    feature: int
    shares: tuple[float, ...]
    shortest: float


SHORTENINGS = (
    Shortening(TAIL, (0.2, 0.2, 0.2, 0.2), 0.05),  # bobtails; lizards also lose their tails
    Shortening(EAR, (0.1, 0.1, 0.1, 0.0), 0.3),  # folded ears
    Shortening(HEAD_LENGTH, (0.0, 0.2, 0.0, 0.0), 0.6),  # short muzzles, which many breeds of dogs have
)

STRESS_SD = 0.08
EXTREMES_SHARE = 0.05  # of each label's rows, the heaviest; as many of the lightest and of the most unusual
DERIVED_CODES = frozenset({"a", "t", "u", "e", "m/a"})


@dataclass(frozen=True)
class Animals:
    """The dataset of animals: a row of facts for each breed, species or population; means and SDs are [rows, 8]."""

    groups: tuple[str, ...]
    group_labels: Integers
    means: Doubles
    sds: Doubles
    basis: tuple[Codes, ...]
    sources: tuple[Codes, ...]  # keys in ``sources.csv`` of each row, without duplicates
    source_hashes: dict[str, str]

    description = "individuals sampled from published means and standard deviations of breeds, species and populations"
    features = FEATURES
    labels = LABELS
    label_weights = LABEL_WEIGHTS
    is_grouped = True
    is_sampled = True

    @classmethod
    def read(cls, folder: Path = FOLDER) -> "Animals":
        """Read the facts in ``traits.csv``, and hash them and ``sources.csv``.

        Raises:
            DataError: a file is missing, or a line of the table is invalid.
        """
        try:
            contents = {name: (folder / name).read_bytes() for name in (TRAITS, SOURCES)}
            reader = csv.DictReader(contents[TRAITS].decode().splitlines())
            rows = [_parse_row(line, reader.line_num) for line in reader]
        except OSError as error:
            raise DataError(
                f"cannot read {error.filename} ({error.strerror}): restore it from the repository"
            ) from None
        except UnicodeDecodeError:
            raise DataError(f"{folder / TRAITS} is not UTF-8: restore it from the repository") from None
        missing = [label for label in LABELS if label not in {row[0] for row in rows}]
        if missing:
            raise DataError(f"{folder / TRAITS} has no row of class {missing[0]}: restore it from the repository")
        labels, names, means, sds, basis, sources = zip(*rows, strict=True)
        hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        group_labels = np.array([LABELS.index(label) for label in labels])
        return cls(names, group_labels, np.array(means), np.array(sds), basis, sources, hashes)

    @cached_property
    def is_derived(self) -> NDArray[np.bool_]:
        """Whether each mean follows from a formula or a judgement instead of a source, [rows, 8]."""
        return np.array([[code in DERIVED_CODES for code in row] for row in self.basis])

    def count_basis_codes(self) -> Counter[str]:
        """Count the table's cells by basis code."""
        return Counter(code for row in self.basis for code in row)

    def sample(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """Sample individuals: each label equally often, and each group of a label equally often."""
        return self._sample(self._draw_groups(groups, count, rng), lambda drawn: np.ones((len(drawn), 8)), rng)

    def sample_augmented(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """As `sample`, but each individual is of a virtual breed that differs a little in size and shape."""
        drawn = self._draw_groups(groups, count, rng)
        return self._sample(drawn, lambda drawn: draw_breed_factors(self.group_labels[drawn], rng), rng)

    def sample_stressed(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """As `sample`, but every derived mean has a log-normal error of 8 %, the same for all of its individuals."""
        errors = np.exp(STRESS_SD * rng.standard_normal(self.means.shape) * self.is_derived)
        return self._sample(self._draw_groups(groups, count, rng), lambda drawn: errors[drawn], rng)

    def split_extremes(self) -> tuple[Integers, Integers]:
        """Split groups into (training groups, the heaviest, lightest and most unusual groups of each label)."""
        by_label = (np.flatnonzero(self.group_labels == label) for label in range(len(LABELS)))
        extremes = np.concatenate([groups[find_extremes(self.means[groups])] for groups in by_label])
        return np.setdiff1d(np.arange(len(self.groups)), extremes), extremes

    def _draw_groups(self, groups: Integers, count: int, rng: np.random.Generator) -> Integers:
        """Draw a group for each of ``count`` individuals, in random order."""
        present = np.unique(self.group_labels[groups])
        counts = [count // len(present) + (i < count % len(present)) for i in range(len(present))]
        drawn = [
            rng.permutation(np.resize(rng.permutation(groups[self.group_labels[groups] == label]), n))
            for label, n in zip(present, counts, strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))

    def _sample(
        self, groups: Integers, draw_factors: Callable[[Integers], Doubles], rng: np.random.Generator
    ) -> Sample:
        """Sample an individual for each of ``groups`` [n], with means multiplied by ``draw_factors(groups)`` [n, 8].

        What falls outside the hard bounds is drawn again, factors included.
        """
        rows = np.full((len(groups), 8), np.nan)
        pending = np.arange(len(groups))
        for _ in range(1000):
            drawn = groups[pending]
            factors = draw_factors(drawn)
            sd_factors = np.where(np.arange(8) == TEMPERATURE, 1, factors)
            values = draw_individuals(self.means[drawn] * factors, self.sds[drawn] * sd_factors, rng)
            rows[pending] = add_measurement_error(values, rng)
            pending = pending[((rows[pending] < _MINIMUM) | (rows[pending] > _MAXIMUM)).any(axis=1)]
            if not len(pending):
                return Sample(rows.astype(np.float32), self.group_labels[groups], groups)
        name = self.groups[groups[pending[0]]]
        raise DataError(f"no sampled individual of {name} is within the bounds: correct its means in {TRAITS}")


def draw_breed_factors(labels: Integers, rng: np.random.Generator) -> Doubles:
    """Draw factors [n, 8] that turn the means of breeds with ``labels`` [n] into those of virtual breeds."""
    count = len(labels)
    size = BREED_SIZE_SD[labels, None] * rng.standard_normal((count, 1)) * np.array([3, *[1] * 6, 0])
    shape = BREED_SHAPE_SD[labels, None] * rng.standard_normal((count, 8)) * (np.arange(8) != TEMPERATURE)
    factors: Doubles = np.exp(size + shape)
    for feature, shares, shortest in SHORTENINGS:
        is_shorter = rng.random(count) < np.array(shares)[labels]
        factors[is_shorter, feature] *= rng.uniform(shortest, 1, is_shorter.sum())
    return factors


def find_extremes(means: Doubles) -> Integers:
    """Find the heaviest, the lightest and the most unusual of breeds with ``means`` [n, 8], 5 % of them each.

    The most unusual ones are farthest from the mean in proportions: by the Mahalanobis distance of the logarithms of
    mass and lengths, less their mean in each row. Temperature and what some of the breeds lack are left out.
    """
    present = (means > 0).all(axis=0) & (np.arange(8) != TEMPERATURE)
    logs = np.log(means[:, present])
    logs[:, MASS] /= 3
    proportions = logs - logs.mean(axis=1, keepdims=True)
    deviations = proportions - proportions.mean(axis=0)
    inverse = np.linalg.pinv(np.cov(deviations.T), rcond=1e-6)  # the covariance is singular: each row's sum is 0
    distances = np.einsum("ij,jk,ik->i", deviations, inverse, deviations)
    count = max(1, round(EXTREMES_SHARE * len(means)))
    orders = (np.argsort(score, kind="stable")[:count] for score in (-means[:, MASS], means[:, MASS], -distances))
    return np.unique(np.concatenate(list(orders)))


def draw_individuals(means: Doubles, sds: Doubles, rng: np.random.Generator) -> Doubles:
    """Draw an individual for each row of means and SDs, [n, 8]; a size score z correlates mass and lengths.

    ``value = mean exp(s (rho z + sqrt(1 - rho^2) e) - s^2/2)`` with ``s = sqrt(log(1 + (sd/mean)^2))``; body
    temperature is normal. A mean of 0 stays 0.
    """
    cv = np.divide(sds, means, out=np.zeros_like(means), where=means > 0)
    s = np.sqrt(np.log1p(cv**2))
    rho = np.broadcast_to(SIZE_CORRELATION, means.shape).copy()
    rho[cv[:, TAIL] > BOBTAIL_CV, TAIL] = 0  # the length of a bobtail does not depend on size
    e = rng.standard_normal(means.shape)
    values: Doubles = means * np.exp(
        s * (rho * rng.standard_normal((len(means), 1)) + np.sqrt(1 - rho**2) * e) - s**2 / 2
    )
    values[:, TEMPERATURE] = means[:, TEMPERATURE] + sds[:, TEMPERATURE] * e[:, TEMPERATURE]
    return values


def add_measurement_error(values: Doubles, rng: np.random.Generator) -> Doubles:
    """Add a log-normal error of 4 % to mass and lengths and one of 0.2 °C to temperatures, [n, 8]."""
    error = rng.standard_normal(values.shape)
    measured: Doubles = values * np.exp(OBSERVER_ERROR * error)
    measured[:, TEMPERATURE] = values[:, TEMPERATURE] + THERMOMETER_ERROR * error[:, TEMPERATURE]
    return measured


def _parse_row(line: dict[str, str], number: int) -> tuple[str, str, list[float], list[float], Codes, Codes]:
    try:
        means = [float(line[f"{feature.name}_mean"]) for feature in FEATURES]
        sds = [float(line[f"{feature.name}_sd"]) for feature in FEATURES]
        basis = tuple(cell.split(":")[1] for cell in line["basis"].split(";"))
        sources = tuple(dict.fromkeys(line["source"].split(";")))
        is_valid = line["class"] in LABELS and len(basis) == len(FEATURES) and np.isfinite([*means, *sds]).all()
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        is_valid = False
    if not is_valid or min(*means, *sds) < 0:
        raise DataError(f"line {number} of {TRAITS} is not a valid row of facts: restore the file from the repository")
    return line["class"], line["name"], means, sds, basis, sources
