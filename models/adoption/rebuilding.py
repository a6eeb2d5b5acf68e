"""Builds a Keras model again with settings that LiteRT runs: float32, and recurrent layers without a loop."""

from dataclasses import replace
from typing import Any

from models.adoption import keras_model
from models.adoption.errors import AdoptionError
from models.adoption.load_errors import summarize
from models.adoption.loaded_model import LoadedModel
from models.tensorflow_setup import keras

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_WIDE = ("float64", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16")


def find_reasons(loaded: LoadedModel) -> list[str]:
    """Why a model has to be rebuilt, each as part of a sentence; empty if it need not be."""
    if loaded.network is None:
        return []
    layers = [loaded.network, *keras_model.walk_layers(loaded.network)]
    policies = sorted({layer.dtype_policy.name for layer in layers} & {*_WIDE})
    reasons = [f"rebuilt in float32, it was made in {' and '.join(policies)}"] if policies else []
    loops = [layer.name for layer in layers if type(layer).__name__ in _RECURRENT and not layer.unroll]
    return [*reasons, f"layer {loops[0]} unrolled"] if loops else reasons


def rebuild(loaded: LoadedModel) -> LoadedModel:
    """The same model with the same weights in float32, its recurrent layers unrolled.

    Raises:
        AdoptionError: Keras cannot build it so.
    """
    model = loaded.network
    config = _edit(keras.saving.serialize_keras_object(model))
    try:
        rebuilt = keras.saving.deserialize_keras_object(config, custom_objects=loaded.custom_objects, safe_mode=True)
        rebuilt.set_weights(model.get_weights())
    except Exception as error:  # noqa: BLE001 (Keras and the user's classes raise nearly anything)
        raise AdoptionError(
            f"the model cannot be rebuilt in float32 ({summarize(error)}): "
            "build it with dtype float32 and unroll=True, copy its weights with set_weights, and save it again"
        ) from None
    return replace(
        loaded,
        tensors=keras_model.describe_inputs(rebuilt),
        run=lambda values: [output for _, output in keras_model.call(rebuilt, values)],
        resource=rebuilt,
        network=rebuilt,
    )


def _edit(config: Any) -> Any:
    """The configuration with every dtype in float32 and ``unroll`` set."""
    if isinstance(config, list | tuple):
        return [_edit(item) for item in config]
    if not isinstance(config, dict):
        return config
    if config.get("class_name") == "DTypePolicy" and config["config"]["name"] in _WIDE:
        return {**config, "config": {"name": "float32"}}
    edited = {key: _edit(value) for key, value in config.items()}
    if edited.get("dtype") in _WIDE:
        edited["dtype"] = "float32"
    if edited.get("class_name") in _RECURRENT:
        edited["config"]["unroll"] = True
    return edited
