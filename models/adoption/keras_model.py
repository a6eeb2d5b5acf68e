"""A Keras model's inputs and outputs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.adoption.activations import LINEAR, describe_layer, name_function
from models.adoption.errors import AdoptionError
from models.adoption.loaded_model import InputTensor, LoadedOutput
from models.tensorflow_setup import keras, tf

TRAINING_ONLY = (  # layers that change nothing when a model predicts
    keras.layers.Dropout,
    keras.layers.GaussianNoise,
    keras.layers.GaussianDropout,
    keras.layers.AlphaDropout,
    keras.layers.ActivityRegularization,
    keras.layers.Identity,
)


def describe_inputs(model: Any) -> tuple[InputTensor, ...]:
    """What the model takes for one row.

    Raises:
        AdoptionError: it takes anything but values in one row of columns, or its input is not known.
    """
    structure = _input_structure(model)
    tensors = _list_tensors(structure)
    names = list(structure) if _is_dict(structure) else [tensor.name for tensor in tensors]
    return tuple(describe_input(name, tensor.shape, tensor.dtype) for name, tensor in zip(names, tensors, strict=True))


def list_symbolic_inputs(model: Any) -> list[Any]:
    """The symbolic input tensors of a functional or sequential model, in the order of `describe_inputs`."""
    return _list_tensors(as_functional(model).input)


def _list_tensors(structure: Any) -> list[Any]:
    return list(structure.values()) if _is_dict(structure) else list(keras.tree.flatten(structure))


def _is_dict(structure: Any) -> bool:
    """Whether an input is a dict of tensors, whose keys are the names that the user knows."""
    return isinstance(structure, Mapping) and not any(map(keras.tree.is_nested, structure.values()))


def describe_input(name: str, shape: Sequence[int | None], dtype: str) -> InputTensor:
    """An input tensor of this shape, the batch included.

    Raises:
        AdoptionError: it does not take one row of columns.
    """
    batch, *row = shape
    if batch is not None:
        raise AdoptionError(f"input {name} takes exactly {batch} rows at once: build the model without a batch size")
    if None in row:
        raise AdoptionError(
            f"input {name} takes {_write(row)} values, an unknown number: build the model with a fixed shape"
        )
    sizes = [size for size in row if size is not None]
    if sum(size > 1 for size in sizes) > 1 or 0 in sizes:
        raise AdoptionError(
            f"input {name} takes a block of {_write(row)} values (an image or a sequence), not one row of columns: "
            "only models of tables can be adopted"
        )
    return InputTensor(name, tuple(sizes), dtype)


def as_functional(model: Any) -> Any:
    """The model as a graph of layers; None for a subclassed one, and for a Sequential that was never built."""
    functional = getattr(model, "_functional", model)
    return functional if getattr(functional, "_nodes_by_depth", None) else None


def _write(shape: Sequence[int | None]) -> str:
    return " x ".join("?" if size is None else str(size) for size in shape) or "no"


def _input_structure(model: Any) -> Any:
    """The model's input as Keras describes it: a tensor, or a list or dict of tensors."""
    if functional := as_functional(model):
        return functional.input
    shapes = getattr(model, "_build_shapes_dict", None) or {}
    shape = shapes.get("input_shape", next(iter(shapes.values()), None)) if len(shapes) <= 1 else shapes
    if not shape:
        raise AdoptionError(
            "the model has no input shape, it was saved before it was built: add keras.Input((n,)) as its first layer, "
            "or run it once on a row, and save it again"
        )
    dtype = model.compute_dtype if not model.compute_dtype.endswith("float16") else "float32"
    if isinstance(shape, Mapping):
        return {name: keras.KerasTensor((None, *part[1:]), dtype, name=name) for name, part in shape.items()}
    if isinstance(shape[0], list | tuple):
        return [keras.KerasTensor((None, *part[1:]), dtype, name=f"input_{i}") for i, part in enumerate(shape)]
    return keras.KerasTensor((None, *shape[1:]), dtype, name="inputs")


def call(model: Any, tensors: Sequence[Any]) -> list[tuple[str, Any]]:
    """Run the model on its input tensors, in the order of `describe_inputs`; each output comes with its name."""
    structure = _input_structure(model)
    if _is_dict(structure):
        arguments: Any = dict(zip(structure, tensors, strict=True))
    else:
        arguments = keras.tree.pack_sequence_as(structure, list(tensors))
    return _name_outputs(model, model(arguments, training=False))


