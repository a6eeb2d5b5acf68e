"""The contract between training and serving: one trained model as a folder of files.

A bundle lies at ``<store>/<name>/<version>/`` and holds ``manifest.json``, which describes the model and
vouches for every other file with its size and SHA-256. Training publishes it whole or not at all; serving
reads it and believes nothing that the manifest does not vouch for. This module knows neither TensorFlow nor
Flask, so that both halves can share it.
"""

import hashlib
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

MANIFEST = "manifest.json"
CURRENT = "CURRENT"  # a file beside the versions that points at the one to serve
MODEL_KERAS = "model.keras"
MODEL_LITERT = "model.tflite"
WEIGHTS = "weights.json"
# Relative and absolute. Engines and processors differ by about 5e-7 in float32 arithmetic of this size.
GOLDEN_TOLERANCE = 1e-5
_MOST_OF_MANIFEST = 16_000_000  # bytes; the shipped one has 40,000

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
FileName = Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._/-]{0,199}$")]
Row = tuple[FiniteFloat, ...]


class BundleError(Exception):
    """A bundle cannot be found, trusted or written; the message names the file and the remedy."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Feature(_Record):
    """One input of the network, in raw units. A value outside ``minimum`` to ``maximum`` is not an input."""

    name: Annotated[str, Field(min_length=1, max_length=200)]
    unit: str = ""
    minimum: FiniteFloat
    maximum: FiniteFloat
    how: str = ""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        if self.minimum >= self.maximum:
            raise ValueError(f"feature {self.name}: minimum {self.minimum} is not below maximum {self.maximum}")
        return self


class Layer(_Record):
    """One layer of the network; its output, ``units`` wide, is exposed under ``name`` by every engine."""

    name: str
    units: Annotated[int, Field(ge=1)]
    activation: str


class Training(_Record):
    """Where the weights come from. ``facts`` maps each source file to the SHA-256 of its bytes."""

    about: str
    created: str
    rows: Annotated[int, Field(ge=1)]
    seed: int
    facts: dict[str, str]
    libraries: dict[str, str]
    settings: dict[str, Any] = {}


class Reference(_Record):
    """What the training rows looked like, for warnings and drift.

    ``features[name][i]`` is the quantile at ``probabilities[i]``, which run from 0 (the smallest training value)
    to 1 (the largest). ``labels`` gives the share of the training rows that the network gives each label, and
    ``ranges[label][name]`` the least and the greatest value of a feature among the training rows of a label.
    ``shares[name][i]`` is the share of them that is at most ``features[name][i]``: more than ``probabilities[i]`` where
    many rows have that very value. Bundles older than it have none.
    """

    probabilities: Row
    features: dict[str, Row]
    labels: dict[str, FiniteFloat]
    ranges: dict[str, dict[str, tuple[FiniteFloat, FiniteFloat]]]
    shares: dict[str, Row] = {}


class Golden(_Record):
    """One row in schema order and what every layer must answer to it, by layer name."""

    features: Row
    outputs: dict[str, Row]


class File(_Record):
    """What the manifest vouches for: a file's size in bytes and the SHA-256 of its content, in hex."""

    size: Annotated[int, Field(ge=0, le=2_000_000_000)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Manifest(_Record):
    """Everything about a model but its weights. Features and labels stand in the network's own order."""

    format: Literal[1] = 1
    name: Name
    version: Annotated[int, Field(ge=1, le=2**53)] = 1  # the most that all readers of JSON agree on
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    layers: Annotated[tuple[Layer, ...], Field(min_length=1)]
    training: Training
    metrics: dict[str, Any]
    reference: Reference
    golden: Annotated[tuple[Golden, ...], Field(min_length=1)]
    background: tuple[Row, ...]
    files: dict[FileName, File] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names in schema order."""
        return tuple(feature.name for feature in self.features)

    @property
    def golden_rows(self) -> NDArray[np.float32]:
        """The golden rows' inputs, [rows, features]."""
        return np.array([row.features for row in self.golden], np.float32)

    @model_validator(mode="after")
    def _parts_agree(self) -> Self:
        for what, values in (("feature", self.names), ("label", self.labels)):
            if len(set(values)) != len(values):
                raise ValueError(f"two {what}s have the same name")
        if self.layers[-1].units != len(self.labels):
            raise ValueError("the last layer is not as wide as there are labels")
        if any(len(row) != len(self.features) for row in (*self.background, *(g.features for g in self.golden))):
            raise ValueError("a golden or background row is not as wide as there are features")
        widths = {layer.name: layer.units for layer in self.layers}
        if any({name: len(out) for name, out in golden.outputs.items()} != widths for golden in self.golden):
            raise ValueError("a golden row does not have every layer's output at its width")
        reference = self.reference
        named = [reference.features, reference.shares or reference.features]
        if any(names != set(self.names) for names in (*map(set, named), *map(set, reference.ranges.values()))):
            raise ValueError("the reference statistics are not of these features")
        if not set(reference.labels) == set(reference.ranges) == set(self.labels):
            raise ValueError("the reference statistics are not of these labels")
        rows = (*reference.features.values(), *reference.shares.values())
        if any(len(row) != len(reference.probabilities) for row in rows):
            raise ValueError("a feature has not one reference quantile for each probability")
        return self


class GoldenMismatch(NamedTuple):
    """The index of a golden row and the name of a layer whose output differs from the manifest."""

    row: int
    layer: str


def find_golden_mismatch(
    manifest: Manifest, outputs: Mapping[str, ArrayLike], *, rows: int | None = None
) -> GoldenMismatch | None:
    """Compare a network's outputs with the golden rows, within `GOLDEN_TOLERANCE`; None if all agree.

    ``outputs`` maps each layer's name to an array [rows, units]. If ``rows`` is given, the network's input was the
    golden rows repeated up to that number. An array of another shape counts as a mismatch in row 0.
    """
    for layer in manifest.layers:
        actual = np.asarray(outputs[layer.name])
        golden = np.array([row.outputs[layer.name] for row in manifest.golden])
        expected = np.resize(golden, (rows or len(golden), layer.units))
        if actual.shape != expected.shape:
            return GoldenMismatch(0, layer.name)
        agrees = np.isclose(actual, expected, rtol=GOLDEN_TOLERANCE, atol=GOLDEN_TOLERANCE).all(axis=1)
        if not agrees.all():
            return GoldenMismatch(int(agrees.argmin()) % len(golden), layer.name)
    return None


class Normalization(_Record):
    """``(input - mean) / standard_deviation``; one number of each for every input."""

    mean: Row
    standard_deviation: Row


class Dense(_Record):
    """``activation(weights * input + bias)``: a row of weights and a bias for every unit, a column for every input."""

    weights: tuple[Row, ...]
    bias: Row


class Weights(_Record):
    """The network once more, for whoever explains it: what each layer of the manifest computes with, by its name."""

    layers: dict[str, Normalization | Dense]


@dataclass(frozen=True)
class Bundle:
    """A bundle whose files were all found to be what its manifest says."""

    folder: Path
    manifest: Manifest

    def content(self, name: str) -> bytes:
        """The bytes of one file, verified once more as read: what is returned is what was vouched for.

        Raises:
            BundleError: the file is not the manifest's, or has changed since.
        """
        expected = self.manifest.files.get(name)
        if expected is None:
            raise BundleError(f"{self.folder / MANIFEST} does not list {name}: train the model again")
        content = _content(self.folder, name, expected.size)
        if _vouch(content) != expected:
            raise BundleError(
                f"{self.folder / name} is not the file that {MANIFEST} vouches for "
                "(size or SHA-256 differs): copy the bundle again, or train the model again"
            )
        return content

    def named(self, name: str) -> "Bundle":
        """The same bundle under a name of the server's choosing."""
        return Bundle(self.folder, self.manifest.model_copy(update={"name": name}))


def versions(store: Path, name: str) -> list[int]:
    """The versions of a model in a store, oldest first; folders not named by a positive integer are not versions."""
    try:
        entries = [entry.name for entry in (store / name).iterdir() if entry.is_dir()]
    except OSError:
        return []
    return sorted(int(entry) for entry in entries if entry.isascii() and entry.isdigit() and entry[0] != "0")


def folders(home: Path) -> dict[int, Path]:
    """Where a model's versions lie, oldest first: below ``home``, or in ``home`` if that is itself a bundle.

    Raises:
        BundleError: it is one, and its manifest cannot be read.
    """
    if (home / MANIFEST).exists():
        return {_manifest(home).version: home}
    return {number: home / str(number) for number in versions(home.parent, home.name)}


def newest(store: Path, name: str) -> Path:
    """The folder of a model's highest version.

    Raises:
        BundleError: the store has no version of that model.
    """
    found = versions(store, name)
    if not found:
        raise BundleError(nothing_in(store / name))
    return store / name / str(found[-1])


def nothing_in(home: Path) -> str:
    """What to say of a folder without a version."""
    return (
        f"no model in {home}: train one with `python -m models.train --out {home.parent} --name {home.name}`, "
        "or set MENAGERIE_MODEL_STORE and MENAGERIE_MODEL_NAME to where one is"
    )


def pointed(home: Path) -> int | None:
    """The version that the file ``CURRENT`` in a model's folder points at; None if there is no such file.

    Raises:
        BundleError: it holds anything but the number of a version.
    """
    try:
        said = (home / CURRENT).read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        said = ""
    if not (said.isascii() and said.isdigit() and said[0] != "0" and len(said) < 10):  # noqa: PLR2004 (a billion)
        raise BundleError(f"{home / CURRENT} must hold the number of a version and nothing else, or not be there")
    return int(said)


def read(folder: Path) -> Bundle:
    """The bundle in a folder, every file of it verified.

    Raises:
        BundleError: something is missing, unreadable, or not what the manifest vouches for.
    """
    bundle = Bundle(folder, _manifest(folder))
    for name in bundle.manifest.files:
        bundle.content(name)
    return bundle


@contextmanager
def draft(home: Path) -> Iterator[Path]:
    """An empty folder in ``home`` (``<store>/<name>``) to fill and `publish`; removed at the end if that was not done.

    Raises:
        BundleError: the folder cannot be made.
    """
    try:
        home.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=".draft-", dir=home))
        folder.chmod(0o755)  # mkdtemp lets nobody else in, but the service may run as another user
    except OSError as error:
        raise BundleError(f"cannot write to {home} ({error.strerror}): choose another folder with --out") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, manifest: Manifest) -> Path:
    """Make a filled draft the next version: vouch for its files, then rename it into place.

    Returns the folder of the new version. A reader sees all of it or none; of two trainers that publish at once
    each gets a version of its own.

    Raises:
        BundleError: the files cannot be written.
    """
    home = folder.parent
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = {path.relative_to(folder).as_posix(): _vouch(path.read_bytes()) for path in paths}
    version = max(versions(home.parent, home.name), default=0) + 1
    try:
        while True:
            final = manifest.model_copy(update={"name": home.name, "version": version, "files": files})
            (folder / MANIFEST).write_text(final.model_dump_json(indent=1) + "\n", encoding="utf-8")
            for path in (*paths, folder / MANIFEST):
                _sync(path)
            try:
                folder.rename(home / str(version))
            except OSError:
                if not (home / str(version)).exists():
                    raise
                version += 1
            else:
                _sync(home)
                return home / str(version)
    except OSError as error:
        raise BundleError(f"cannot write {home / str(version)} ({error.strerror}): choose another folder") from None


