"""A SavedModel: a graph of TensorFlow's operations with signatures, without Keras' layers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from models.adoption.errors import AdoptionError, summarize
from models.adoption.keras_model import describe_input, describe_output
from models.adoption.loaded_model import InputTensor, LoadedModel
from models.adoption.model_file import ModelFile
from models.tensorflow_setup import tf

_SIGNATURES = ("serving_default", "serve")
_EXPORT = "export the Keras model with model.export('folder') and adopt that folder"
# Operations that read or write files, call Python or other machines: a graph is a program, and no network needs these.
_FORBIDDEN = re.compile(
    "File|Dataset|Reader|PyFunc|Print|Save|Restore|Checkpoint|Debug|Summary|Remote|Rpc|Dump|Log(ger|String)"
)
_SAVER = re.compile("__inference__traced_(save|restore)_")  # what TensorFlow adds to save a model again


def load_saved_model(file: ModelFile) -> LoadedModel:
    """Load the folder of a SavedModel.

    Raises:
        AdoptionError: it cannot be read, is not of TensorFlow 2, or has no signature that takes rows of numbers.
    """
    _check_graph(file.path)
    try:
        loaded = tf.saved_model.load(str(file.path))
    except Exception as error:  # noqa: BLE001 (TensorFlow raises nearly anything)
        raise AdoptionError(f"TensorFlow cannot load {file.path} ({summarize(error)}): {_EXPORT}") from None
    signatures = dict(getattr(loaded, "signatures", {}))
    name = next((name for name in (*_SIGNATURES, *signatures) if name in signatures), None)
    if name is None:
        raise AdoptionError(f"{file.path} has no signature to call (as on TensorFlow Hub): {_EXPORT}")
    signature = signatures[name]
    specs = dict(sorted(signature.structured_input_signature[1].items()))  # TensorFlow gives them in any order
    shapes = {key: _require_shape(key, spec.shape) for key, spec in specs.items()}
    if list(shapes.values()) == [[None, None]]:
        shapes = {key: [None, _find_width(signature, key, specs[key].dtype)] for key in shapes}
    if texts := [key for key, spec in specs.items() if spec.dtype == tf.string]:
        raise AdoptionError(
            f"input {texts[0]} takes text, but a SavedModel is a graph without layers, so it cannot be seen where text "
            "becomes numbers: adopt the .keras or .h5 file that the model was saved to"
        )
    tensors = tuple(describe_input(key, shapes[key], spec.dtype.name) for key, spec in specs.items())
    names = sorted(signature.structured_outputs)

    def run(values: Sequence[Any]) -> list[Any]:
        # The signature has only a weak reference to what it was loaded with.
        outputs = loaded.signatures[name](**{tensor.name: value for tensor, value in zip(tensors, values, strict=True)})
        return [outputs[output] for output in names]

    return LoadedModel(
        description=file.description,
        tensors=tensors,
        outputs=tuple(
            describe_output(output, value, None) for output, value in zip(names, run(_example(tensors)), strict=True)
        ),
        run=run,
        resource=loaded,
    )


def _check_graph(folder: Path) -> None:
    """Refuse a graph that is not TensorFlow 2's, or that would touch files or call Python."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    content = SavedModel()
    try:
        content.ParseFromString((folder / "saved_model.pb").read_bytes())
    except (DecodeError, OSError):
        raise AdoptionError(f"{folder / 'saved_model.pb'} is damaged: copy the folder again") from None
    if not content.meta_graphs or not content.meta_graphs[0].HasField("object_graph_def"):
        raise AdoptionError(f"{folder} is a SavedModel of TensorFlow 1: {_EXPORT}")
    for function in content.meta_graphs[0].graph_def.library.function:
        if _SAVER.match(function.signature.name):
            continue
        for node in function.node_def:
            called = [attribute.func.name for attribute in node.attr.values() if attribute.HasField("func")]
            if _FORBIDDEN.search(node.op) or any(map(_SAVER.match, called)):
                raise AdoptionError(
                    f"{folder} has the operation {node.op}, which no network needs, so it is not run: {_EXPORT}"
                )


def _require_shape(name: str, shape: Any) -> list[int | None]:
    if shape.rank is None or not shape.rank:
        raise AdoptionError(f"input {name} of the signature has no known shape: {_EXPORT}")
    return list(shape.as_list())


def _find_width(signature: Any, name: str, dtype: Any) -> int | None:
    """The number of columns of an input that does not say it, as with a Normalization first: the largest that runs.

    One column always runs, because it is taken for all. Only sizes of the model's variables are tried.
    """
    sizes = {size for variable in signature.variables for size in variable.shape if size}
    for size in sorted(sizes, reverse=True):
        try:
            signature(**{name: tf.zeros((2, size), dtype)})
        except tf.errors.InvalidArgumentError:
            continue
        return int(size)
    return None


def _example(tensors: Sequence[InputTensor]) -> list[Any]:
    return [tf.zeros((2, *tensor.shape), tensor.dtype) for tensor in tensors]
