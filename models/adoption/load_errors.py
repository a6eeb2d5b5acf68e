"""What Keras' errors on loading a model mean, and what to do."""

import re
from importlib.metadata import version

from models.adoption.errors import AdoptionError
from models.adoption.model_file import ModelFile

_EXPORT = "export it there with model.export('folder') and adopt that folder"
_MISSING = re.compile(
    r"(?:Could not locate (?:class|function)|Unknown (?:layer|object|activation function):?) '([^']+)'"
)
_UNKNOWN_ARGUMENT = re.compile(
    r"(?:Unrecognized keyword arguments?|unexpected keyword argument)[^{']*('[^']+'|\{[^}]*\})"
)


def explain_load_error(error: Exception, file: ModelFile) -> AdoptionError:
    """Say in one sentence why Keras cannot load a file."""
    text = str(error)
    if "lambda" in text.lower() and ("safe_mode" in text or "arbitrary code" in text):
        return AdoptionError(
            f"{file.path} has a Lambda layer, whose code would come from the file, so it is not loaded: "
            "export the model with model.export('folder') and adopt that folder, or write the layer as a class"
        )
    if missing := _MISSING.search(text):
        name = missing[1].split(">")[-1]
        return AdoptionError(
            f"{file.path} uses {name}, which is not part of Keras: pass --custom module:{name} with the module that "
            "defines it (this runs its code), or export the model with model.export('folder') and adopt that folder"
        )
    own = version("keras")
    if _is_newer(file.keras_version, own):
        return AdoptionError(
            f"{file.path} was saved by Keras {file.keras_version}, which Keras {own} here cannot read "
            f"({summarize(error)}): {_EXPORT}"
        )
    if file.keras_version.startswith("2"):
        return AdoptionError(
            f"{file.path} was saved by Keras {file.keras_version}, and Keras {own} here cannot read it "
            f"({summarize(error)}): save it there with model.save('folder') and adopt that folder"
        )
    return AdoptionError(f"Keras {own} cannot read {file.path} ({summarize(error)}): {_EXPORT}")


def summarize(error: Exception) -> str:
    """An error in at most 150 characters of one line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 150 else f"{text[:149]}…"  # noqa: PLR2004 (as the docstring says)


def _is_newer(saved_by: str, own: str) -> bool:
    def key(text: str) -> list[int]:
        return [int(part) for part in re.findall(r"\d+", text)[:2]]

    return key(saved_by) > key(own)
