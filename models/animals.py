"""Cats, dogs, llamas and lizards: from published means and spreads to sampled individuals.

The sampling laws are those of ``models/README.md``, where the facts' origin and limits are told too.
"""

import csv
import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.dataset import Integers, Sample
from models.errors import DataError
from models.manifest import Feature

Doubles = NDArray[np.float64]

HERE = Path(__file__).resolve().parent
TRAITS = "traits.csv"
SOURCES = "sources.csv"

LABELS = ("cat", "dog", "llama", "lizard")
FEATURES = (
    Feature(name="body_mass_kg", unit="kg", minimum=0.0005, maximum=300, how="scale"),
    Feature(
        name="shoulder_height_cm",
        unit="cm",
        minimum=0.2,
        maximum=150,
        how="ground to top of the shoulder (withers), standing",
    ),
    Feature(
        name="trunk_length_cm",
        unit="cm",
        minimum=1,
        maximum=200,
        how="point of shoulder to base of tail; lizard: axilla to vent",
    ),
    Feature(
        name="tail_length_cm",
        unit="cm",
        minimum=0,
        maximum=250,
        how="base of tail (vent) to tip, without hair; 0 = tailless",
    ),
    Feature(name="head_length_cm", unit="cm", minimum=0.3, maximum=60, how="tip of nose to back of skull"),
    Feature(name="head_width_cm", unit="cm", minimum=0.2, maximum=40, how="widest point across the cheekbones"),
    Feature(name="ear_length_cm", unit="cm", minimum=0, maximum=45, how="outer ear, base to tip; lizards have none: 0"),
    Feature(
        name="body_temperature_c",
        unit="°C",
        minimum=5,
        maximum=45,
        how="rectal or cloacal thermometer; lizard: active body temperature",
    ),
)
MASS, TAIL, TEMPERATURE = 0, 3, 7
_MINIMUM = np.array([feature.minimum for feature in FEATURES])
_MAXIMUM = np.array([feature.maximum for feature in FEATURES])

SIZE_CORRELATION = np.array([0.9, *[0.65] * 6, 0.0])
BOBTAIL_CV = 0.30
OBSERVER_ERROR = 0.04  # log-normal, on mass and every length
THERMOMETER_ERROR = 0.2  # °C

# Breeds between and around the known ones: a common log-normal factor on every length (its cube on the mass), one of
# its own on each, and now and then a bobtail. docs/decisions/0002 has the figures.
SIZE_VARIETY = 0.20
SHAPE_VARIETY = 0.06
BOBTAIL_SHARE = 0.20
SHORTEST_BOBTAIL = 0.05
LABEL_WEIGHTS = (1.0, 4.0, 1.0, 1.0)

STRESS = 0.08
DERIVED = frozenset({"a", "t", "u", "e", "m/a"})


