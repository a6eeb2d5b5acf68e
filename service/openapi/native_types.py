"""Schemas of the native protocol and of the service's own routes, as types for pydantic."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, create_model
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from models.feature import Feature
from models.manifest import Manifest
from models.signature import Head, Input
from service.openapi.model_types import HeadTypes, ModelTypes, Share, closed, typed_dict
from service.protocols.health import MAX_COLUMNS, PUBLIC_FIELDS


@closed
class Index(TypedDict):
    service: Literal["menagerie"]
    version: str
    status: Literal["alive"]
    paths: dict[str, str]


Alive = typed_dict("Alive", {"status": Literal["alive"]})
ReadyModels = typed_dict("ReadyModels", {"ready": list[str], "unavailable": list[str]}, "Names of models.")
Ready = typed_dict("Ready", {"status": Literal["ready"], "models": ReadyModels})
Identity = typed_dict("Identity", {"name": str, "version": str})


@closed
class Health(TypedDict):
    live: bool
    ready: bool
    version: str
    uptime_seconds: Annotated[float, Field(ge=0)]
    model: Identity | None
    versions: list[int]
    refused: dict[str, str]
    models: ReadyModels
    shadow: int | None
    shadow_fault: str | None


@closed
class ListedModel(TypedDict):
    """A model: ``serving`` is the version that answers paths without one, ``versions`` are all that are loaded.

    ``refused`` has the reasons by version. ``fault`` says why no version serves, or why the model's folder could not be
    read lately, ``shadow_fault`` why there is no ``shadow`` although the file SHADOW names one.
    """

    name: str
    default: bool
    state: Literal["ready", "unavailable"]
    serving: int | None
    versions: list[int]
    refused: dict[str, str]
    fault: str | None
    shadow: int | None
    shadow_fault: str | None
    paths: dict[str, str]


ModelList = typed_dict("ModelList", {"models": list[ListedModel]})


@closed
class Shares(TypedDict):
    """A share of the training rows, and of the recent rows; null if there are none."""

    then: Share
    now: Share | None


@closed
class Bin(Shares):
    """Values greater than ``above`` and up to ``upto``; null: no bound on that side."""

    above: float | None
    upto: float | None


@closed
class Reach(TypedDict):
    """Greater than ``above`` and up to ``upto``; null: no bound on that side."""

    above: float | None
    upto: float | None


@closed
class Medians(TypedDict):
    """The median of the training rows, and the bin with the median of the recent rows."""

    then: float
    now: Reach | None


class _Comparison(TypedDict):
    """``shifted``: the population stability index ``psi`` of ``rows`` rows reaches ``limit``."""

    shifted: bool
    psi: Annotated[float, Field(ge=0)]
    limit: Annotated[float, Field(gt=0)]
    rows: Annotated[int, Field(ge=0)]


@closed
class LabelDrift(_Comparison):
    """``shifted``: the population stability index ``psi`` of ``rows`` rows reaches ``limit``."""

    shares: dict[str, Shares]


@closed
class FeatureDrift(_Comparison):
    """As for labels; ``refused`` is the share of rows whose value is out of bounds."""

    says: str
    median: Medians
    refused: Share | None
    bins: list[Bin]


@closed
class NullableFeatureDrift(FeatureDrift):
    """As for features; ``missing`` has the shares of rows without a value."""

    missing: Shares


@closed
class CategoryDrift(_Comparison):
    """A feature with categories: the shares of its most frequent ones, of ``rare`` and ``other`` ones, and of no value.

    ``refused`` is the share of rows whose value is none of the categories.
    """

    says: str
    refused: Share | None
    shares: dict[str, Shares]
    rare: NotRequired[Shares]
    other: NotRequired[Shares]
    missing: NotRequired[Shares]


@closed
class Drift(TypedDict):
    """The recent rows of a version compared with its training rows."""

    verdict: Literal["unknown", "alike", "shifted"]
    says: Annotated[str, Field(examples=["looks like the training rows"])]
    alarm: bool
    rows: Annotated[int, Field(ge=0)]
    least_rows: Annotated[int, Field(ge=1)]
    window_rows: Annotated[int, Field(ge=1)]
    since: str | None
    features: dict[str, FeatureDrift]
    labels: LabelDrift
    model: Identity


@closed
class TargetDrift(_Comparison):
    """As for features; a predicted value is never out of bounds."""

    says: str
    median: Medians
    bins: list[Bin]


def drift(manifest: Manifest) -> Any:
    """The response of ``GET /drift``: of a model that is no single classification, or has no sample, by output."""
    fields: dict[str, Any] = {}
    if not (manifest.class_labels and manifest.reference):
        fields = {"labels": None, "outputs": dict[str, TargetDrift | LabelDrift]}
    if manifest.encoders:
        fields["features"] = dict[str, FeatureDrift | NullableFeatureDrift | CategoryDrift]
    return typed_dict("Drift", Drift.__annotations__ | fields, Drift.__doc__ or "") if fields else Drift


Report = typed_dict("Report", {"files": list[str]}, "The files of the model's report.")


@closed
class Fault(TypedDict):
    """One error in an input: ``field`` locates it, ``code`` is for programs, ``message`` for people."""

    field: Annotated[str, Field(examples=["features.body_mass_kg"])]
    code: Annotated[str, Field(examples=["out_of_bounds"])]
    message: str


@closed
class Problem(TypedDict):
    """Problem details (RFC 9457); ``request_id`` identifies the request in the service's log."""

    type: Annotated[str, Field(pattern="^urn:menagerie:problem:[a-z-]+$", examples=["urn:menagerie:problem:not-json"])]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    request_id: str


