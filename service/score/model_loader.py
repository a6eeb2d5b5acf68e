"""Loads the model that the service would serve under the same settings."""

import hashlib
from pathlib import Path

from models import bundle
from models.bundle import BundleError
from service.inference import sandbox
from service.inference.model import Model
from service.inference.registry import model_source, serving_candidates
from service.settings import Settings


def find_bundle(settings: Settings) -> Path:
    """The folder of the bundle that the settings select, once it has passed the sandbox check.

    Raises:
        BundleError: there is none, or it fails the check; the service would go on with an older version.
    """
    home = model_source(settings).folder
    candidates = serving_candidates(home, settings.model_version)
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


def manifest_sha256(model: Model) -> str:
    """The SHA-256 of a bundle's manifest.json, which itself holds the hash of every other file."""
    return hashlib.sha256((model.bundle.folder / bundle.MANIFEST).read_bytes()).hexdigest()
