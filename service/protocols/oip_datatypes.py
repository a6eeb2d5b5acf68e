"""The datatypes that an input of a model has in the Open Inference Protocol, by the kinds of its features."""

from collections.abc import Sequence
from typing import NamedTuple

from models.feature import Feature
from service.http import strict_json
from service.http.errors import BadTensorError
from service.inference.model import Model, PerModel
from service.protocols.oip_tensors import NUMERIC_DATATYPES

ALL_FEATURES = "features"  # a tensor with all features, for a model with several inputs


class InputType(NamedTuple):
    """What tensors an input takes; ``columns`` are those of its ``features`` among all of the model's.

    ``datatype`` is the one that the metadata name. An optional input need not be there. ``blanks`` says for each
    feature whether an empty text stands for a missing value, for which BYTES have nothing else.
    """

    features: Sequence[Feature]
    columns: slice
    datatype: str
    accepted: Sequence[str]
    is_optional: bool
    blanks: Sequence[bool]

    @property
    def is_plain(self) -> bool:
        """Whether the input takes nothing but numbers."""
        return all(feature.is_plain for feature in self.features)

    def require(self, datatype: str, location: str) -> None:
        """Refuse a tensor of another datatype.

        Raises:
            BadTensorError: the message names the accepted ones.
        """
        if datatype in self.accepted:
            return
        message = f"{location}.datatype must be {'one of ' * (len(self.accepted) > 1)}{', '.join(self.accepted)}"
        if not self.is_plain:
            given = strict_json.truncated(datatype)
            message += f" for {self.features[0].name}, {_NOUNS[self.datatype]}, not {given}"
        raise BadTensorError(message)


class InputTypes:
    """The inputs of a model ``by_name``; ``whole`` is the name of the one that takes all features, if there is one."""

    def __init__(self, model: Model) -> None:
        self.by_name: dict[str, InputType] = {}
        start = 0
        for tensor in model.manifest.input_tensors:
            self.by_name[tensor.name] = _input_type(model.features, slice(start, start := start + tensor.width))
        self.names = tuple(self.by_name)
        self.required = [name for name, each in self.by_name.items() if not each.is_optional]
        self.whole: str | None = self.names[0]
        if len(self.names) > 1:
            self.whole = ALL_FEATURES if _kind(model.features) in {_NUMBER, _INTEGER} else None
        if self.whole and self.whole not in self.by_name:
            self.by_name[self.whole] = _input_type(model.features, slice(0, start))


input_types_of = PerModel(InputTypes)

_NUMBER, _INTEGER, _BOOLEAN, _TEXT = "FP32", "INT64", "BOOL", "BYTES"
_NOUNS = {_NUMBER: "a number", _INTEGER: "a whole number", _BOOLEAN: "which is true or false", _TEXT: "a string"}


def _input_type(features: Sequence[Feature], columns: slice) -> InputType:
    own = features[columns]
    datatype = _kind(own)
    return InputType(
        own,
        columns,
        datatype,
        NUMERIC_DATATYPES if datatype in {_NUMBER, _INTEGER} else (datatype,),
        all(not feature.is_required for feature in own),
        [datatype == _TEXT and not feature.is_required and "" not in feature.categories for feature in own],
    )


def _kind(features: Sequence[Feature]) -> str:
    """The datatype that holds the values of all features; BYTES if there is none, in which only texts are valid."""
    kinds = {_datatype(feature) for feature in features}
    if kinds == {_NUMBER, _INTEGER}:
        return _NUMBER
    return kinds.pop() if len(kinds) == 1 else _TEXT


def _datatype(feature: Feature) -> str:
    if not feature.is_category:
        return _INTEGER if feature.kind == "integer" else _NUMBER
    return {str: _TEXT, int: _INTEGER, bool: _BOOLEAN}[feature.category_type]
