"""What Keras' errors on loading a model mean, and what to do."""

import re
from importlib.metadata import version

from models.adoption.errors import AdoptionError, summarize
from models.adoption.model_file import ModelFile

_KERAS_2_OPERATIONS = ("TFOpLambda", "SlicingOpLambda")
_MISSING = re.compile(
    r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|activation function):?) '([^']+)'"
)
_EMPTY_LOOKUP = re.compile(r"<(\w+Lookup) name=([^,>]+).*cannot be empty", re.DOTALL)
_UNKNOWN_ARGUMENT = re.compile(r"Unrecognized keyword arguments? passed to [^}]*}|unexpected keyword argument '[^']*'")


def explain_load_error(error: Exception, file: ModelFile) -> AdoptionError:
    """Say in one sentence why Keras cannot load a file."""
    text = str(error)
    export = f"export the model with model.{_export_method(file)}('folder') and adopt that folder"
    if "lambda" in text.lower() and ("safe_mode" in text or "arbitrary code" in text):
        return AdoptionError(
            f"{file.path} has a Lambda layer, whose code would come from the file, so it is not loaded: "
            f"{export}, or write the layer as a class"
        )
    if empty := _EMPTY_LOOKUP.search(text):
        return AdoptionError(
            f"{file.path}: layer {empty[2]} ({empty[1]}) has no vocabulary: call its adapt() with the column's values, "
            "train, and save the model again"
        )
    missing = _MISSING.search(text)
    name = missing[1].split(">")[-1] if missing else ""
    if name and name not in _KERAS_2_OPERATIONS:
        return AdoptionError(
            f"{file.path} uses {name}, which is not part of Keras: pass --custom module:{name} with the module that "
            f"defines it (this runs its code), or {export}"
        )
    own = version("keras")
    unknown = _UNKNOWN_ARGUMENT.search(text)
    reason = f"it has no {name}" if name else unknown[0] if unknown else summarize(error)
    if _is_newer(file.keras_version, own):
        return AdoptionError(
            f"{file.path} was saved by Keras {file.keras_version}, which is newer than Keras {own} here and cannot be "
            f"read ({reason}): there, {export}"
        )
    if file.keras_version.startswith("2"):
        return AdoptionError(
            f"{file.path} was saved by Keras {file.keras_version}, and Keras {own} here cannot read it ({reason}): "
            f"in Keras 2, {export}"
        )
    return AdoptionError(f"Keras {own} cannot read {file.path} ({reason}): where it was made, {export}")


def _export_method(file: ModelFile) -> str:
    """What writes a SavedModel: Keras 2 has ``export`` only in its last versions."""
    return "save" if file.keras_version.startswith("2") else "export"


def _is_newer(saved_by: str, own: str) -> bool:
    def key(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)[:2]]

    return key(saved_by) > key(own)
