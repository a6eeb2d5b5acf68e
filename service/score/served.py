"""The model that the service would serve."""

import hashlib
from pathlib import Path

from models import bundle
from service import trial
from service.model import Model
from service.settings import Settings
from service.statistics import Ledger

_TRIAL_SECONDS = 60


def folder(settings: Settings) -> Path:
    """The bundle that the settings mean, tried where a crash does no harm.

    Raises:
        BundleError: there is none, or it is no good; unlike the service, no older one is taken instead.
    """
    home = settings.model_store / settings.model_name
    version = settings.model_version or bundle.pointed(home)
    found = home / str(version) if version else bundle.newest(settings.model_store, settings.model_name)
    trial.stand(found, settings.engine, _TRIAL_SECONDS)
    return found


def load(found: Path, engine: str) -> Model:
    """The model in a bundle's folder.

    Raises:
        BundleError, StartupError: as `Model.open`.
    """
    return Model.open(found, engine, Ledger())


def fingerprint(model: Model) -> str:
    """What tells this model from every other of its name and version: its manifest vouches for all of it."""
    return hashlib.sha256((model.bundle.folder / bundle.MANIFEST).read_bytes()).hexdigest()
