"""Bundles of format 2 with a head of each kind, without TensorFlow: as adoption writes them, from handmade networks."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models import bundle
from models.bundle import Bundle
from models.feature import Feature
from models.manifest import GoldenRow, Manifest, Training
from models.reference_statistics import ALL_ROWS, Reference
from models.signature import Head, Input, Target, name_columns
from models.weights import Weights
from support.branched_networks import BranchedNetwork
from support.handmade_bundles import Doubles, Network, export_network

QUANTILES = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
_ROWS = 400

BINARY = (Head(name="churned", kind="classification", layer="hidden_2", labels=("no", "yes"), threshold=0.3),)
LOGITS = (Head(name="logits", kind="classification", layer="hidden_2", labels=("red", "green", "blue")),)
SOFTMAX = (Head(name="species", kind="classification", layer="probabilities", labels=("a", "b", "c")),)
REGRESSION = (
    Head(
        name="house",
        kind="regression",
        layer="probabilities",
        targets=(Target(name="price", unit="USD"), Target(name="age", unit="years")),
    ),
)
MULTI_LABEL = (Head(name="tags", kind="multi_label", layer="probabilities", labels=("warm", "wet", "windy")),)
SEVERAL = (
    Head(name="price", kind="regression", layer="probabilities", targets=(Target(name="price", unit="USD"),)),
    Head(name="tags", kind="multi_label", layer="probabilities", labels=("warm", "wet")),
    Head(name="risk", kind="regression", layer="probabilities", targets=(Target(name="low"), Target(name="high"))),
)
MIXED = (  # with a classification among several outputs, not in `HEADS`
    Head(name="price", kind="regression", layer="probabilities", targets=(Target(name="price", unit="USD"),)),
    Head(name="kind", kind="classification", layer="probabilities", labels=("flat", "house", "land")),
    Head(name="tags", kind="multi_label", layer="probabilities", labels=("warm", "wet"), threshold=0.6),
    Head(name="sold", kind="classification", layer="probabilities", labels=("no", "yes"), threshold=0.2),
)
HEADS = {
    "softmax": SOFTMAX,
    "binary": BINARY,
    "logits": LOGITS,
    "regression": REGRESSION,
    "multi_label": MULTI_LABEL,
    "several": SEVERAL,
}


def publish(  # noqa: PLR0913 (each has a default)
    store: Path,
    heads: Sequence[Head],
    *,
    features: int = 3,
    sample: bool = True,
    inputs: Sequence[Input] = (),
    weights: bool = True,
    network: BranchedNetwork | None = None,
    golden: Doubles | None = None,
    hidden: Sequence[int] = (4,),
    names: Sequence[str] = (),
    metrics: Mapping[str, Any] | None = None,
) -> Bundle:
    """Publish a model named ``headed`` with these heads, one of the `HEADS` or `MIXED`, that a ``network`` may have.

    Without a ``sample`` nothing is known of the features but their names. Without ``weights``, layers cannot be shown.
    ``golden`` are the golden rows, unless they are to be those of the sample. ``hidden`` are the units of the hidden
    layers, for heads whose layer is the last. Features have ``names`` if there are any, else they are f1, f2 and so on.
    ``metrics`` are those of the manifest.
    """
    made = network or _network(heads, features, hidden)
    features = network.features if network else features
    names = names or [f"f{i + 1}" for i in range(features)]
    rows = np.random.default_rng(1).uniform(-3, 3, (_ROWS, features)).astype(np.float32).astype(np.float64)
    golden = rows[:5] if golden is None else golden
    outputs = made.outputs(golden)
    manifest = Manifest(
        format=2,
        name="headed",
        features=tuple(
            Feature(name=name, unit="m", minimum=-3.0 if sample else None, maximum=3.0 if sample else None)
            for name in names
        ),
        inputs=tuple(inputs) or (Input(name="measurements", width=features),),
        outputs=tuple(heads),
        layers=made.layers,
        training=Training(about="handmade", created="", rows=_ROWS if sample else 0, seed=0, facts={}, libraries={}),
        metrics=dict(metrics or {}),
        reference=_reference(made, heads, rows, names) if sample else None,
        golden=tuple(
            GoldenRow(features=tuple(row), outputs={name: tuple(out[i].tolist()) for name, out in outputs.items()})
            for i, row in enumerate(golden.tolist())
        ),
        background=tuple(map(tuple, rows[:20].tolist())) if sample else (),
    )
    with bundle.draft(store / "headed") as folder:
        content = made.export() if isinstance(made, BranchedNetwork) else export_network(made)
        (folder / bundle.MODEL_LITERT).write_bytes(content)
        if weights:
            (folder / bundle.WEIGHTS).write_text(_shown_weights(made, heads).model_dump_json())
        return Bundle.read(bundle.publish(folder, manifest))


def _shown_weights(network: Network | BranchedNetwork, heads: Sequence[Head]) -> Weights:
    """Those of all layers up to the last one with a head's own output."""
    if isinstance(network, BranchedNetwork):
        return network.parameters
    last = max(network.names.index(head.layer) for head in heads)
    return Weights(layers=dict(list(network.parameters.layers.items())[: last + 1]))


