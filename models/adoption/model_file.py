"""What a model's file is, told by its content: Keras' zip file, HDF5, or the folder of a SavedModel."""

import json
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

import h5py

from models.adoption.errors import AdoptionError, summarize

_RESAVE = "save the whole model with model.save('model.keras') and adopt that file"
_ZIP, _HDF5 = b"PK\x03\x04", b"\x89HDF\r\n\x1a\n"
_OTHER_FORMATS = {  # by the file name's ending
    ".tflite": "a LiteRT network, of which the weights and layers cannot be read back",
    ".onnx": "an ONNX network",
    ".pt": "a PyTorch file",
    ".pth": "a PyTorch file",
    ".safetensors": "a file of weights without a model",
    ".pkl": "a pickle, which runs code when it is read",
    ".joblib": "a pickle, which runs code when it is read",
    ".json": "a model's configuration without its weights",
    ".pb": "one file of a SavedModel; name the folder that it lies in",
    ".index": "a checkpoint, which has weights without a model",
    ".ckpt": "a checkpoint, which has weights without a model",
}


class ModelFile(NamedTuple):
    """A file or folder that seems to hold a model.

    ``keras_version`` is that of the Keras that saved it, "" if unknown. ``steps`` is the number of training steps that
    the optimizer's state in the file counted; None if the file has none.
    """

    path: Path
    format: Literal["keras", "h5", "saved_model"]
    keras_version: str = ""
    steps: int | None = None

    @property
    def description(self) -> str:
        """The file's name and what saved it."""
        what = f"saved by Keras {self.keras_version}" if self.keras_version else "a SavedModel"
        return f"{self.path.resolve().name}, {what}"


def identify(path: Path) -> ModelFile:
    """Tell what a file is.

    Raises:
        AdoptionError: it is not there, cannot be read, or holds no model that can be adopted.
    """
    try:
        if path.is_dir():
            return _identify_folder(path)
        with path.open("rb") as file:
            start = file.read(200)
    except FileNotFoundError:
        raise AdoptionError(f"{path} does not exist: name the file or folder of a model") from None
    except OSError as error:
        raise AdoptionError(f"cannot read {path} ({error.strerror}): name a file that can be read") from None
    if start.startswith(_ZIP):
        return _identify_zip(path)
    if start.startswith(_HDF5):
        return _identify_hdf5(path)
    raise _no_model(path, start)


def _no_model(path: Path, start: bytes) -> AdoptionError:
    if not start:
        return AdoptionError(f"{path} is empty: copy it again")
    if start.startswith(b"version https://git-lfs"):
        return AdoptionError(f"{path} is a pointer of Git LFS, not the file itself: run `git lfs pull`")
    what = _OTHER_FORMATS.get(path.suffix.lower())
    if what is None and path.suffix in (".keras", ".h5", ".hdf5"):
        return AdoptionError(f"{path} is damaged, it does not start as a {path.suffix} file does: copy it again")
    return AdoptionError(f"{path} is {what or 'no Keras model'}: {_RESAVE}")


def _identify_folder(path: Path) -> ModelFile:
    if (path / "saved_model.pb").is_file():
        return ModelFile(path, "saved_model")
    if (path / "config.json").is_file() and (path / "model.weights.h5").is_file():
        raise AdoptionError(f"{path} is an unpacked .keras file: name the .keras file itself, or pack it as a zip file")
    if (path / "saved_model.pbtxt").is_file():
        raise AdoptionError(f"{path} is a SavedModel of TensorFlow 1 in text form: {_RESAVE}")
    if (path / "manifest.json").is_file():
        raise AdoptionError(f"{path} is a bundle already: serve it with MENAGERIE_MODEL_STORE and MENAGERIE_MODEL_NAME")
    raise AdoptionError(f"{path} is a folder without a saved_model.pb: name a model's file, or a SavedModel's folder")


def _identify_zip(path: Path) -> ModelFile:
    try:
        with zipfile.ZipFile(path) as archive:
            version = _require_keras_3(path, archive)
            if damaged := archive.testzip():
                raise zipfile.BadZipFile(damaged)  # noqa: TRY301 (as the others that the library raises)
            with archive.open("model.weights.h5") as weights, h5py.File(weights) as content:
                return ModelFile(path, "keras", version, _read_steps(content, "optimizer/vars/0"))
    except (zipfile.BadZipFile, OSError, EOFError, ValueError, AttributeError, NotImplementedError) as error:
        raise AdoptionError(f"{path} is damaged or cut off ({summarize(error)}): copy it again") from None


def _require_keras_3(path: Path, archive: zipfile.ZipFile) -> str:
    """The version of the Keras that wrote a zip file."""
    names = set(archive.namelist())
    if not {"config.json", "metadata.json"} <= names:
        what = "a PyTorch file" if any(name.endswith("data.pkl") for name in names) else "a zip file"
        raise AdoptionError(f"{path} is {what} without a Keras model: {_RESAVE}")
    version = str(json.loads(archive.read("metadata.json")).get("keras_version", ""))
    if version.startswith("2."):
        raise AdoptionError(
            f"{path} was saved by Keras {version}, whose .keras files Keras 3 cannot read: "
            "in Keras 2, save it with model.save('model.h5') and adopt that file"
        )
    if "model.weights.h5" not in names:
        raise AdoptionError(f"{path} has no weights: {_RESAVE}")
    return version


def _identify_hdf5(path: Path) -> ModelFile:
    try:
        with h5py.File(path) as content:
            if "model_config" not in content.attrs:
                raise AdoptionError(f"{path} has weights without a model: {_RESAVE}")
            version = content.attrs.get("keras_version", "")
            version = version.decode() if isinstance(version, bytes) else str(version)
            names = [f"optimizer_weights/{name}" for name in _find_counters(content)]
            return ModelFile(path, "h5", version or "2", _read_steps(content, *names))
    except (OSError, ValueError, RuntimeError) as error:
        raise AdoptionError(f"{path} is damaged or cut off ({summarize(error)}): copy it again") from None


def _find_counters(content: h5py.File) -> list[str]:
    """The names of datasets below ``optimizer_weights`` that count an optimizer's steps."""
    found: list[str] = []
    if "optimizer_weights" in content:
        content["optimizer_weights"].visit(
            lambda name: found.append(name) if name.split("/")[-1].split(":")[0] in ("iteration", "iter") else None
        )
    return found


def _read_steps(content: h5py.File, *names: str) -> int | None:
    for name in names:
        dataset = content.get(name)
        if isinstance(dataset, h5py.Dataset) and dataset.shape == ():
            return int(dataset[()])
    return None
