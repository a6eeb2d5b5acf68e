"""The output tensors that a model offers in the Open Inference Protocol, and how each is made from a prediction.

First the outputs as the model itself gives them, by their own names; then what the service derives from them; then the
hidden layers. Of several with the same name, the first has it.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from service.arrays import Prediction
from service.inference.heads import HeadColumns, predict_label_sets, predict_labels
from service.inference.model import Model, PerModel
from service.protocols.oip_tensors import Tensor

LABEL, PROBABILITIES, PREDICTED, WARNINGS = "label", "probabilities", "predicted", "warnings"


class ModelOutput(NamedTuple):
    """An output of ``widths`` beside the number of rows; it needs the outputs of ``layers`` beside the last one.

    ``labels`` are those of its columns, if these are scores of labels.
    """

    name: str
    datatype: str
    widths: tuple[int, ...]
    tensor: Callable[[Prediction], Tensor]
    layers: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()


class ModelOutputs:
    """All outputs of a model ``by_name``, and those that a request gets that names none: ``defaults``.

    ``scored`` has the names of those whose columns are scores of labels.
    """

    def __init__(self, model: Model) -> None:
        raw = [_raw_output(model, head) for head in model.heads]
        derived = [output for head in model.heads for output in _derived_outputs(model, head)]
        hidden = [
            _layer(layer.name, layer.units) for layer in model.manifest.layers if layer.name in model.hidden_layers
        ]
        self.by_name: dict[str, ModelOutput] = {}
        for output in (*raw, *derived, _warnings(model), *hidden):
            self.by_name.setdefault(output.name, output)
        self.defaults = [output.name for output in raw]
        if model.labels and LABEL not in self.defaults:
            self.defaults.append(LABEL)
        self.scored = [output.name for output in self.by_name.values() if output.labels]


outputs_of = PerModel(ModelOutputs)


def _raw_output(model: Model, head: HeadColumns) -> ModelOutput:
    """An output as the model itself gives it."""
    name, columns, width = head.head.name, head.raw_columns, head.raw_width
    if columns is None:
        return _layer(head.head.layer, width, name)

    def all_columns(prediction: Prediction) -> Tensor:
        return Tensor(name, prediction.outputs.shape, prediction.outputs)

    def some_columns(prediction: Prediction) -> Tensor:
        return Tensor(name, (len(prediction.outputs), width), prediction.outputs[:, columns])

    tensor = all_columns if width == len(model.column_names) else some_columns
    return ModelOutput(name, "FP32", (width,), tensor, (), head.head.labels if columns == head.columns else ())


def _derived_outputs(model: Model, head: HeadColumns) -> Iterator[ModelOutput]:
    """What a head predicts, as labels; and its probabilities, where the model gives something else."""
    prefix = f"{head.head.name}." if len(model.heads) > 1 else ""
    if head.head.kind == "classification":
        yield _label(model, head, prefix + LABEL)
    if head.head.labels and head.raw_columns != head.columns:
        yield _probabilities(head, prefix + PROBABILITIES)
    if head.head.kind == "multi_label":
        yield _predicted(head, prefix + PREDICTED)


def _label(model: Model, head: HeadColumns, name: str) -> ModelOutput:
    labels = head.head.labels
    of_one_row = [Tensor(name, (1,), [label]) for label in labels]

    def of_model(prediction: Prediction) -> Tensor:
        indices = prediction.labels
        if len(indices) == 1:
            return of_one_row[indices[0]]
        return Tensor(name, (len(indices),), [labels[index] for index in indices])

    def of_head(prediction: Prediction) -> Tensor:
        indices = predict_labels(head.head, head.of(prediction.outputs))
        return Tensor(name, (len(indices),), [labels[index] for index in indices])

    return ModelOutput(name, "BYTES", (), of_model if model.labels else of_head)


def _probabilities(head: HeadColumns, name: str) -> ModelOutput:
    labels = head.head.labels

    def tensor(prediction: Prediction) -> Tensor:
        values = head.of(prediction.outputs)
        return Tensor(name, values.shape, values)

    return ModelOutput(name, "FP32", (len(labels),), tensor, (), labels)


def _predicted(head: HeadColumns, name: str) -> ModelOutput:
    """Whether each label of a multi-label head is predicted."""

    def tensor(prediction: Prediction) -> Tensor:
        values = predict_label_sets(head.head, head.of(prediction.outputs))
        return Tensor(name, values.shape, values)

    return ModelOutput(name, "BOOL", (len(head.head.labels),), tensor)


def _warnings(model: Model) -> ModelOutput:
    def tensor(prediction: Prediction) -> Tensor:
        sentences = ["; ".join(sentences) for sentences in model.warnings(prediction)]
        return Tensor(WARNINGS, (len(sentences),), sentences)

    return ModelOutput(WARNINGS, "BYTES", (), tensor)


def _layer(layer: str, units: int, name: str = "") -> ModelOutput:
    """A layer's output, under its own name unless it has another."""
    name = name or layer

    def tensor(prediction: Prediction) -> Tensor:
        values = prediction.layers[layer]
        return Tensor(name, values.shape, values)

    return ModelOutput(name, "FP32", (units,), tensor, (layer,))