def _manifest(folder: Path) -> Manifest:
    try:
        return Manifest.model_validate_json(_content(folder, MANIFEST, _MOST_OF_MANIFEST))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False, include_context=False)[0]
        place = ".".join(map(str, fault["loc"])) or "the whole"
        raise BundleError(
            f"{folder / MANIFEST} is no valid manifest ({place}: {fault['msg']}): train the model again"
        ) from None


def _content(folder: Path, name: str, most: int) -> bytes:
    """A file's bytes, which must lie inside the folder and be no link: a manifest cannot point elsewhere.

    Of a file longer than ``most`` it gives one byte more than that. What is no file, a pipe say, is not waited for.
    """
    relative = PurePosixPath(name)
    path = folder / relative
    try:
        if ".." in relative.parts or path.resolve() != folder.resolve() / relative:
            raise BundleError(f"{path} does not lie in the bundle itself: train the model again")
        with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise BundleError(f"{path} is no file: copy the bundle again, or train the model again")
            return file.read(most + 1)
    except OSError as error:
        raise BundleError(
            f"cannot read {path} ({error.strerror or error}): copy the bundle again, or train the model again"
        ) from None


def _vouch(content: bytes) -> File:
    return File(size=len(content), sha256=hashlib.sha256(content).hexdigest())


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
