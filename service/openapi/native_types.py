"""What the native protocol asks and answers, as types; pydantic writes their JSON schemas."""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, create_model
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from models.manifest import Manifest
from service.openapi.model_types import Share, Vocabulary, closed, record
from service.protocols import health


@closed
class Index(TypedDict):
    service: Literal["menagerie"]
    version: str
    status: Literal["alive"]
    paths: dict[str, str]


@closed
class Alive(TypedDict):
    status: Literal["alive"]


@closed
class Ready(TypedDict):
    status: Literal["ready"]


@closed
class Identity(TypedDict):
    name: str
    version: str


@closed
class Health(TypedDict):
    live: bool
    ready: bool
    version: str
    uptime_seconds: Annotated[float, Field(ge=0)]
    model: Identity
    versions: list[int]
    refused: dict[str, str]


@closed
class Shares(TypedDict):
    """Of the training rows, and of the last rows, if there are any."""

    then: Share
    now: Share | None


@closed
class Bin(Shares):
    """Values greater than ``above`` and at most ``upto``; null: no end on that side."""

    above: float | None
    upto: float | None


@closed
class Reach(TypedDict):
    """Greater than ``above`` and at most ``upto``; null: no end on that side."""

    above: float | None
    upto: float | None


@closed
class Medians(TypedDict):
    """Of the training rows, and within which bin that of the last rows lies."""

    then: float
    now: Reach | None


@closed
class LabelDrift(TypedDict):
    """``shifted``: the population stability index ``psi`` of ``rows`` rows reaches ``limit``."""

    shifted: bool
    psi: Annotated[float, Field(ge=0)]
    limit: Annotated[float, Field(gt=0)]
    rows: Annotated[int, Field(ge=0)]
    shares: dict[str, Shares]


@closed
class FeatureDrift(TypedDict):
    """Likewise; ``refused`` is the share of rows whose value lay beyond the hard bounds."""

    shifted: bool
    psi: Annotated[float, Field(ge=0)]
    limit: Annotated[float, Field(gt=0)]
    rows: Annotated[int, Field(ge=0)]
    says: str
    median: Medians
    refused: Share | None
    bins: list[Bin]


@closed
class Drift(TypedDict):
    """The last rows of a version beside its training rows."""

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
class Report(TypedDict):
    """The files of the model's report that there are."""

    files: list[str]


@closed
class Fault(TypedDict):
    """One thing wrong with an input: where, what for a program, what for a person."""

    field: Annotated[str, Field(examples=["features.body_mass_kg"])]
    code: Annotated[str, Field(examples=["out_of_bounds"])]
    message: str


@closed
class Problem(TypedDict):
    """An error as RFC 9457 has it; ``request_id`` is what the service's log has it under."""

    type: Annotated[str, Field(pattern="^urn:menagerie:problem:[a-z-]+$", examples=["urn:menagerie:problem:not-json"])]
    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    detail: str
    request_id: str


@closed
class InputProblem(Problem):
    """A problem with an entry in ``errors`` for each fault of the input."""

    errors: Annotated[list[Fault], Field(min_length=1)]


def types(words: Vocabulary) -> list[Any]:
    """Every type of the native protocol, for one model."""
    rows = words.many(record("RowPrediction", _answer(words)))
    return [
        *(Index, Alive, Ready, Health, Drift, Report, Problem, InputProblem),
        record("OneRow", {"features": words.row}),
        record("ManyRows", {"instances": words.many(words.row)}),
        prediction(words),
        record("Predictions", {"predictions": rows, "model": Identity}),
        _public(),
    ]


def prediction(words: Vocabulary) -> Any:
    """What ``POST /predict`` answers for one row."""
    return record("Prediction", _answer(words) | {"model": Identity})


def _answer(words: Vocabulary) -> dict[str, Any]:
    return {"label": words.label, "confidence": Share, "probabilities": words.probabilities, "warnings": list[str]}


def _public() -> Any:
    """The part of the manifest that ``GET /model`` shows."""
    fields = {name: (field.annotation, field) for name, field in Manifest.model_fields.items() if name in health.PUBLIC}
    return create_model("ModelDescription", __config__=ConfigDict(extra="forbid"), **fields)  # type: ignore[call-overload]