@closed
class InputProblem(Problem):
    """Problem details with an entry in ``errors`` for each error in the input."""

    errors: Annotated[list[Fault], Field(min_length=1)]


@closed
class NotReadyProblem(Problem):
    """Problem details with the names of the models that are ready, and of those that are not."""

    models: ReadyModels


def named_types(types: ModelTypes) -> list[Any]:
    """All schemas of this module, for one model."""
    return [
        *(Index, Alive, Ready, Health, ModelList, drift(types.manifest), Report),
        *(Problem, InputProblem, NotReadyProblem),
        typed_dict("OneRow", {"features": types.row, "instances": NotRequired[None]}),
        typed_dict("ManyRows", {"instances": types.many(types.row), "features": NotRequired[None]}),
        prediction(types),
        typed_dict("Predictions", {"predictions": row_predictions(types), "model": Identity}),
        _model_description(types.manifest),
    ]


def row_predictions(types: ModelTypes) -> Any:
    """The predictions of several rows, each without the model."""
    return types.many(typed_dict("RowPrediction", _prediction_fields(types)))


def prediction(types: ModelTypes) -> Any:
    """The response of ``POST /predict`` for one row."""
    return typed_dict("Prediction", _prediction_fields(types) | {"model": Identity})


def _prediction_fields(types: ModelTypes) -> dict[str, Any]:
    if len(types.heads) == 1:
        fields = _head_fields(types.heads[0])
    else:
        by_name = {each.head.name: typed_dict(f"{each.prefix}Prediction", _head_fields(each)) for each in types.heads}
        fields = {"outputs": typed_dict("OutputPredictions", by_name)}
    return fields | {"warnings": list[str]}


def _head_fields(types: HeadTypes) -> dict[str, Any]:
    """What `/predict` says about one output for a row."""
    match types.head.kind:
        case "classification":
            return {"label": types.label, "confidence": Share, "probabilities": types.probabilities}
        case "multi_label":
            return {"labels": list[types.label], "probabilities": types.probabilities}
        case "regression":
            units = {target.name: Literal[target.unit] for target in types.head.targets}
            return {"values": types.values, "units": typed_dict(f"{types.prefix}Units", units)}


@closed
class DescribedEncoder(TypedDict):
    """How a feature becomes ``width`` columns of the network's input, of which the first have names in ``columns``."""

    feature: str
    kind: Literal["number", "one_hot", "table"]
    width: Annotated[int, Field(ge=1)]
    columns: Annotated[list[str], Field(max_length=MAX_COLUMNS)]
    fill: NotRequired[float | None]
    indicator: NotRequired[bool]
    boundaries: NotRequired[Annotated[list[float], Field(max_length=MAX_COLUMNS)]]


def _model_description(manifest: Manifest) -> Any:
    """The part of the manifest that ``GET /model`` shows, and what it derives from it."""
    fields: dict[str, Any] = {
        name: (field.annotation, field) for name, field in Manifest.model_fields.items() if name in PUBLIC_FIELDS
    }
    if manifest.class_labels:
        fields["labels"] = (tuple[str, ...], ...)
    if manifest.encoders:
        described = create_model("DescribedFeature", __base__=Feature, required=(bool, ...))
        fields |= {"features": (tuple[described, ...], ...), "encoders": (list[DescribedEncoder], ...)}
    fields |= {"inputs": (tuple[Input, ...], ...), "outputs": (tuple[Head, ...], ...)}
    if not manifest.reference:
        fields |= {"reference": (None, ...), "reference_reason": (str, ...)}
    return create_model("ModelDescription", __config__=ConfigDict(extra="forbid"), **fields)
