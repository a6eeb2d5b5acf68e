"""The model that the service would serve."""

import hashlib
from pathlib import Path

from models import bundle
from models.bundle import BundleError
from service.inference import sandbox
from service.inference.model import Model
from service.monitoring.model_metrics import Ledger
from service.monitoring.shared_counters import Memory
from service.settings import Settings

_TRIAL_SECONDS = 60


def folder(settings: Settings) -> Path:
    """The bundle that the settings mean, tried where a crash does no harm.

    Raises:
        BundleError: there is none, or it is no good; unlike the service, no older one is taken instead.
    """
    home = settings.model_dir or settings.model_store / settings.model_name
    there = bundle.find_version_folders(home)
    version = settings.model_version or bundle.read_current_version(home) or max(there, default=None)
    if version is None:
        raise BundleError(bundle.missing_model_message(home))
    found = there.get(version, home / str(version))
    sandbox.stand(found, settings.engine, _TRIAL_SECONDS)
    return found


def load(found: Path, engine: str, name: str) -> Model:
    """The model in a bundle's folder, under that name.

    Raises:
        BundleError, StartupError: as `Model.open`.
    """
    return Model.open(found, engine, Ledger(Memory()), name)


def fingerprint(model: Model) -> str:
    """What tells this model from every other of its name and version: its manifest vouches for all of it."""
    return hashlib.sha256((model.bundle.folder / bundle.MANIFEST).read_bytes()).hexdigest()
