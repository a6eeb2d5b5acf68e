"""What TensorFlow Serving's REST asks and answers, as types."""

from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field
from typing_extensions import TypedDict  # pydantic wants this one below Python 3.12

from service.openapi.model_types import Share, Vocabulary, closed, record
from service.protocols.tfserving import INPUT, OUTPUT, SIGNATURE

_Signature = NotRequired[Literal["serving_default", ""]]


@closed
class ServingState(TypedDict):
    error_code: Literal["OK"]
    error_message: str


@closed
class ServingVersion(TypedDict):
    version: str
    state: Literal["AVAILABLE"]
    status: ServingState


@closed
class ServingStatus(TypedDict):
    """``name`` and ``ready`` are for clients of KServe's V1 protocol."""

    model_version_status: list[ServingVersion]
    name: str
    ready: bool


@closed
class ServingSpec(TypedDict):
    name: str
    signature_name: str
    version: str


@closed
class ServingDimension(TypedDict):
    size: str
    name: str


@closed
class ServingShape(TypedDict):
    dim: list[ServingDimension]
    unknown_rank: bool


@closed
class ServingTensor(TypedDict):
    dtype: Literal["DT_FLOAT"]
    tensor_shape: ServingShape
    name: str


def types(words: Vocabulary) -> list[Any]:
    """Every type of ``/v1``, for one model."""
    row = Annotated[list[Share], Field(min_length=len(words.manifest.labels), max_length=len(words.manifest.labels))]
    classes = Annotated[list[tuple[words.label, Share]], Field(min_length=len(words.manifest.labels))]  # type: ignore[name-defined]
    return [
        ServingStatus,
        _metadata(),
        *_asked(words),
        record("ServingPredictions", {"predictions": words.many(row)}),
        record("ServingOutputs", {"outputs": words.many(row)}),
        record("ServingClasses", {"results": words.many(classes)}),
    ]


def _asked(words: Vocabulary) -> list[Any]:
    wrapped = words.row | record("ServingInstance", {INPUT: words.row})
    columns = record("ServingColumns", {name: words.many(number) for name, number in words.numbers.items()})
    inputs = words.many(words.row) | columns
    whole = {name: number | tuple[number] for name, number in words.numbers.items()}  # type: ignore[valid-type]
    part = record("ServingPart", {name: NotRequired[kind] for name, kind in whole.items()})
    examples = words.many(record("ServingExample", whole))
    return [
        _request("ServingRows", {"instances": words.many(wrapped)}, unlike="inputs"),
        _request("ServingByColumn", {"inputs": inputs | record("ServingInput", {INPUT: inputs})}, unlike="instances"),
        _request("ServingExamples", {"examples": examples}, unlike="context"),
        _request("ServingParts", {"context": part, "examples": words.many(part)}),
    ]


def _request(name: str, fields: dict[str, Any], *, unlike: str = "") -> Any:
    """A request, in which keys that it does not know are passed over, but for one that would make it another."""
    rule = ConfigDict(json_schema_extra={"not": {"required": [unlike]}} if unlike else None)
    return record(name, {"signature_name": _Signature, **fields}, rule)


def _metadata() -> Any:
    """Objects whose keys are the names of what they describe."""
    signature = {
        "inputs": record("ServingSignatureInputs", {INPUT: ServingTensor}),
        "outputs": record("ServingSignatureOutputs", {OUTPUT: ServingTensor}),
        "method_name": Literal["tensorflow/serving/predict"],
        "defaults": record("ServingDefaults", {}),
    }
    named = record("ServingSignatures", {SIGNATURE: record("ServingSignature", signature)})
    metadata = record("ServingSignatureMap", {"signature_def": record("ServingSignatureDef", {"signature_def": named})})
    return record("ServingMetadata", {"model_spec": ServingSpec, "metadata": metadata})
