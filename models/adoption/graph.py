"""A functional Keras model as one list of steps, those of nested models among them, that can be run in part or anew."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from models.adoption.keras_model import as_functional, list_symbolic_inputs, name_symbolic_outputs
from models.tensorflow_setup import keras


@dataclass(frozen=True, eq=False)
class Tensor:
    """A value in the graph; ``shape`` is without the batch, ``maker`` is the layer that computes it, if any."""

    shape: tuple[int | None, ...]
    dtype: str
    maker: Any = None


@dataclass(frozen=True, eq=False)
class Step:
    """One call of a layer or of another operation of Keras."""

    operation: Any
    arguments: Any
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]

    @property
    def kind(self) -> str:
        """The name of the operation's class."""
        return type(self.operation).__name__

    def run(self, values: Mapping[Tensor, Any]) -> dict[Tensor, Any]:
        """The values of its outputs: tensors for tensors, symbolic ones for symbolic ones."""
        own = {id(key): values[tensor] for key, tensor in zip(self.arguments.keras_tensors, self.inputs, strict=True)}
        arguments, keywords = self.arguments.fill_in(own)
        if self.kind == "TFDIdentity":  # FeatureSpace's own layers, which do the same as Keras' public ones
            results = list(own.values())
        elif self.kind == "TFDConcat":
            results = [keras.layers.Concatenate(axis=self.operation.axis)(*arguments, **keywords)]
        else:
            if getattr(self.operation, "_call_has_training_arg", False):
                keywords = {**keywords, "training": False}
            results = keras.tree.flatten(self.operation(*arguments, **keywords))
        return dict(zip(self.outputs, results, strict=True))


@dataclass(frozen=True, eq=False)
class Graph:
    """The steps in an order in which they can run; ``inputs`` and ``outputs`` are in the model's order."""

    inputs: tuple[Tensor, ...]
    steps: tuple[Step, ...]
    outputs: dict[str, Tensor]

    def find_steps(self, tensors: Iterable[Tensor]) -> list[Step]:
        """The steps that compute some tensors from the inputs."""
        needed, found = set(tensors), []
        for step in reversed(self.steps):
            if needed.intersection(step.outputs):
                needed.update(step.inputs)
                found.append(step)
        return found[::-1]


def read_graph(model: Any) -> Graph | None:
    """The graph of a functional or sequential model; None for a subclassed one."""
    if as_functional(model) is None:
        return None
    symbolic = list_symbolic_inputs(model)
    inputs = tuple(_tensor(each) for each in symbolic)
    steps: list[Step] = []
    values = _read(model, dict(zip(map(id, symbolic), inputs, strict=True)), steps)
    outputs = {name: values[id(tensor)] for name, tensor in name_symbolic_outputs(model)}
    return Graph(inputs, tuple(steps), outputs)


def list_calls(model: Any) -> Iterable[Any]:
    """Each call of an operation in a functional or sequential model, as Keras' node, in the order that Keras runs."""
    functional = as_functional(model)
    for depth in sorted(functional._nodes_by_depth, reverse=True):  # noqa: SLF001 (there is no public way)
        for node in functional._nodes_by_depth[depth]:  # noqa: SLF001
            if not node.is_input:
                yield node


def _read(model: Any, values: dict[int, Tensor], steps: list[Step]) -> dict[int, Tensor]:
    """Append a model's steps; the tensors by the ids of Keras' symbolic ones, ``values`` has the inputs'."""
    values = dict(values)
    for node in list_calls(model):
        inputs = tuple(values[id(tensor)] for tensor in node.arguments.keras_tensors)
        inner = as_functional(node.operation) if isinstance(node.operation, keras.Model) else None
        if inner is not None:
            own = _read(inner, dict(zip(map(id, inner.inputs), inputs, strict=True)), steps)
            results = tuple(own[id(tensor)] for tensor in inner.outputs)
        else:
            results = tuple(_tensor(tensor, node.operation) for tensor in node.outputs)
            steps.append(Step(node.operation, node.arguments, inputs, results))
        values.update(zip(map(id, node.outputs), results, strict=True))
    return values


def _tensor(symbolic: Any, maker: Any = None) -> Tensor:
    return Tensor(tuple(symbolic.shape[1:]), str(symbolic.dtype), maker)
