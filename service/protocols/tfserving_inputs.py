"""The rows of a request of TensorFlow Serving's REST API, whose values may be named by the model's inputs.

Source: tensorflow.org/tfx/serving/api_rest, "Specifying input tensors in row format" and "… in column format".
"""

from base64 import b64decode
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from models.manifest import Manifest
from service.http.errors import BadInstancesError
from service.inference.model import PerModel

_LIST_OR_OBJECT = (list, dict)


class ModelInputs:
    """A model's inputs: the names of each one's features.

    A row may be given as the model's schema has it (an object by feature name, or a list); with the name of the only
    input around it; or as an object by input name, with a list of values for each input, or one value for an input of
    one feature. Rows by input name become rows by feature name, so that faults name the features. A text may be an
    object, ``{"b64": "…"}``: its UTF-8 in Base64.
    """

    def __init__(self, manifest: Manifest) -> None:
        names = iter(manifest.feature_names)
        self.features = {tensor.name: tuple(islice(names, tensor.width)) for tensor in manifest.input_tensors}
        self.is_mixed = not all(feature.is_plain for feature in manifest.features)
        self._has_texts = any(feature.is_category and feature.category_type is str for feature in manifest.features)
        self._noun = "values" if self.is_mixed else "numbers"
        self._names = frozenset(manifest.feature_names)
        self._only = next(iter(self.features)) if len(self.features) == 1 else None

    def unwrap(self, row: Any, location: str) -> Any:
        """A row as validation takes it; ``location`` is where an input's values were, with ``{}`` for its name.

        Raises:
            BadInstancesError: an input does not have one value for each of its features.
        """
        if type(row) is not dict or not self._has_inputs(row):
            return row
        if self._only is not None:
            value, is_one = row[self._only], len(self.features[self._only]) == 1
            if isinstance(value, _LIST_OR_OBJECT) and not (is_one and self._is_base64(value)):
                return value
            if not is_one:
                return row
        by_feature: dict[str, Any] = {}
        for name, features in self.features.items():
            if name not in row:
                continue
            values = row[name] if type(row[name]) is list else [row[name]]
            if len(values) != len(features):
                message = f"{location.format(name)} must have {len(features)} {self._noun}, not {len(values)}"
                raise BadInstancesError(f"{message}, in this order: {', '.join(features)}")
            by_feature.update(zip(features, values, strict=True))
        return by_feature

    def _has_inputs(self, row: Mapping[str, Any]) -> bool:
        """Whether a row is by input name; validation then tells which features are missing, if that is not allowed."""
        return row.keys() == self.features.keys() or (self.is_mixed and row.keys() <= self.features.keys())

    def _is_base64(self, value: Any) -> bool:
        """Whether a value is a text in Base64, and not a row of a model that has a feature of that name."""
        return self._has_texts and type(value) is dict and value.keys() == {"b64"} and "b64" not in self._names

    def unwrap_list(self, row: Mapping[str, Any]) -> list[Any] | None:
        """The values of a row by input name in schema order; None if it is not one, or not of the right lengths."""
        if row.keys() != self.features.keys():
            return None
        values: list[Any] = []
        for name, features in self.features.items():
            value = row[name]
            values += value if type(value) is list else (value,)
            if (len(value) if type(value) is list else 1) != len(features):
                return None
        return values

    def example(self, example: Mapping[str, Any], location: str) -> Any:
        """An example by feature name, or of a model with several inputs by input name; a value may be in a list."""
        row = self.unwrap(example, location) if self._only is None else example
        row = {name: value[0] if type(value) is list and len(value) == 1 else value for name, value in row.items()}
        return self._decode(row, location)

    def rows(self, instances: Any) -> list[Any]:
        """The rows of ``instances``."""
        rows = require_list(instances, "instances")
        return self._unwrap_all(rows, "instances[{index}].{{}}")

    def rows_of_columns(self, inputs: Any) -> list[Any]:
        """The rows of ``inputs``: rows, or a list of the rows' values for each input or for each feature.

        The only feature of a model may have the name of its input; its values are not rows.
        """
        if type(inputs) is dict and self._only is not None and inputs.keys() == {self._only}:
            values = inputs[self._only]
            if (
                not isinstance(values, list)
                or not values
                or any(isinstance(value, _LIST_OR_OBJECT) and not self._is_base64(value) for value in values)
            ):
                inputs = values
        if isinstance(inputs, list):
            return self._decode_all(inputs, "inputs[{index}].{{}}")
        if type(inputs) is not dict or not all(isinstance(column, list) for column in inputs.values()):
            raise BadInstancesError(
                "`inputs` must be a list of rows, or an object with a list of values for each feature"
            )
        if len({len(column) for column in inputs.values()}) > 1:
            raise BadInstancesError("`inputs` must have the same number of values for every feature")
        rows = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]
        return self._unwrap_all(rows, "inputs.{{}}[{index}]")

    def columns(self, inputs: Any) -> dict[str, list[Any]] | None:
        """``inputs`` as a list of values for each feature; None if they do not have that form."""
        if type(inputs) is not dict or not inputs or not inputs.keys() <= self._names:
            return None
        columns: dict[str, list[Any]] = {}
        for name, values in inputs.items():
            if type(values) is not list or len(values) != len(next(iter(inputs.values()))):
                return None
            types = {*map(type, values)}
            if dict in types or (list in types and (types != {list} or {*map(len, values)} != {1})):
                return None
            columns[name] = [value for (value,) in values] if list in types else values
        return None if any({dict, list} & {*map(type, values)} for values in columns.values()) else columns

    def _unwrap_all(self, rows: Sequence[Any], location: str) -> list[Any]:
        unwrapped = [self.unwrap(row, location.format(index=index)) for index, row in enumerate(rows)]
        return self._decode_all(unwrapped, location)

    def _decode_all(self, rows: list[Any], location: str) -> list[Any]:
        if not self._has_texts:
            return rows
        return [self._decode(row, location.format(index=index)) for index, row in enumerate(rows)]

    def _decode(self, row: Any, location: str) -> Any:
        """A row in which each ``{"b64": "…"}`` has become the text that it stands for.

        Raises:
            BadInstancesError: it stands for none.
        """
        values = row.values() if type(row) is dict else row if type(row) is list else ()
        if not self._has_texts or dict not in map(type, values):
            return row
        if type(row) is dict:
            return {name: _decode_text(value, location.format(name)) for name, value in row.items()}
        return [_decode_text(value, location.format(index)) for index, value in enumerate(row)]


def _decode_text(value: Any, location: str) -> Any:
    """The text that Base64 stands for; any other value as it is."""
    if type(value) is not dict or value.keys() != {"b64"}:
        return value
    try:
        return b64decode(value["b64"], validate=True).decode()
    except UnicodeDecodeError:
        raise BadInstancesError(f"{location}: the bytes in `b64` are not valid UTF-8, as texts must be") from None
    except (ValueError, TypeError):
        raise BadInstancesError(f"{location}: `b64` must be a string of Base64 (RFC 4648, section 4)") from None


inputs_of = PerModel(lambda model: ModelInputs(model.manifest))


def require_list(rows: Any, form: str) -> list[Any]:
    """The rows of a request's form, ``instances`` or ``inputs``.

    Raises:
        BadInstancesError: they are not in a list.
    """
    if not isinstance(rows, list):
        raise BadInstancesError(f"`{form}` must be a list of rows")
    return rows
