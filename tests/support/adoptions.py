"""The models of `keras_models`, adopted from their files as `python -m models.adopt` does; each once in a run."""

import fcntl
import pickle
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from models import bundle
from models.adopt import adopt
from models.adoption.heads import sigmoid, softmax
from models.adoption.options import join_names, parse_options
from models.bundle import Bundle
from support.keras_models import BUILDERS, MadeModel, make

NAMES = tuple(BUILDERS)
Made = TypeVar("Made")


@dataclass(frozen=True)
class AdoptedModel:
    """A model that was adopted: ``folder`` is its version in ``store``, ``notes`` are what the command said of it.

    ``made.rows`` are the sample, ``made.expected`` what Keras predicts for it by output, ``made.heads`` what it means.
    """

    made: MadeModel
    sample: Path
    store: Path
    name: str
    folder: Path
    notes: tuple[str, ...]

    @property
    def bundle(self) -> Bundle:
        return Bundle.read(self.folder)

    @property
    def expected_columns(self) -> NDArray[np.float64]:
        """What the service has to predict for the sample, [rows, columns], from Keras' own predictions."""
        return np.concatenate([_to_columns(self.made, index) for index in range(len(self.made.heads))], axis=1)


class AdoptedModels:
    """Adopts models when they are first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = root / "store"

    def get(self, name: str, *, sample: bool = True, engine: str = "litert") -> AdoptedModel:
        """A model of `NAMES`, adopted with or without its sample, for one of the engines."""
        key = name + ("" if sample else "_without_sample") + ("" if engine == "litert" else f"_{engine}")
        return made_once(self.root, key, lambda: self._adopt(name, key, engine, sample=sample))

    def _adopt(self, name: str, key: str, engine: str, *, sample: bool) -> AdoptedModel:
        folder = self.root / key
        folder.mkdir()
        made = make(name, folder)
        table = made.write_csv(folder / "sample.csv")
        arguments = [*describe(made, table if sample else None), "--engine", engine]
        options = parse_options([*arguments, "--out", str(self.store), "--name", key])
        notes: list[str] = []
        with bundle.draft(self.store / key) as draft:
            published = bundle.publish(draft, adopt(options, draft, notes.append))
        return AdoptedModel(made, table, self.store, key, published, tuple(notes))


def made_once(root: Path, key: str, make: Callable[[], Made]) -> Made:
    """What ``make`` returned in the first of pytest-xdist's workers that needed it; ``root`` is the same for all."""
    root.mkdir(exist_ok=True)
    done = root / f"{key}.pickle"
    with (root / f"{key}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # Keras' own calls of NumPy
                done.write_bytes(pickle.dumps(make()))
    made: Made = pickle.loads(done.read_bytes())  # noqa: S301 (written above)
    return made


def describe(made: MadeModel, table: Path | None) -> list[str]:
    """The arguments with which a user would adopt a model so that its heads are those that it was made with."""
    arguments = [str(made.path)]
    for custom in made.custom:
        arguments += ["--custom", custom]
    for head in made.heads:
        output = f"{head.name}=" if len(made.heads) > 1 else ""
        if head.labels:
            arguments += ["--labels", output + join_names(head.labels)]
        elif head.column_names != (head.name,) and table is None:
            arguments += ["--targets", output + join_names(head.column_names)]
        if head.threshold:
            arguments += ["--threshold", str(head.threshold)]
    if table:
        schema = table.with_suffix(".toml")
        schema.write_text(_write_units(made), encoding="utf-8")
        arguments += ["--sample", str(table), "--schema", str(schema)]
        arguments += [argument for name in made.labels for argument in ("--label", name)]
    else:
        arguments += ["--columns", join_names(made.columns)]
    return arguments


def _to_columns(made: MadeModel, index: int) -> NDArray[np.float64]:
    head = made.heads[index]
    raw = np.asarray(made.expected[head.name], np.float64)
    if made.from_logits or (head.kind != "regression" and (raw.min() < 0 or raw.max() > 1)):
        raw = softmax(raw) if raw.shape[1] > 1 else sigmoid(raw)
    is_single_unit = head.kind == "classification" and raw.shape[1] == 1
    return np.concatenate([1 - raw, raw], axis=1) if is_single_unit else raw


def _write_units(made: MadeModel) -> str:
    targets = [target for head in made.heads for target in head.targets]
    return "\n".join(f'[targets."{target.name}"]\nunit = "{target.unit}"\n' for target in targets)
