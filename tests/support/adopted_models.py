"""Models of `support.keras_models`, adopted as far as their network goes, and published without a sample."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models import bundle
from models.bundle import Bundle
from models.feature import Feature
from models.manifest import GoldenRow, Manifest, Training
from models.signature import Head, Target
from support.keras_models import MadeModel, make


@dataclass(frozen=True)
class AdoptedModel:
    """A made model, what was loaded from its file, the wrapped network, and the folder with the exported files."""

    made: MadeModel
    loaded: Any
    wrapped: Any
    folder: Path


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], MadeModel]:
    """Makes a model by its name, once."""
    models: dict[str, MadeModel] = {}

    def get(name: str) -> MadeModel:
        if name not in models:
            models[name] = make(name, tmp_path_factory.mktemp(name))
        return models[name]

    return get


@pytest.fixture(scope="session")
def adopted(
    made: Callable[[str], MadeModel], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], AdoptedModel]:
    """Loads, wraps and exports a model by its name, once."""
    models: dict[str, AdoptedModel] = {}

    def get(name: str) -> AdoptedModel:
        if name not in models:
            models[name] = adopt(made(name), tmp_path_factory.mktemp(f"{name}_exported"))
        return models[name]

    return get


def adopt(model: MadeModel, folder: Path) -> AdoptedModel:
    """Load, wrap and export a model."""
    from models.adoption.exporting import export
    from models.adoption.loader import load
    from models.adoption.wrapping import wrap

    loaded = load(model.path, model.custom)
    wrapped = wrap(loaded, model.heads)
    export(wrapped, folder)
    return AdoptedModel(model, loaded, wrapped, folder)


def regression_heads(loaded: Any) -> tuple[Head, ...]:
    """Heads that take every output of a model as it is."""
    return tuple(
        Head(
            name=output.name,
            kind="regression",
            layer="",
            targets=tuple(Target(name=f"{output.name}_{i}") for i in range(output.width)),
        )
        for output in loaded.outputs
    )


def publish(model: AdoptedModel, store: Path) -> Bundle:
    """Publish the exported files with a manifest of format 2."""
    rows = model.made.rows[:3]
    outputs = {name: np.asarray(values) for name, values in model.wrapped.network(rows, training=False).items()}
    manifest = Manifest(
        format=2,
        name="adopted",
        features=tuple(Feature(name=name, minimum=None, maximum=None) for name in model.made.columns),
        inputs=model.loaded.inputs,
        outputs=model.wrapped.heads,
        layers=model.wrapped.layers,
        training=Training(about="", created="", rows=0, seed=0, facts={}, libraries={}),
        metrics={},
        golden=tuple(
            GoldenRow(features=row, outputs={name: values[i].tolist() for name, values in outputs.items()})
            for i, row in enumerate(rows.tolist())
        ),
        background=(),
    )
    with bundle.draft(store / "adopted") as draft:
        for path in (path for path in model.folder.rglob("*") if path.is_file()):
            copy = draft / path.relative_to(model.folder)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
        return Bundle.read(bundle.publish(draft, manifest))
