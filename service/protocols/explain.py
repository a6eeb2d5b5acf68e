"""How the network came to an answer: ``POST /explain``. docs/explanations.md says what each number means."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache, partial
from typing import Any

import numpy as np
import orjson

from service.http import media_types
from service.http.errors import Fault, UnacceptableError
from service.http.messages import Reply, Request, Route
from service.inference import layers, shapley
from service.inference.engine import Array
from service.inference.layers import Dense, Normalization, Part
from service.inference.model import Model
from service.inference.sweep import Change, knots, sweep
from service.inference.validation import Validator
from service.protocols import native

_ONE_ROW = Fault("instances", "form", "give `features`: one row is explained at a time")


def routes(model: Model, validator: Validator) -> list[Route]:
    """``POST /explain`` for one model; its weights are read when the first answer needs them."""
    return [Route("POST", "/explain", partial(explain, model, validator, cache(partial(layers.read, model.bundle))))]


def explain(model: Model, validator: Validator, parts: Callable[[], Sequence[Part]], request: Request) -> Reply:
    """The prediction for one row, what every layer did, what each feature added, and what would change the label.

    Raises:
        RequestError: the request is not one that this model can answer, or its network cannot be taken apart.
    """
    media_types.require(request, media_types.JSON)
    rows = _read(validator, request)
    document = {
        "prediction": native.document(model, rows, request.record),
        "layers": list(_layers(model, rows, parts())),
        **_attributions(model, rows[0]),
        "sweeps": dict(_sweeps(model, rows[0])),
    }
    return Reply(200, orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY))


def _read(validator: Validator, request: Request) -> Array:
    """The one row asked about, [1, features]."""
    try:
        submission = validator.read(request.read(), request.record)
    except UnacceptableError as error:
        if error.faults[0].field.partition("[")[0] != _ONE_ROW.field:
            raise
    else:
        if submission.single:
            return submission.rows
    raise UnacceptableError([_ONE_ROW])


def _layers(model: Model, rows: Array, parts: Sequence[Part]) -> Iterator[dict[str, Any]]:
    """What every layer made of what came in; outputs are the engine's own, and are what comes into the next."""
    outputs = model.layers(rows)
    came, names = rows[0], model.manifest.feature_names
    for part in parts:
        output = outputs[part.name][0]
        if isinstance(part, Normalization):
            nodes = _normalized(part, names, came, output)
            yield {"name": part.name, "kind": "normalization", "nodes": list(nodes)}
        else:
            units = [f"{part.name}.{unit}" for unit in range(1, len(output) + 1)]
            own = model.labels if part is parts[-1] else units
            nodes = _dense(part, own, names, came, output)
            yield {"name": part.name, "kind": "dense", "activation": part.activation, "nodes": list(nodes)}
            names = tuple(own)
        came = output


def _normalized(part: Normalization, names: Sequence[str], came: Array, output: Array) -> Iterator[dict[str, Any]]:
    for name, value, mean, deviation, out in zip(names, came, part.mean, part.deviation, output, strict=True):
        yield {"name": name, "value": value, "mean": mean, "standard_deviation": deviation, "output": out}


def _dense(
    part: Dense, own: Sequence[str], names: Sequence[str], came: Array, output: Array
) -> Iterator[dict[str, Any]]:
    contributions = part.contributions(came)
    sums = contributions.sum(axis=1) + part.bias
    for unit, name in enumerate(own):
        connections = zip(names, part.weights[unit], came, contributions[unit], strict=True)
        yield {
            "name": name,
            "bias": part.bias[unit],
            "weighted_sum": sums[unit],
            "output": output[unit],
            "connections": [
                {"from": source, "weight": weight, "input": value, "contribution": contribution}
                for source, weight, value, contribution in connections
            ],
        }


def _attributions(model: Model, row: Array) -> dict[str, Any]:
    """The Shapley values, or none and why."""
    features, background = len(row), np.array(model.manifest.background, np.float32)
    if features > shapley.MOST_FEATURES:
        reason = f"exact Shapley values take 2 ** {features} evaluations; {shapley.MOST_FEATURES} features are the most"
        return {"attributions": None, "attributions_reason": reason}
    if not len(background):
        return {"attributions": None, "attributions_reason": "this model has no background rows to compare with"}
    base, values = shapley.attribute(model.evaluate, row, background)
    told = {name: _by_label(model, value) for name, value in zip(model.manifest.feature_names, values, strict=True)}
    return {"attributions": {"base": _by_label(model, base), "values": told}}


def _sweeps(model: Model, row: Array) -> Iterator[tuple[str, dict[str, Any]]]:
    quantiles = model.manifest.reference.features
    for index, feature in enumerate(model.features):
        swept = sweep(model.evaluate, row, index, knots(feature, quantiles[feature.name]))
        yield (
            feature.name,
            {
                "values": swept.values,
                "labels": [model.labels[best] for best in swept.probabilities.argmax(axis=1)],
                "probabilities": _by_label(model, np.ascontiguousarray(swept.probabilities.T)),
                "changes": {"below": _change(model, swept.below), "above": _change(model, swept.above)},
            },
        )


def _change(model: Model, change: Change | None) -> dict[str, Any] | None:
    return {"at": change.at, "label": model.labels[change.label]} if change else None


def _by_label(model: Model, values: Any) -> dict[str, Any]:
    return dict(zip(model.labels, values, strict=True))
