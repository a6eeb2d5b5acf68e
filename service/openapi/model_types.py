"""Types that depend on the loaded model, for the schemas of all protocols: features, rows, labels."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any, Literal, NotRequired

from pydantic import ConfigDict, Field, TypeAdapter, with_config
from pydantic.json_schema import GenerateJsonSchema
from typing_extensions import TypeAliasType, TypedDict  # pydantic wants these below Python 3.12

from models.feature import Feature, RawValue
from models.manifest import Manifest
from models.signature import Target
from service.inference.heads import HeadColumns
from service.inference.model import Model
from service.protocols.oip_datatypes import input_types_of

REFERENCE = "#/components/schemas/{model}"
_MAX_ENUMERATED = 100  # categories
_CLOSED = ConfigDict(extra="forbid")
closed = with_config(_CLOSED)  # a TypedDict that allows no other keys

Share = Annotated[float, Field(ge=0, le=1)]


class HeadTypes:
    """The types of one head; ``prefix`` begins the names of its schemas.

    ``label`` and ``probabilities`` are None for a head without labels, ``values`` for one without targets. ``raw_row``
    is a row of the output as the model itself gives it.
    """

    def __init__(self, columns: HeadColumns, prefix: str) -> None:
        self.head = head = columns.head
        self.prefix = prefix
        self.raw_width = width = columns.raw_width
        raw_value: Any = Share if columns.raw_columns and head.labels else float
        self.raw_row = Annotated[list[raw_value], Field(min_length=width, max_length=width)]
        self.label = TypeAliasType(f"{prefix}Label", Literal[*head.labels]) if head.labels else None
        names = dict.fromkeys(head.labels, Share)
        self.probabilities = typed_dict(f"{prefix}Probabilities", names) if head.labels else None
        targets = {target.name: _target_type(target) for target in head.targets}
        self.values = typed_dict(f"{prefix}Values", targets) if targets else None


class ModelTypes:
    """The types of one model, and how many rows requests may have.

    A ``TypeAliasType`` gives a schema a name of its own, as a class does.
    """

    def __init__(self, model: Model, max_rows: int, max_explained_rows: int) -> None:
        self.model = model
        self.manifest = manifest = model.manifest
        self.max_rows = max_rows
        self.max_explained_rows = max_explained_rows
        self.example = example(manifest)
        self.values = {feature.name: _value(feature, self.example[feature.name]) for feature in manifest.features}
        self.optional = {feature.name for feature in manifest.features if not feature.is_required}
        self.features = typed_dict("Features", self.by_feature(self.values))
        self.feature_list = TypeAliasType("FeatureList", tuple[*self.values.values()])
        self.row = TypeAliasType("Row", self.features | self.feature_list)
        value_types = iter(self.values.values())
        self.inputs = {tensor.name: list(islice(value_types, tensor.width)) for tensor in manifest.input_tensors}
        is_single = len(model.heads) == 1
        self.heads = [HeadTypes(head, "" if is_single else f"Output{i}") for i, head in enumerate(model.heads, 1)]
        self.label, self.probabilities = self.heads[0].label, self.heads[0].probabilities  # of a single head

    def by_feature(self, types: Mapping[str, Any]) -> dict[str, Any]:
        """Types by the name of a feature, of which those of optional features may be absent."""
        return {name: NotRequired[each] if name in self.optional else each for name, each in types.items()}

    def by_input(self, types: Mapping[str, Any]) -> dict[str, Any]:
        """Types by the name of an input, of which those of optional inputs may be absent."""
        required = input_types_of.of(self.model).required
        return {name: each if name in required else NotRequired[each] for name, each in types.items()}

    def many(self, item: Any) -> Any:
        """A list of as many items as a request may have rows."""
        return Annotated[list[item], Field(min_length=1, max_length=self.max_rows)]


def typed_dict(name: str, fields: Mapping[str, Any], description: str = "", *, config: ConfigDict = _CLOSED) -> Any:
    """A TypedDict; it allows no other keys unless ``config`` says otherwise."""
    made = TypedDict(name, fields)
    made.__doc__ = description or None
    return with_config(config)(made)


def json_schemas(types: Iterable[Any]) -> dict[str, Any]:
    """The JSON schemas of named types, and of all named types that they consist of, by name."""
    adapters = [(each, "serialization", TypeAdapter(each)) for each in types]
    _, schema = TypeAdapter.json_schemas(adapters, ref_template=REFERENCE, schema_generator=_Untitled)  # type: ignore[arg-type]
    definitions: dict[str, Any] = schema["$defs"]
    return definitions


class _Untitled(GenerateJsonSchema):
    """Omits the titles of fields, which would only repeat their names."""

    def field_title_should_be_set(self, _: Any) -> bool:
        return False


def example(manifest: Manifest) -> dict[str, RawValue]:
    """A valid row by feature name: the first golden values that are not missing, rounded as people measure."""
    columns = zip(*(golden.features for golden in manifest.golden), strict=True)
    return {
        feature.name: _round(feature, next((value for value in values if value is not None), None))
        for feature, values in zip(manifest.features, columns, strict=True)
    }


def _round(feature: Feature, value: RawValue) -> RawValue:
    if feature.kind != "number" or not isinstance(value, int | float):
        return value
    return min(max(float(f"{value:.4g}"), feature.lowest), feature.highest)


def _target_type(target: Target) -> Any:
    unit: Any = {"x-unit": target.unit} if target.unit else None
    return Annotated[float, Field(description=f"in {target.unit}" if target.unit else None, json_schema_extra=unit)]


def _value(feature: Feature, example: RawValue) -> Any:
    notes = [feature.how, f"in {feature.unit}" if feature.unit else ""]
    extra: dict[str, Any] = {"x-unit": feature.unit} if feature.unit else {}
    if len(feature.categories) > _MAX_ENUMERATED:
        extra["x-category-count"] = len(feature.categories)
        notes.append(f"{'' if feature.allow_other else 'must be '}one of {len(feature.categories)} categories")
    if not feature.is_required:
        extra["default"] = feature.default
    field = Field(
        title=feature.name,
        description=", ".join(filter(None, notes)) or None,
        examples=[example],
        json_schema_extra=extra or None,
    )
    return Annotated[_value_type(feature), field]


def _value_type(feature: Feature) -> Any:
    value: Any = Annotated[float, Field(strict=True, allow_inf_nan=False, ge=feature.lowest, le=feature.highest)]
    if feature.kind == "integer":
        value = Annotated[int, Field(ge=feature.lowest, le=feature.highest)]
    elif feature.is_category:
        is_listed = 0 < len(feature.categories) <= _MAX_ENUMERATED and not feature.allow_other
        value = Literal[*feature.categories] if is_listed else feature.category_type
    return value if feature.is_required else value | None
