"""Writes a wrapped network for the engines: LiteRT, and TensorFlow as a SavedModel."""

import re
from pathlib import Path

from models.adoption.errors import AdoptionError, summarize
from models.adoption.keras_model import walk_layers
from models.adoption.quietness import without_output
from models.adoption.wrapping import WrappedNetwork
from models.bundle import MODEL_LITERT, SAVED_MODEL, WEIGHTS
from models.tensorflow_setup import keras, tf


def export(wrapped: WrappedNetwork, folder: Path, engine: str = "litert") -> None:
    """Write ``saved_model/``, ``weights.json`` if there are weights, and ``model.tflite`` for the engine ``litert``.

    Raises:
        AdoptionError: LiteRT cannot run the network; the message names the layer.
    """
    folder.mkdir(exist_ok=True)
    with without_output():
        _write_saved_model(wrapped, folder / SAVED_MODEL)
        if engine == "litert":
            (folder / MODEL_LITERT).write_bytes(_convert(wrapped, folder / SAVED_MODEL))
    if wrapped.weights:
        (folder / WEIGHTS).write_text(wrapped.weights.model_dump_json() + "\n", encoding="utf-8")


def _write_saved_model(wrapped: WrappedNetwork, folder: Path) -> None:
    width = wrapped.network.inputs[0].shape[1]
    signature = [tf.TensorSpec((None, width), tf.float32, name="features")]
    archive = keras.export.ExportArchive()
    archive.track(wrapped.network)
    archive.add_endpoint("serving_default", lambda rows: wrapped.network(rows, training=False), signature)
    archive.write_out(str(folder), verbose=False)


def _convert(wrapped: WrappedNetwork, folder: Path) -> bytes:
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder), signature_keys=["serving_default"])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    try:
        content: bytes = converter.convert()
    except Exception as error:  # noqa: BLE001 (the converter's own kinds)
        raise AdoptionError(
            f"LiteRT cannot run {_find_culprit(wrapped, str(error))}: adopt the model for the Keras engine with "
            "--engine keras, or replace the layer"
        ) from None
    return content


def _find_culprit(wrapped: WrappedNetwork, message: str) -> str:
    """What the converter's message is about: a layer of the user's model, or else an operation of TensorFlow.

    The message names the operation with its path of scopes, which are layers. Each has the same suffix as the first,
    the wrapped network itself, because it was traced before.
    """
    located = re.findall(r'fused\["(\w+):", "(?:network(_\d+)?/)?([^"@]*)', message)
    operations = [each for each in located if each[0] not in ("StatefulPartitionedCall", "PartitionedCall")]
    if not operations:
        named = re.search(r"'tf\.(\w+)' op", message)
        return f"the operation {named[1]}" if named else f"the model ({summarize(ValueError(message))})"
    operation, suffix, path = operations[0][0], operations[0][1], operations[0][2].split("/")
    user = next((layer.loaded[0].network for layer in wrapped.network.layers if hasattr(layer, "loaded")), None)
    layers = [] if user is None else [layer for layer in walk_layers(user) if not isinstance(layer, keras.Model)]
    for layer in layers:
        if f"{layer.name}{suffix}" in path:
            return f"layer {layer.name} ({type(layer).__name__}: {operation})"
    return f"the operation {operation}"
