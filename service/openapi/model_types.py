"""The types that a loaded model gives: its features, rows of them, its labels. Every protocol's schemas use them."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeAliasType, TypedDict  # pydantic wants these below Python 3.12

from models.manifest import Feature, Manifest
from service.inference import validation

REFERENCE = "#/components/schemas/{model}"
_CLOSED = ConfigDict(extra="forbid")
closed = with_config(_CLOSED)  # a TypedDict with no keys but its own

Share = Annotated[float, Field(ge=0, le=1)]


class Vocabulary:
    """One model's words; a ``TypeAliasType`` gives a schema a name of its own, as a class does."""

    def __init__(self, manifest: Manifest, max_rows: int) -> None:
        self.manifest = manifest
        self.max_rows = max_rows
        self.example = example(manifest)
        self.numbers = {feature.name: _number(feature, self.example[feature.name]) for feature in manifest.features}
        self.features, listed = validation.row_types(self.numbers)
        self.listed = TypeAliasType("FeatureList", listed)
        self.row = TypeAliasType("Row", self.features | self.listed)
        self.label = TypeAliasType("Label", Literal[*manifest.labels])
        self.probabilities = record("Probabilities", dict.fromkeys(manifest.labels, Share))

    def many(self, item: Any) -> Any:
        """As many rows, or what stands for each, as one request may have."""
        return Annotated[list[item], Field(min_length=1, max_length=self.max_rows)]


def record(name: str, fields: Mapping[str, Any], config: ConfigDict = _CLOSED) -> Any:
    """An object type made at run time; it has no keys but these unless ``config`` says otherwise."""
    return with_config(config)(TypedDict(name, fields))  # type: ignore[operator]


def schemas(types: Iterable[Any]) -> dict[str, Any]:
    """The JSON schemas of named types and of all that they are made of, by name, as pydantic writes them."""
    adapters = [(kind, "serialization", TypeAdapter(kind)) for kind in types]
    _, schema = TypeAdapter.json_schemas(adapters, ref_template=REFERENCE, schema_generator=_Untitled)  # type: ignore[arg-type]
    found: dict[str, Any] = schema["$defs"]
    return found


class _Untitled(GenerateJsonSchema):
    """Without a title for each field, which would only repeat its name."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False


def example(manifest: Manifest) -> dict[str, float]:
    """A row that the model is known to answer, by name, written as people measure."""
    return {
        feature.name: min(max(float(f"{value:.4g}"), feature.minimum), feature.maximum)
        for feature, value in zip(manifest.features, manifest.golden[0].features, strict=True)
    }


def _number(feature: Feature, example: float) -> Any:
    told = ", ".join(filter(None, (feature.how, f"in {feature.unit}" if feature.unit else "")))
    unit: Any = {"x-unit": feature.unit} if feature.unit else None
    described = Field(title=feature.name, description=told or None, examples=[example], json_schema_extra=unit)
    return Annotated[validation.number(feature), described]
