"""The versions of one model: what they are, whether they can be served, and the choice between them."""

from collections.abc import Iterator
from pathlib import Path

from menagerie.errors import CommandError
from models.bundle import (
    Bundle,
    BundleError,
    delete_shadow_version,
    find_version_folders,
    missing_model_message,
    read_current_version,
    write_current_version,
    write_shadow_version,
)
from service.inference.registry import Registry
from service.inference.sandbox import check_in_subprocess
from service.inference.schema_change import require_same_schema
from service.inference.source import choose_candidates, find_shadow, model_source
from service.settings import Settings


class Versions:
    """The versions of the model that the settings choose."""

    def __init__(self, settings: Settings) -> None:
        """Find the versions.

        Raises:
            BundleError: there is none, or the folder cannot be read.
        """
        self._settings = settings
        self._source = model_source(settings)
        self._home = self._source.folder
        self._folders = find_version_folders(self._home)
        self.name = settings.default_model
        if not self._folders:
            raise BundleError(missing_model_message(self._home))

    @property
    def numbers(self) -> list[int]:
        """The versions, oldest first."""
        return list(self._folders)

    def describe(self) -> Iterator[str]:
        """A line for the model and one for each version.

        Raises:
            BundleError: ``CURRENT`` does not hold the number of a version, or none may serve.
        """
        shadow, fault = find_shadow(self._home)
        serving, reason = self._find_serving(shadow)
        notes = {shadow: "shadow", serving: f"serves ({reason})"}
        yield f"{self.name} in {self._home}"
        width = len(str(self.numbers[-1]))
        for number, folder in self._folders.items():
            note = f", {notes[number]}" if number in notes else ""
            yield f"{number:>{width + 2}}  {_describe(folder)}{note}"
        if serving not in self._folders:
            yield f"{serving:>{width + 2}}  missing ({reason})"
        if shadow and shadow not in self._folders:
            yield f"{shadow:>{width + 2}}  missing (shadow)"
        if fault:
            yield f"no shadow: {fault}"

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
        serving, _ = self._find_serving(self._shadow)
        older = [number for number in self._folders if number < serving]
        if not older:
            raise CommandError(f"there is no version before {serving}: `menagerie bundle list` shows all")
        return older[-1]

    def promote(self, number: int) -> list[str]:
        """Write a version that can be served into ``CURRENT``; return what keeps a service from following.

        If the version was the shadow, it no longer is.

        Raises:
            BundleError: the version cannot be served, or a file cannot be written.
            CommandError: there is no such version, or nothing to choose from.
        """
        self._require_choice()
        if number not in self._folders:
            raise CommandError(f"there is no version {number}: there are {', '.join(map(str, self.numbers))}")
        warnings = self._find_schema_change(self._load(number))
        if pinned := self._settings.model_version:
            warnings += [f"MENAGERIE_MODEL_VERSION is {pinned} here: a service with that setting ignores CURRENT"]
        write_current_version(self._home, number)
        if self._shadow == number:  # only now, so that no other version serves in between
            delete_shadow_version(self._home)
        return warnings

    def set_shadow(self, number: int) -> str:
        """Write a version into ``SHADOW``: one that can be served, or one that is yet to come. Return what follows.

        Raises:
            BundleError: the version cannot be served or compared with the serving one, or the file cannot be written.
            CommandError: it would leave no version to serve, or there is nothing to choose from.
        """
        self._require_choice()
        if self.numbers == [number]:
            raise CommandError(f"version {number} is the only one: there is none to compare it with")
        serving = self._find_serving(number)[0]
        if serving == number:
            raise CommandError(f"version {number} serves: promote another version first")
        if number in self._folders:
            self._require_comparable(number, serving)
        write_shadow_version(self._home, number)
        waiting = "" if number in self._folders else ", once it exists,"
        return f"{self.name} {number}{waiting} is compared with {serving}, which serves"

    def stop_shadow(self) -> str:
        """Delete ``SHADOW``; return which version serves then.

        Raises:
            BundleError: the file cannot be deleted.
        """
        delete_shadow_version(self._home)
        return f"{self.name} has no shadow; {self._find_serving(None)[0]} is the version to serve"

    @property
    def _shadow(self) -> int | None:
        return find_shadow(self._home)[0]

    def _require_choice(self) -> None:
        """Raise a CommandError if there are no versions to choose from."""
        if self._home in self._folders.values():
            raise CommandError(f"{self._home} is one bundle, not a folder of versions: there is nothing to choose from")

    def _find_serving(self, shadow: int | None) -> tuple[int, str]:
        """The version that a service would prefer, and why.

        Raises:
            BundleError: ``CURRENT`` does not hold the number of a version, or none may serve.
        """
        candidates = choose_candidates(self._folders, self._source, shadow)
        if not candidates:
            raise BundleError(missing_model_message(self._home))
        is_chosen = read_current_version(self._home) is not None
        reason = "MENAGERIE_MODEL_VERSION" if self._source.pinned else "CURRENT" if is_chosen else "newest"
        return next(iter(candidates)), reason

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
            serving = self._load(self._find_serving(self._shadow)[0])
        except BundleError:
            return []
        try:
            require_same_schema(registry.current.model, serving.current.model)
        except BundleError as error:
            return [str(error)]
        return []

    def _require_comparable(self, number: int, serving: int) -> None:
        """Raise a BundleError if a version cannot be compared with the serving one."""
        require_same_schema(self._load(number).current.model, self._load(serving).current.model)


def _describe(folder: Path) -> str:
    try:
        bundle = Bundle.read(folder)
    except BundleError as error:
        return f"damaged: {error}"
    return f"{'trained' if bundle.is_trained else 'adopted'} {bundle.manifest.training.created}".rstrip()
