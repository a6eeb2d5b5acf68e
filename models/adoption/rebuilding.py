"""Builds a Keras model again with settings that LiteRT runs: float32, and recurrent layers without a loop."""

from dataclasses import replace
from typing import Any

from models.adoption import keras_model
from models.adoption.errors import AdoptionError, summarize
from models.adoption.loaded_model import LoadedModel
from models.adoption.quietness import without_output
from models.tensorflow_setup import keras

_RECURRENT = ("LSTM", "GRU", "SimpleRNN")
_HALF = ("float16", "bfloat16", "mixed_float16", "mixed_bfloat16")
_OTHER = ("float64", *_HALF)


def is_half_precision(loaded: LoadedModel) -> bool:
    """Whether a model computes with 16 bits somewhere, so that its results are rounded coarsely."""
    return any(policy in _HALF for policy in _find_policies(loaded))


def describe_precision(loaded: LoadedModel) -> tuple[str, ...]:
    """A sentence about a model that does not compute in float32."""
    policies = _find_policies(loaded)
    return (f"the model computes in {' and '.join(policies)}; it is adopted in float32",) if policies else ()


def describe_loops(loaded: LoadedModel) -> tuple[str, ...]:
    """A sentence for each recurrent layer that runs in a loop."""
    layers = [] if loaded.network is None else keras_model.walk_layers(loaded.network)
    loops = [layer for layer in layers if type(layer).__name__ in _RECURRENT and not layer.unroll]
    return tuple(f"layer {layer.name} ({type(layer).__name__}) is unrolled for LiteRT" for layer in loops)


def _find_policies(loaded: LoadedModel) -> list[str]:
    layers = [] if loaded.network is None else [loaded.network, *keras_model.walk_layers(loaded.network)]
    return sorted({layer.dtype_policy.name for layer in layers} & {*_OTHER})


def rebuild(loaded: LoadedModel) -> LoadedModel:
    """The same model with the same weights in float32, its recurrent layers unrolled.

    Raises:
        AdoptionError: Keras cannot build it so.
    """
    model = loaded.network
    try:
        with without_output():
            config = _edit(keras.saving.serialize_keras_object(model))
            rebuilt = keras.saving.deserialize_keras_object(config, loaded.custom_objects, safe_mode=True)
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
    if config.get("class_name") == "DTypePolicy" and config["config"]["name"] in _OTHER:
        return {**config, "config": {"name": "float32"}}
    edited = {key: _edit(value) for key, value in config.items()}
    if edited.get("dtype") in _OTHER:
        edited["dtype"] = "float32"
    if edited.get("class_name") in _RECURRENT:
        edited["config"]["unroll"] = True
    return edited
