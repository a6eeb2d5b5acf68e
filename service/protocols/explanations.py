"""Explanations: how the network came to the prediction of a row. docs/explanations.md says what each number means."""

from collections.abc import Callable
from typing import Any

import orjson

from models.bundle import WEIGHTS
from service.arrays import Array, Prediction
from service.http.errors import NotExplainableError
from service.inference import sampled_shapley, shapley
from service.inference.model import Model, PerModel
from service.protocols.layer_documents import LayerDocuments, describe_encoding
from service.protocols.native_documents import NativeDocuments
from service.protocols.sweep_documents import SweepDocuments

_CONNECTION_BYTES = 64  # at most: two numbers of 32 bytes with their indentation
_OTHER_BYTES = 100_000  # for the names of layers
_WITHOUT_SAMPLE = "the model was adopted without a sample: adopt it again with --sample"
_NOT_FINITE = (
    "the network's output is not a finite number for other values of the features: narrow their bounds in the schema, "
    "and"
)


class _Explainer:
    """What each explanation of one model needs; what there cannot be is a reason instead, one sentence."""

    def __init__(self, model: Model, evaluations: int, max_connections: int) -> None:
        self.model = model
        self.background = model.manifest.background_rows
        self.evaluations = evaluations
        self.layers = _layer_documents(model, max_connections)
        self.sweeps = _sweep_documents(model)
        self.why_no_attributions = _why_no_attributions(model, evaluations)


class Explanations:
    """Explains rows of any model; all protocols share it.

    Where exact Shapley values would take too long, at most ``evaluations`` rows are predicted for estimated ones.
    Layers with more than ``max_connections`` are left out.
    """

    def __init__(self, evaluations: int, max_connections: int) -> None:
        self._explainers = PerModel(lambda model: _Explainer(model, evaluations, max_connections))
        self._documents = PerModel(NativeDocuments)

    def explain(self, model: Model, prediction: Prediction) -> bytes:
        """The explanation of a prediction of one row, as JSON.

        Raises:
            NotExplainableError: the weights of a model that `models.train` has trained are not available.
        """
        rows = prediction.rows
        explainer = self._explainers.of(model)
        document = {
            "prediction": orjson.Fragment(self._documents.of(model).row(prediction)),
            **({"encoded": describe_encoding(model.manifest, rows)} if model.manifest.encoders else {}),
            **_layers(explainer, rows),
            **_attributions(explainer, rows[0]),
            **_sweeps(explainer, rows[0]),
        }
        return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def _layer_documents(model: Model, max_connections: int) -> LayerDocuments | str:
    """What writes the layers, or why they are left out.

    A model that was trained here has its layers, or it is broken. A file that is larger than the most connections take
    is not even read.
    """
    weights = model.manifest.files.get(WEIGHTS)
    if weights and model.manifest.format > 1 and weights.size > max_connections * _CONNECTION_BYTES + _OTHER_BYTES:
        return _too_many(f"more than {max_connections:,}", max_connections)
    try:
        documents = LayerDocuments(model)
    except NotExplainableError as error:
        if model.manifest.format == 1:
            raise
        return error.detail
    if documents.connections > max_connections and model.manifest.format > 1:
        return _too_many(f"{documents.connections:,}", max_connections)
    return documents


def _too_many(connections: str, most: int) -> str:
    return (
        f"the network has {connections} connections, and layers are shown for up to {most:,}: raise "
        "MENAGERIE_MAX_EXPLAINED_CONNECTIONS"
    )


def _why_no_attributions(model: Model, evaluations: int) -> str | None:
    manifest = model.manifest
    features, background = len(manifest.features), len(manifest.background)
    if not background:
        return (
            "the model has no background rows to compare with: train it again"
            if model.bundle.is_trained
            else f"there are no background rows to compare with, because {_WITHOUT_SAMPLE}"
        )
    if features > shapley.MAX_FEATURES and (
        (least := sampled_shapley.least_evaluations(features, background)) > evaluations
    ):
        return (
            f"Shapley values of {features:,} features take at least {least:,} evaluations, and up to {evaluations:,} "
            "are allowed: raise MENAGERIE_SHAPLEY_EVALUATIONS"
        )
    return None


def _sweep_documents(model: Model) -> SweepDocuments | str:
    """What writes the sweeps, or why there are none."""
    reference = model.manifest.reference
    if reference is None:
        return f"the features have no bounds to sweep between, because {_WITHOUT_SAMPLE}"
    for feature in model.features:
        if not feature.is_category and not feature.has_bounds:
            return f"feature {feature.name} has no bounds to sweep between: adopt the model again with --sample"
    return SweepDocuments(model, reference)


def _part(name: str, computed: Any, reason: str = "") -> dict[str, Any]:
    """A part of an explanation; if it is None, with the reason."""
    return {name: computed} if computed is not None else {name: None, f"{name}_reason": reason}


def _layers(explainer: _Explainer, rows: Array) -> dict[str, Any]:
    layers = explainer.layers
    return _part("layers", None, layers) if isinstance(layers, str) else _part("layers", list(layers.of(rows)))


def _attributions(explainer: _Explainer, row: Array) -> dict[str, Any]:
    if explainer.why_no_attributions:
        return _part("attributions", None, explainer.why_no_attributions)
    return _finite_part(explainer.model, "attributions", lambda: _shapley_values(explainer, row))


def _sweeps(explainer: _Explainer, row: Array) -> dict[str, Any]:
    sweeps = explainer.sweeps
    if isinstance(sweeps, str):
        return _part("sweeps", None, sweeps)
    return _finite_part(explainer.model, "sweeps", lambda: sweeps.of(row))


def _finite_part(model: Model, name: str, compute: Callable[[], Any]) -> dict[str, Any]:
    """A part that takes predictions of other rows, which may overflow where that of the row itself does not."""
    try:
        return _part(name, compute())
    except ArithmeticError:
        if model.manifest.format == 1:
            raise
        return _part(name, None, f"{_NOT_FINITE} {model.bundle.remedy}")


def _shapley_values(explainer: _Explainer, row: Array) -> dict[str, Any]:
    model = explainer.model
    if len(row) <= shapley.MAX_FEATURES:
        base, values = shapley.attribute(model.outputs, row, explainer.background)
        return {"base": _by_column(model, base), "values": _by_feature(model, values)}
    sampled = sampled_shapley.attribute(model.outputs, row, explainer.background, explainer.evaluations)
    return {
        "base": _by_column(model, sampled.base),
        "values": _by_feature(model, sampled.values),
        "standard_errors": _by_feature(model, sampled.standard_errors),
        "evaluations": sampled.evaluations,
    }


def _by_column(model: Model, values: Any) -> dict[str, Any]:
    return dict(zip(model.column_names, values, strict=True))


def _by_feature(model: Model, values: Any) -> dict[str, Any]:
    by_column = [_by_column(model, value) for value in values]
    return dict(zip(model.manifest.feature_names, by_column, strict=True))