def _network(heads: Sequence[Head], features: int, hidden: Sequence[int]) -> Network:
    """A network whose last layers give what the heads say."""
    columns = sum(len(head.column_names) for head in heads)
    if heads == BINARY:  # its last layer gives the probabilities of both labels
        network = Network.random((features, 4, 1, 2))
        network.weights[-1], network.biases[-1] = np.array([[-1.0], [1.0]]), np.array([1.0, 0.0])
        return replace(network, activations=["relu", "sigmoid", "linear"])
    if heads == LOGITS:  # its last layer is their softmax
        network = Network.random((features, 4, columns, columns))
        network.weights[-1], network.biases[-1] = np.eye(columns), np.zeros(columns)
        return replace(network, activations=["relu", "linear", "softmax"])
    last = {"classification": "softmax", "multi_label": "sigmoid", "regression": "linear"}[heads[-1].kind]
    seed = 252 if heads == MIXED else 0  # of 300, the one with the most even shares of its labels
    network = Network.random((features, *hidden, columns), seed)
    network.weights = [weights * min(1, 2 / np.sqrt(weights.shape[1])) for weights in network.weights]  # no overflow
    return replace(network, activations=[*["relu"] * len(hidden), "sigmoid" if len(heads) > 1 else last])


def _reference(
    network: Network | BranchedNetwork, heads: Sequence[Head], rows: Doubles, names: Sequence[str]
) -> Reference:
    outputs = network.outputs(rows)["probabilities"]
    manifest_names = name_columns(heads)
    kinds = [head.kind for head in heads for _ in head.column_names]
    is_predicted = np.concatenate(
        [_is_predicted(head, outputs[:, columns]) for head, columns in _columns(heads)], axis=1
    )
    overall = dict(zip(names, zip(rows.min(axis=0).tolist(), rows.max(axis=0).tolist(), strict=True), strict=True))
    return Reference(
        probabilities=QUANTILES,
        features={name: tuple(np.quantile(rows[:, i], QUANTILES).tolist()) for i, name in enumerate(names)},
        shares=dict.fromkeys(names, QUANTILES),
        labels={
            name: float(is_predicted[:, i].mean())
            for i, (name, kind) in enumerate(zip(manifest_names, kinds, strict=True))
            if kind != "regression"
        },
        targets={
            name: tuple(np.quantile(outputs[:, i], QUANTILES).tolist())
            for i, (name, kind) in enumerate(zip(manifest_names, kinds, strict=True))
            if kind == "regression"
        },
        ranges={ALL_ROWS: overall},
    )


def _columns(heads: Sequence[Head]) -> Iterator[tuple[Head, slice]]:
    stops = list(accumulate(len(head.column_names) for head in heads))
    return zip(heads, map(slice, [0, *stops], stops), strict=False)


def _is_predicted(head: Head, outputs: Doubles) -> NDArray[np.bool_]:
    """Which columns of a head [rows, columns] a row counts for; none of a regression."""
    if head.kind == "regression":
        return np.zeros(outputs.shape, np.bool_)
    if head.kind == "multi_label":
        return outputs > (head.threshold or 0.5)
    predicted = outputs.argmax(axis=1) if head.threshold is None else outputs[:, 1] > head.threshold
    return np.asarray(predicted[:, np.newaxis] == np.arange(outputs.shape[1]))