def _name_outputs(model: Any, outputs: Any) -> list[tuple[str, Any]]:
    if isinstance(outputs, Mapping):
        return [(str(name), output) for name, output in outputs.items()]
    flat = keras.tree.flatten(outputs)
    functional = as_functional(model)
    names = functional.output_names if functional else []
    if len(names) != len(flat):
        names = [f"output_{i}" for i in range(len(flat))]
    named: list[tuple[str, Any]] = []
    for name, output in zip(names, flat, strict=True):
        taken = [other for other, _ in named]
        named.append((name if name not in taken else f"{name}_{len(taken)}", output))
    return named


def describe_outputs(model: Any, example: Sequence[tuple[str, Any]]) -> tuple[LoadedOutput, ...]:
    """The model's outputs; ``example`` is what `call` returned for a batch of two rows.

    Raises:
        AdoptionError: there is none, or one is not a row of numbers.
    """
    if not example:
        raise AdoptionError("the model has no output: save one that has")
    symbolic = dict(name_symbolic_outputs(model))
    return tuple(
        describe_output(name, value, find_activation(symbolic[name]) if name in symbolic else None)
        for name, value in example
    )


def name_symbolic_outputs(model: Any) -> list[tuple[str, Any]]:
    """The symbolic output tensors of a functional or sequential model with their names; none for a subclassed one."""
    functional = as_functional(model)
    return _name_outputs(functional, functional.output) if functional else []


def describe_output(name: str, example: Any, activation: str | None) -> LoadedOutput:
    """One output; ``example`` is its value for a batch of two rows.

    Raises:
        AdoptionError: it is not a row of numbers.
    """
    if not isinstance(example, tf.Tensor) or not (example.dtype.is_floating or example.dtype.is_integer):
        raise AdoptionError(f"output {name} is not a tensor of numbers: save a model whose outputs are")
    shape = tuple(example.shape)
    if not shape or shape[0] != 2 or sum(size > 1 for size in shape[1:]) > 1:  # noqa: PLR2004 (two rows)
        raise AdoptionError(
            f"output {name} is not one row of numbers for each row, but of shape {shape} for two rows: only models "
            "of tables can be adopted"
        )
    return LoadedOutput(name, int(np.prod(shape[1:])), activation)


def find_activation(tensor: Any) -> str | None:  # noqa: PLR0911 (one for each kind of operation)
    """Keras' name of the function that gives a symbolic tensor; None if it cannot be told."""
    operation, node_index, tensor_index = tensor._keras_history  # noqa: SLF001 (the only record)
    if isinstance(operation, keras.Model) and (functional := as_functional(operation)):
        return find_activation(functional.outputs[tensor_index])
    if isinstance(operation, _PASSING):
        sources = operation._inbound_nodes[node_index].arguments.keras_tensors  # noqa: SLF001
        found = {find_activation(source) for source in sources}
        return found.pop() if len(found) == 1 else None
    if isinstance(operation, _LINEAR):
        return "linear"
    if type(operation).__name__ in ("Sigmoid", "Softmax") and not isinstance(operation, keras.Layer):
        return type(operation).__name__.lower()  # keras.ops.sigmoid(…)
    if described := describe_layer(operation):
        return described.name
    function = getattr(operation, "activation", None)
    if isinstance(operation, keras.layers.Dense | keras.layers.EinsumDense):
        if isinstance(function, keras.Layer):
            inner = describe_layer(function)
            return inner and inner.name
        known = LINEAR if function is None else name_function(function)
        return known and known.name
    return None


_PASSING = (*TRAINING_ONLY, keras.layers.Reshape, keras.layers.Flatten, keras.layers.Concatenate)
_LINEAR = (
    keras.layers.InputLayer,
    keras.layers.BatchNormalization,
    keras.layers.Normalization,
    keras.layers.Rescaling,
    keras.layers.Add,
)


def walk_layers(model: Any) -> list[Any]:
    """All layers of a model, those of nested models and wrappers too."""
    return [layer for layer in model._flatten_layers(include_self=False) if layer is not model]  # noqa: SLF001


def read_values(variable: Any) -> NDArray[Any]:
    """The value of a Keras variable or tensor."""
    values: NDArray[Any] = tf.convert_to_tensor(variable).numpy()
    return values
