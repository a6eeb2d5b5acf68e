"""Edits the configuration in an ``.h5`` file of Keras 2 where Keras 3 would not understand it."""

import json
import shutil
from pathlib import Path
from typing import Any

import h5py

_UNKNOWN_WIDTH = [None, None]


def copy_for_keras_3(path: Path, copy: Path) -> Path:
    """Copy the file and edit the copy: its weights stay as they are. Return the copy."""
    shutil.copy(path, copy)
    with h5py.File(copy, "r+") as content:
        config = json.loads(content.attrs["model_config"])
        layers = config["config"].get("layers", [])
        is_sequential = config.get("class_name") == "Sequential"
        for layer in layers[:2] if is_sequential else []:  # the input layer, and the first one, which repeats its shape
            if layer["config"].get("batch_input_shape") == _UNKNOWN_WIDTH:
                layer["config"]["batch_input_shape"] = [None, _find_width(content, layers)]
        for layer in layers:
            if layer["class_name"] == "Normalization" and not layer["config"].get("axis"):
                _write_statistics(content["model_weights"][layer["config"]["name"]], layer["config"])
        _edit(config)
        content.attrs["model_config"] = json.dumps(config)
    return copy


def _find_width(content: Any, layers: list[Any]) -> int | None:
    """The number of columns that the first layer with weights takes: a Normalization's means or a Dense's kernel."""
    for layer in layers:
        group = content["model_weights"].get(layer["config"]["name"], {})
        names = group.attrs.get("weight_names", ()) if group else ()
        shapes = [group[name].shape for name in names]
        if shapes:
            known = layer["class_name"] in ("Normalization", "Dense", "BatchNormalization") and shapes[0]
            return int(shapes[0][0]) if known else None
    return None


def _write_statistics(group: Any, config: dict[str, Any]) -> None:
    """Make the one mean and variance of all columns arguments of the layer, because Keras 3 wants one per column."""
    names = list(group.attrs["weight_names"])
    if len(names) > 1:
        config["axis"], config["mean"], config["variance"] = None, *(float(group[name][()]) for name in names[:2])
        group.attrs["weight_names"] = []


def _edit(config: Any) -> None:
    """Remove what Keras 3 no longer has, all through the configuration."""
    if isinstance(config, list):
        for item in config:
            _edit(item)
    elif isinstance(config, dict):
        if config.get("time_major") is False:
            del config["time_major"]
        if config.get("class_name") == "Discretization":
            config["config"].pop("trainable", None)
        for item in config.values():
            _edit(item)
