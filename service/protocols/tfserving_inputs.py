"""The rows of a request of TensorFlow Serving's REST API, whose values may be named by the model's inputs.

Source: tensorflow.org/tfx/serving/api_rest, "Specifying input tensors in row format" and "… in column format".
"""

from collections.abc import Mapping
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
    one feature. Rows by input name become rows by feature name, so that faults name the features.
    """

    def __init__(self, manifest: Manifest) -> None:
        names = iter(manifest.feature_names)
        self.features = {tensor.name: tuple(islice(names, tensor.width)) for tensor in manifest.input_tensors}
        self._only = next(iter(self.features)) if len(self.features) == 1 else None

    def unwrap(self, row: Any, location: str) -> Any:
        """A row as validation takes it; ``location`` is where an input's values were, with ``{}`` for its name.

        Raises:
            BadInstancesError: an input does not have one value for each of its features.
        """
        if type(row) is not dict or row.keys() != self.features.keys():
            return row
        if self._only is not None:
            value = row[self._only]
            if isinstance(value, _LIST_OR_OBJECT):
                return value
            if len(self.features[self._only]) > 1:
                return row
        by_feature: dict[str, Any] = {}
        for name, features in self.features.items():
            values = row[name] if type(row[name]) is list else [row[name]]
            if len(values) != len(features):
                message = f"{location.format(name)} must have {len(features)} numbers, not {len(values)}"
                raise BadInstancesError(f"{message}, in this order: {', '.join(features)}")
            by_feature.update(zip(features, values, strict=True))
        return by_feature

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
        return {name: value[0] if type(value) is list and len(value) == 1 else value for name, value in row.items()}

    def rows(self, instances: Any) -> list[Any]:
        """The rows of ``instances``."""
        rows = require_list(instances, "instances")
        return [self.unwrap(row, f"instances[{index}].{{}}") for index, row in enumerate(rows)]

    def rows_of_columns(self, inputs: Any) -> list[Any]:
        """The rows of ``inputs``: rows, or a list of the rows' values for each input or for each feature.

        The only feature of a model may have the name of its input; its values are not rows.
        """
        if type(inputs) is dict and self._only is not None and inputs.keys() == {self._only}:
            values = inputs[self._only]
            if (
                not isinstance(values, list)
                or not values
                or any(isinstance(value, _LIST_OR_OBJECT) for value in values)
            ):
                inputs = values
        if isinstance(inputs, list):
            return inputs
        if type(inputs) is not dict or not all(isinstance(column, list) for column in inputs.values()):
            raise BadInstancesError(
                "`inputs` must be a list of rows, or an object with a list of values for each feature"
            )
        if len({len(column) for column in inputs.values()}) > 1:
            raise BadInstancesError("`inputs` must have the same number of values for every feature")
        rows = [dict(zip(inputs, values, strict=True)) for values in zip(*inputs.values(), strict=True)]
        return [self.unwrap(row, f"inputs.{{}}[{index}]") for index, row in enumerate(rows)]


inputs_of = PerModel(lambda model: ModelInputs(model.manifest))


def require_list(rows: Any, form: str) -> list[Any]:
    """The rows of a request's form, ``instances`` or ``inputs``.

    Raises:
        BadInstancesError: they are not in a list.
    """
    if not isinstance(rows, list):
        raise BadInstancesError(f"`{form}` must be a list of rows")
    return rows
