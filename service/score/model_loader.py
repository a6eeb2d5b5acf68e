"""Loads the model that the service would serve under the same settings."""

import hashlib
from pathlib import Path

from models import bundle
from models.bundle import BundleError
from service.inference import sandbox
from service.inference.model import Model
from service.monitoring.model_metrics import Ledger
from service.monitoring.shared_counters import Memory
from service.settings import Settings

_CHECK_SECONDS = 60


def find_bundle(settings: Settings) -> Path:
    """The folder of the bundle that the settings select, once it has passed the sandbox check.

    Raises:
        BundleError: there is none, or it fails the check; the service would go on with an older version.
    """
    home = settings.model_dir or settings.model_store / settings.model_name
    folders = bundle.find_version_folders(home)
    version = settings.model_version or bundle.read_current_version(home) or max(folders, default=None)
    if version is None:
        raise BundleError(bundle.missing_model_message(home))
    folder = folders.get(version, home / str(version))
    sandbox.stand(folder, settings.engine, _CHECK_SECONDS)
    return folder


def load_model(folder: Path, engine: str, name: str) -> Model:
    """The model in a bundle's folder, served under ``name``.

    Raises:
        BundleError, StartupError: as `Model.open`.
    """
    return Model.open(folder, engine, Ledger(Memory()), name)


def fingerprint(model: Model) -> str:
    """The SHA-256 of the bundle's manifest, which itself holds the hash of every other file."""
    return hashlib.sha256((model.bundle.folder / bundle.MANIFEST).read_bytes()).hexdigest()