@dataclass(frozen=True)
class Animals:
    """The table of facts: one row a breed, species or population; means and SDs are [rows, 8]."""

    groups: tuple[str, ...]
    group_labels: Integers
    means: Doubles
    sds: Doubles
    basis: tuple[tuple[str, ...], ...]
    facts: dict[str, str]

    about = "individuals sampled from published means and standard deviations of breeds, species and populations"
    features = FEATURES
    labels = LABELS
    label_weights = LABEL_WEIGHTS
    grouped = True

    @cached_property
    def derived(self) -> NDArray[np.bool_]:
        """Which means follow from a formula or a judgement instead of a source, [rows, 8]."""
        return np.array([[code in DERIVED for code in row] for row in self.basis])

    def basis_counts(self) -> Counter[str]:
        """How many cells of the table have each basis code."""
        return Counter(code for row in self.basis for code in row)

    def individuals(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """``count`` individuals; classes equally often, rows of a class equally often."""
        return self._sample(self._draw(groups, count, rng), lambda drawn: np.ones((len(drawn), 8)), rng)

    def varied(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """The like, each of a breed of its own that is a little larger or smaller and a little otherwise built."""
        return self._sample(self._draw(groups, count, rng), lambda drawn: variety(self.group_labels[drawn], rng), rng)

    def stressed(self, groups: Integers, count: int, rng: np.random.Generator) -> Sample:
        """Individuals under the stress test: one log-normal error of 8 % a row on every derived cell."""
        errors = np.exp(STRESS * rng.standard_normal(self.means.shape) * self.derived)
        return self._sample(self._draw(groups, count, rng), lambda drawn: errors[drawn], rng)

    def _draw(self, groups: Integers, count: int, rng: np.random.Generator) -> Integers:
        """Rows of facts, in random order."""
        present = np.unique(self.group_labels[groups])
        share = [count // len(present) + (i < count % len(present)) for i in range(len(present))]
        drawn = [
            rng.permutation(np.resize(rng.permutation(groups[self.group_labels[groups] == label]), n))
            for label, n in zip(present, share, strict=True)
        ]
        return rng.permutation(np.concatenate(drawn))

    def _sample(self, drawn: Integers, factors: Callable[[Integers], Doubles], rng: np.random.Generator) -> Sample:
        """One individual for each drawn row, of means multiplied by ``factors(rows)``; none outside the hard bounds."""
        rows = np.full((len(drawn), 8), np.nan)
        outside = np.arange(len(drawn))
        for _ in range(1000):
            chosen = drawn[outside]
            change = factors(chosen)
            spread = np.where(np.arange(8) == TEMPERATURE, 1, change)
            rows[outside] = observe(individuals(self.means[chosen] * change, self.sds[chosen] * spread, rng), rng)
            outside = outside[((rows[outside] < _MINIMUM) | (rows[outside] > _MAXIMUM)).any(axis=1)]
            if not len(outside):
                return Sample(rows.astype(np.float32), self.group_labels[drawn], drawn)
        row = self.groups[drawn[outside[0]]]
        raise DataError(f"no individual of {row} falls inside the hard bounds: correct its means in {TRAITS}")


def variety(labels: Integers, rng: np.random.Generator) -> Doubles:
    """Factors on the means that make new breeds of known ones, one for each of ``labels`` [n]: [n, 8]."""
    count = len(labels)
    size = SIZE_VARIETY * rng.standard_normal((count, 1)) * np.array([3, *[1] * 6, 0])
    shape = SHAPE_VARIETY * rng.standard_normal((count, 8)) * (np.arange(8) != TEMPERATURE)
    factors: Doubles = np.exp(size + shape)
    bobtail = (rng.random(count) < BOBTAIL_SHARE) & (labels != LABELS.index("lizard"))
    factors[bobtail, TAIL] *= rng.uniform(SHORTEST_BOBTAIL, 1, bobtail.sum())
    return factors


def individuals(means: Doubles, sds: Doubles, rng: np.random.Generator) -> Doubles:
    """One animal for each row of means and SDs, [n, 8]: a size score that moves mass and lengths together.

    ``value = mean exp(s (rho z + sqrt(1 - rho^2) e) - s^2/2)`` with ``s = sqrt(log(1 + (sd/mean)^2))``; body
    temperature is normal. A mean of 0 stays 0.
    """
    cv = np.divide(sds, means, out=np.zeros_like(means), where=means > 0)
    s = np.sqrt(np.log1p(cv**2))
    rho = np.broadcast_to(SIZE_CORRELATION, means.shape).copy()
    rho[cv[:, TAIL] > BOBTAIL_CV, TAIL] = 0  # how much of a bobtail is left has nothing to do with its size
    own = rng.standard_normal(means.shape)
    values: Doubles = means * np.exp(
        s * (rho * rng.standard_normal((len(means), 1)) + np.sqrt(1 - rho**2) * own) - s**2 / 2
    )
    values[:, TEMPERATURE] = means[:, TEMPERATURE] + sds[:, TEMPERATURE] * own[:, TEMPERATURE]
    return values


def observe(values: Doubles, rng: np.random.Generator) -> Doubles:
    """What an observer reads, [n, 8]: 4 % log-normal error on mass and lengths, 0.2 °C on the thermometer."""
    error = rng.standard_normal(values.shape)
    read: Doubles = values * np.exp(OBSERVER_ERROR * error)
    read[:, TEMPERATURE] = values[:, TEMPERATURE] + THERMOMETER_ERROR * error[:, TEMPERATURE]
    return read


def read(folder: Path = HERE) -> Animals:
    """The facts in ``traits.csv`` beside ``sources.csv``.

    Raises:
        DataError: a file is missing, or a line of the table is not what it should be.
    """
    try:
        contents = {name: (folder / name).read_bytes() for name in (TRAITS, SOURCES)}
        table = csv.DictReader(contents[TRAITS].decode().splitlines())
        rows = [_row(line, table.line_num) for line in table]
    except OSError as error:
        raise DataError(f"cannot read {error.filename} ({error.strerror}): restore it from the repository") from None
    except UnicodeDecodeError:
        raise DataError(f"{folder / TRAITS} is not UTF-8: restore it from the repository") from None
    missing = [label for label in LABELS if label not in {row[0] for row in rows}]
    if missing:
        raise DataError(f"{folder / TRAITS} has no row of class {missing[0]}: restore it from the repository")
    labels, names, means, sds, basis = zip(*rows, strict=True)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
    return Animals(
        names, np.array([LABELS.index(label) for label in labels]), np.array(means), np.array(sds), basis, hashes
    )


def _row(line: dict[str, str], number: int) -> tuple[str, str, list[float], list[float], tuple[str, ...]]:
    try:
        means = [float(line[f"{feature.name}_mean"]) for feature in FEATURES]
        sds = [float(line[f"{feature.name}_sd"]) for feature in FEATURES]
        basis = tuple(cell.split(":")[1] for cell in line["basis"].split(";"))
        sound = line["class"] in LABELS and len(basis) == len(FEATURES) and np.isfinite([*means, *sds]).all()
    except (KeyError, ValueError, TypeError, IndexError, AttributeError):
        sound = False
    if not sound or min(*means, *sds) < 0:
        raise DataError(f"line {number} of {TRAITS} is no row of facts: restore it from the repository")
    return line["class"], line["name"], means, sds, basis
