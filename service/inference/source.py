"""Where the versions of a model lie, and which of them may serve."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from models import bundle
from models.bundle import BundleError
from service.settings import Settings


class Source(NamedTuple):
    """Where a model lies: the ``folder`` of its versions, or of its only one. ``pinned`` is the version to serve.

    A model that ``takes_any_name`` has its bundles under whatever name they were made.
    """

    name: str
    folder: Path
    pinned: int | None = None
    takes_any_name: bool = False


def model_source(settings: Settings, name: str = "") -> Source:
    """Where a model lies; without a name, the default one.

    ``MENAGERIE_MODEL_DIR`` and ``MENAGERIE_MODEL_VERSION`` are about that model only.
    """
    default = settings.default_model
    if name not in {"", default}:
        return Source(name, settings.model_store / name)
    folder = settings.model_dir or settings.model_store / default
    return Source(default, folder, settings.model_version, takes_any_name=settings.model_dir is not None)


def choose_candidates(folders: Mapping[int, Path], source: Source, shadow: int | None) -> dict[int, Path]:
    """Those of the ``folders`` of versions that may serve, best first.

    That is the pinned version, whether there is a folder or not; else the one in ``CURRENT``; else all, newest first,
    except the ``shadow``, which is to be compared before it serves.

    Raises:
        BundleError: ``CURRENT`` does not hold the number of a version.
    """
    if number := source.pinned or bundle.read_current_version(source.folder):
        return {number: folders.get(number, source.folder / str(number))}
    return {number: folders[number] for number in sorted(folders, reverse=True) if number != shadow}


def find_shadow(home: Path) -> tuple[int | None, str]:
    """The version that the file ``SHADOW`` names, if it does, and what is wrong with the file, if anything is."""
    try:
        return bundle.read_shadow_version(home), ""
    except BundleError as error:
        return None, str(error)
