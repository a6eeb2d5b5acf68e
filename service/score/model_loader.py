"""Loads the model that the service would serve under the same settings, or two of its versions."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from models import bundle
from models.bundle import BundleError
from service.inference import sandbox
from service.inference.model import Model
from service.inference.registry import find_shadow, model_source, serving_candidates
from service.inference.schema_change import describe_difference
from service.settings import Settings


def find_bundle(settings: Settings) -> Path:
    """The folder of the bundle that the settings select, once it has passed the sandbox check.

    Raises:
        BundleError: there is none, or it fails the check; the service would go on with an older version.
    """
    home = model_source(settings).folder
    candidates = serving_candidates(home, settings.model_version, find_shadow(home)[0])
    if not candidates:
        raise BundleError(bundle.missing_model_message(home))
    folder = next(iter(candidates.values()))
    sandbox.check_in_subprocess(folder, settings.engine)
    return folder


def load_model(settings: Settings) -> Model:
    """The model in the bundle that the settings select.

    Raises:
        BundleError, StartupError: as `find_bundle` and `Model.open`.
    """
    return Model.open(find_bundle(settings), settings.engine, settings.default_model)


def load_versions(settings: Settings, versions: tuple[int, int]) -> tuple[Model, Model]:
    """The two versions, the one that serves first, once they have passed the sandbox check.

    Raises:
        BundleError: one is missing or fails the check, or their schemas differ, so that the second could not serve.
        StartupError: as `Model.open`.
    """
    home = model_source(settings).folder
    folders = bundle.find_version_folders(home)
    if not folders:
        raise BundleError(bundle.missing_model_message(home))
    serving, shadow = (_open_version(settings, home, folders, number) for number in versions)
    if difference := describe_difference(shadow, serving, f"version {serving.version}"):
        raise BundleError(f"{difference}: only versions with the same schema can be compared")
    return serving, shadow


def _open_version(settings: Settings, home: Path, folders: Mapping[int, Path], number: int) -> Model:
    if number not in folders:
        raise BundleError(f"{home} has no version {number}: choose from {', '.join(map(str, folders))}")
    sandbox.check_in_subprocess(folders[number], settings.engine)
    model = Model.open(folders[number], settings.engine, settings.default_model)
    if model.version != number:
        raise BundleError(f"{folders[number]} has version {model.version}: move it to the folder of its version")
    return model


def manifest_sha256(model: Model) -> str:
    """The SHA-256 of a bundle's manifest.json, which itself holds the hash of every other file."""
    return hashlib.sha256((model.bundle.folder / bundle.MANIFEST).read_bytes()).hexdigest()
