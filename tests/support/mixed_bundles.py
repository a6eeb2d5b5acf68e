"""A bundle of format 3, without TensorFlow: penguins with features of every kind, from a handmade network."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from models import bundle
from models.bundle import Bundle
from models.encoding import NO_COLUMN, Encoder, NumberEncoder, OneHotEncoder, TableEncoder, encode
from models.feature import Feature, Hashing, to_codes
from models.manifest import GoldenRow, Manifest, Training
from models.reference_statistics import ALL_ROWS, Reference
from models.signature import Head, Input
from support.handmade_bundles import Network, export_network

LABELS = ("Adelie", "Chinstrap", "Gentoo")
ISLANDS = ("Biscoe", "Dream", "Torgersen")
QUANTILES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 1.0)  # as training has them
FEATURES = (
    Feature(name="bill_length", unit="mm", minimum=20, maximum=80),
    Feature(name="body_mass", unit="g", minimum=1000, maximum=9000, allow_missing=True),
    Feature(name="year", kind="integer", minimum=2000, maximum=2030),
    Feature(name="island", kind="category", minimum=None, maximum=None, categories=ISLANDS),
    Feature(name="sex", kind="category", minimum=None, maximum=None, categories=("female", "male"), allow_missing=True),
    Feature(
        name="colony",
        kind="category",
        minimum=None,
        maximum=None,
        categories=("north", "south", 'ümläut "quoted"'),
        allow_other=True,
        default="north",
    ),
    Feature(name="ring", kind="category", minimum=None, maximum=None, categories=(1, 2, 5)),
    Feature(name="is_breeding", kind="category", minimum=None, maximum=None, categories=(False, True)),
    Feature(name="observer", kind="category", minimum=None, maximum=None, hashing=Hashing(bins=4)),
)
ENCODERS: tuple[Encoder, ...] = (
    NumberEncoder(feature="bill_length"),
    OneHotEncoder(feature="bill_length", boundaries=(40.0, 50.0), width=3, columns=(0, 1, 2)),
    NumberEncoder(feature="body_mass", fill=4200.0, indicator=True),
    NumberEncoder(feature="year"),
    OneHotEncoder(feature="island", width=3, columns=(0, 1, 2)),
    OneHotEncoder(feature="sex", width=2, columns=(0, 1, NO_COLUMN)),
    OneHotEncoder(feature="colony", width=4, columns=(1, 2, 3, 0)),
    TableEncoder(feature="ring", table=((0.5, -1.0), (1.5, 0.0), (-0.5, 2.0))),
    TableEncoder(feature="is_breeding", table=((0.0,), (1.0,))),
    OneHotEncoder(feature="observer", width=4, columns=(0, 1, 2, 3)),
)
Row = tuple[Any, ...]


def raw_rows(count: int, seed: int = 0) -> list[Row]:
    """Valid rows in schema order, with missing values and unknown words where these are allowed."""
    rng = np.random.default_rng(seed)
    return [
        (
            float(rng.choice([round(rng.uniform(30, 60), 1), 40.0, 50.0])),
            None if rng.random() < 0.2 else float(rng.integers(2500, 6500)),
            int(rng.integers(2007, 2010)),
            str(rng.choice(ISLANDS)),
            ("female", "male", None)[rng.integers(3)],
            str(rng.choice(["north", "south", 'ümläut "quoted"', "a new colony"])),
            int(rng.choice([1, 2, 5])),
            bool(rng.random() < 0.5),
            f"observer {rng.integers(9)}",
        )
        for _ in range(count)
    ]


def publish(  # noqa: PLR0913 (the parts of a bundle)
    store: Path,
    *,
    features: Sequence[Feature] = FEATURES,
    encoders: Sequence[Encoder] = ENCODERS,
    rows: Sequence[Row] = (),
    name: str = "mixed",
    files: Mapping[str, str] = MappingProxyType({}),
) -> Bundle:
    """Publish a model of these features; ``rows`` are its training rows, ``files`` further texts by path."""
    rows = rows or raw_rows(400)
    codes = to_codes(features, rows)
    inputs = encode(encoders, features, codes).astype(np.float64)
    rng = np.random.default_rng(3)
    network = Network.random((inputs.shape[1], 6, len(LABELS)), seed=6)
    deviation = inputs.std(axis=0)
    network.normal = (inputs.mean(axis=0).round(), np.where(deviation > 0, deviation, 1))
    network.biases = [bias + rng.normal(0, 0.1, bias.shape) for bias in network.biases]
    outputs = network.outputs(inputs)
    golden = list(range(12))
    manifest = Manifest(
        format=3,
        name=name,
        features=tuple(features),
        encoders=tuple(encoders),
        inputs=tuple(Input(name=feature.name, width=1) for feature in features),
        outputs=(Head(name="species", kind="classification", layer="probabilities", labels=LABELS),),
        layers=network.layers,
        training=Training(about="handmade", created="", rows=len(rows), seed=0, facts={}, libraries={}),
        metrics={},
        reference=_reference(features, codes, outputs["probabilities"].argmax(axis=1)),
        golden=tuple(
            GoldenRow(features=rows[i], outputs={layer: tuple(out[i].tolist()) for layer, out in outputs.items()})
            for i in golden
        ),
        background=tuple(rows[12:32]),
    )
    with bundle.draft(store / name) as folder:
        (folder / bundle.MODEL_LITERT).write_bytes(export_network(network))
        (folder / bundle.WEIGHTS).write_text(network.parameters.model_dump_json())
        for path, text in files.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text)
        return Bundle.read(bundle.publish(folder, manifest))


def _reference(features: Sequence[Feature], codes: Any, labels: Any) -> Reference:
    numbers = {
        feature.name: codes[:, i][~np.isnan(codes[:, i])].astype(np.float64)
        for i, feature in enumerate(features)
        if not feature.is_category
    }
    quantiles = {name: np.quantile(column, QUANTILES) for name, column in numbers.items()}
    groups = {ALL_ROWS: np.ones(len(labels), bool)} | {label: labels == i for i, label in enumerate(LABELS)}
    return Reference(
        probabilities=QUANTILES,
        features={name: tuple(values.tolist()) for name, values in quantiles.items()},
        shares={
            name: tuple(float((numbers[name] <= value).mean()) for value in values)
            for name, values in quantiles.items()
        },
        labels={label: float((labels == i).mean()) for i, label in enumerate(LABELS)},
        ranges={
            label: {
                feature.name: _range(codes[labels == i][:, position])
                for position, feature in enumerate(features)
                if not feature.is_category
            }
            for i, label in enumerate(LABELS)
        },
        categories={
            label: {
                feature.name: _shares(codes[chosen][:, position], feature)
                for position, feature in enumerate(features)
                if feature.is_category
            }
            for label, chosen in groups.items()
        },
        missing={
            feature.name: float(np.isnan(codes[:, i]).mean())
            for i, feature in enumerate(features)
            if feature.allow_missing and not feature.is_category
        },
    )


def _range(values: Any) -> tuple[float, float]:
    return (float(np.nanmin(values)), float(np.nanmax(values))) if len(values) else (0.0, 0.0)


def _shares(codes: Any, feature: Feature) -> tuple[float, ...]:
    entries = np.where(np.isnan(codes), feature.code_count, codes).astype(int)
    counts = np.bincount(entries, minlength=feature.code_count + feature.allow_missing)
    return tuple((counts / max(len(codes), 1)).tolist())
