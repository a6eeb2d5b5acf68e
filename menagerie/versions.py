"""The versions of one model: what they are, whether they can be served, and the choice between them."""

from collections.abc import Iterator
from pathlib import Path

from menagerie.errors import CommandError
from models.bundle import (
    Bundle,
    BundleError,
    find_version_folders,
    missing_model_message,
    read_current_version,
    write_current_version,
)
from service.inference.registry import Registry, model_source, serving_candidates
from service.inference.sandbox import check_in_subprocess
from service.inference.schema_change import require_same_schema
from service.settings import Settings


class Versions:
    """The versions of the model that the settings choose."""

    def __init__(self, settings: Settings) -> None:
        """Find the versions.

        Raises:
            BundleError: there is none, or the folder cannot be read.
        """
        self._settings = settings
        self._home = model_source(settings).folder
        self._folders = find_version_folders(self._home)
        self.name = settings.model_name
        if not self._folders:
            raise BundleError(missing_model_message(self._home))

    @property
    def numbers(self) -> list[int]:
        """The versions, oldest first."""
        return list(self._folders)

    def describe(self) -> Iterator[str]:
        """A line for the model and one for each version.

        Raises:
            BundleError: ``CURRENT`` does not hold the number of a version.
        """
        serving, reason = self._find_serving()
        yield f"{self.name} in {self._home}"
        width = len(str(self.numbers[-1]))
        for number, folder in self._folders.items():
            note = f", serves ({reason})" if number == serving else ""
            yield f"{number:>{width + 2}}  {_describe(folder)}{note}"
        if serving not in self._folders:
            yield f"{serving:>{width + 2}}  missing ({reason})"

    def find_fault(self, number: int) -> str | None:
        """Why the service would refuse a version; None if it would not."""
        try:
            self._load(number)
        except BundleError as error:
            return str(error)
        return None

    def find_previous(self) -> int:
        """The newest version that is older than the one that serves.

        Raises:
            BundleError: ``CURRENT`` does not hold the number of a version.
            CommandError: there is no older one.
        """
        serving, _ = self._find_serving()
        older = [number for number in self._folders if number < serving]
        if not older:
            raise CommandError(f"there is no version before {serving}: `menagerie bundle list` shows all")
        return older[-1]

    def promote(self, number: int) -> list[str]:
        """Write a version that can be served into ``CURRENT``; return what keeps a service from following.

        Raises:
            BundleError: the version cannot be served, or ``CURRENT`` cannot be written.
            CommandError: there is no such version, or nothing to choose from.
        """
        if self._folders.get(number) == self._home:
            raise CommandError(f"{self._home} is one bundle, not a folder of versions: there is nothing to choose from")
        if number not in self._folders:
            raise CommandError(f"there is no version {number}: there are {', '.join(map(str, self.numbers))}")
        warnings = self._find_schema_change(self._load(number))
        if pinned := self._settings.model_version:
            warnings += [f"MENAGERIE_MODEL_VERSION is {pinned} here: a service with that setting ignores CURRENT"]
        write_current_version(self._home, number)
        return warnings

    def _find_serving(self) -> tuple[int, str]:
        """The version that a service would prefer, and why."""
        if self._settings.model_version:
            return self._settings.model_version, "MENAGERIE_MODEL_VERSION"
        is_chosen = read_current_version(self._home) is not None
        return next(iter(serving_candidates(self._home, None))), "CURRENT" if is_chosen else "newest"

    def _load(self, number: int) -> Registry:
        """A registry that serves a version, which has passed every check of the service.

        Raises:
            BundleError: it fails one.
        """
        settings = self._settings.model_copy(update={"model_version": number, "keep_versions": 1})
        return Registry.open(settings, check_in_subprocess)

    def _find_schema_change(self, registry: Registry) -> list[str]:
        """Why a running service would not change to a version; empty also if none could be running."""
        try:
            serving = self._load(self._find_serving()[0])
        except BundleError:
            return []
        try:
            require_same_schema(registry.current.model, serving.current.model)
        except BundleError as error:
            return [str(error)]
        return []


def _describe(folder: Path) -> str:
    try:
        bundle = Bundle.read(folder)
    except BundleError as error:
        return f"damaged: {error}"
    return f"{'trained' if bundle.is_trained else 'adopted'} {bundle.manifest.training.created}".rstrip()
