"""Reads a user's model from its file. Nothing of the file's code runs: Keras' safe mode is always on."""

import shutil
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.adoption import keras_model
from models.adoption.custom_objects import import_custom_objects
from models.adoption.cutting import Cut, find_cut
from models.adoption.errors import AdoptionError, summarize
from models.adoption.keras_2_file import copy_for_keras_3
from models.adoption.load_errors import explain_load_error
from models.adoption.loaded_model import InputTensor, LoadedModel, join_columns
from models.adoption.model_file import ModelFile, identify
from models.adoption.quietness import without_output
from models.adoption.raw_columns import RawColumn
from models.adoption.saved_model import load_saved_model
from models.adoption.training_signs import find_warnings, require_finite_weights
from models.tensorflow_setup import keras, tf


def load(path: Path, custom: Sequence[str] = ()) -> LoadedModel:
    """Load a model from a ``.keras`` or ``.h5`` file, or from the folder of a SavedModel.

    ``custom`` names the user's own classes and functions, each as ``module:name``; importing them runs their code.

    Raises:
        AdoptionError: it cannot be loaded, or takes or gives something else than rows of numbers.
    """
    file = identify(Path(path))
    custom_objects = import_custom_objects(custom)
    if file.format == "saved_model":
        return load_saved_model(file)
    model = _load_keras(file, custom_objects)
    if isinstance(model, keras.utils.FeatureSpace):
        raise AdoptionError(
            f"{file.path} is a FeatureSpace without a model: save the inference model on its inputs, "
            "keras.Model(space.get_inputs(), network(space.get_encoded_features()))"
        )
    require_finite_weights(model)
    tensors = keras_model.describe_inputs(model)
    cut = find_cut(model, tensors)
    try:
        example = keras_model.call(model, _make_example(tensors, cut))
    except Exception as error:  # noqa: BLE001 (a user's class can raise anything)
        raise AdoptionError(
            f"{file.path} does not run on a row of zeros ({summarize(error)}): "
            "export it with model.export('folder') and adopt that folder"
        ) from None
    loaded = LoadedModel(
        description=file.description,
        tensors=tensors,
        outputs=keras_model.describe_outputs(model, example),
        run=lambda values: [output for _, output in keras_model.call(model, values)],
        resource=model,
        network=model,
        custom_objects=custom_objects,
        warnings=find_warnings(model, file.steps),
        cut=cut,
    )
    return replace(loaded, cut=replace(cut, columns=_probe_nan(loaded, cut))) if cut else loaded


def _probe_nan(loaded: LoadedModel, cut: Cut) -> tuple[RawColumn, ...]:
    """The columns of a cut model, with whether it gives finite numbers where a number is missing."""
    examples = [np.array([column.example]) for column in cut.columns]
    described = []
    for index, (column, dtype) in enumerate(zip(cut.columns, loaded.column_dtypes, strict=True)):
        accepts = False
        if not column.is_category and dtype.startswith("float"):
            probe = [*examples[:index], np.array([np.nan], np.float32), *examples[index + 1 :]]
            with suppress(AdoptionError):
                accepts = all(np.isfinite(values).all() for values in loaded.predict_raw(probe).values())
        described.append(replace(column, accepts_nan=accepts))
    return tuple(described)


def _make_example(tensors: Sequence[InputTensor], cut: Cut | None) -> list[Any]:
    """Two rows that the model can take."""
    if cut is None:
        return [tf.zeros((2, *tensor.shape), tensor.dtype) for tensor in tensors]
    return join_columns(tensors, [np.array([column.example] * 2) for column in cut.columns])


def _load_keras(file: ModelFile, custom_objects: dict[str, Any]) -> Any:
    """Load a file with Keras, which goes by the name's ending: so a file with another one is copied."""
    with tempfile.TemporaryDirectory() as folder, without_output():
        path, copy = file.path, Path(folder) / f"model.{file.format}"
        try:
            if file.format == "h5" and file.keras_version.startswith("2"):
                path = copy_for_keras_3(path, copy)
            elif path.suffix != copy.suffix:
                path = Path(shutil.copy(path, copy))
            return keras.saving.load_model(path, custom_objects=custom_objects, compile=False, safe_mode=True)
        except Exception as error:  # noqa: BLE001 (Keras raises nearly anything)
            raise explain_load_error(error, file) from None
