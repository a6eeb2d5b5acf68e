"""The loaded versions of a model, and which of them serves.

The store is polled (`catalog`). A version that appears is checked, loaded, and serves from the next request on, so that
every response is of one version as a whole. A version that fails its check is refused and reported; the serving one
stays. A version that the file ``SHADOW`` names is loaded too, to be compared with the serving one.
"""

import gc
import logging
import time
from pathlib import Path
from typing import NamedTuple

from models import bundle
from models.bundle import BundleError
from service.http.errors import ModelUnavailableError, NoModelError, StartupError
from service.inference.fingerprint import Fingerprint, read_fingerprint
from service.inference.mixed_validation import make_validator
from service.inference.model import Model
from service.inference.sandbox import SandboxCheck
from service.inference.schema_change import require_same_schema
from service.inference.source import Source, choose_candidates, find_shadow, model_source
from service.inference.validation import Validator
from service.settings import Settings

_log = logging.getLogger("menagerie")


class Version(NamedTuple):
    """A loaded version: its model, the validator of its schema, and the state of the files it was loaded from."""

    model: Model
    validator: Validator
    files: Fingerprint


class Event(NamedTuple):
    """A version of a model was ``loaded`` or ``refused``, or the registry went ``forward`` or ``back`` to it.

    ``trained`` is when a loaded version was trained, as its manifest says.
    """

    model: str
    kind: str
    version: int
    trained: str = ""


class Registry:
    """The versions of one model.

    ``serving`` is the version that serves, None until one could be loaded; ``by_number`` has all that are loaded, as
    paths write them. ``shadow`` is the version that the file ``SHADOW`` names: it does not serve, but is compared with
    the one that does. If there is the file but no shadow, ``shadow_fault`` is the reason.
    """

    def __init__(self, source: Source, settings: Settings, check: SandboxCheck) -> None:
        """Nothing is loaded before `refresh`; each version must pass ``check`` first."""
        self.name = source.name
        self.check = check
        self._source = source
        self._settings = settings
        self._home = source.folder
        self._folders: dict[int, Path] = {}
        self._loaded: dict[int, Version] = {}
        self._refused: dict[int, tuple[Fingerprint, str]] = {}
        self.serving: Version | None = None
        self.shadow: Version | None = None
        self.shadow_fault = ""
        self.by_number: dict[str, Version] = {}
        self.last_poll = 0.0  # Unix time of the last successful look at the store

    @classmethod
    def open(cls, settings: Settings, check: SandboxCheck) -> "Registry":
        """The versions of the default model, loaded.

        Raises:
            BundleError: no version can be served; the message is about the preferred one.
        """
        registry = cls(model_source(settings), settings, check)
        registry.refresh()
        return registry

    @property
    def current(self) -> Version:
        """The version that serves.

        Raises:
            ModelUnavailableError: there is none.
        """
        if self.serving is None:
            raise ModelUnavailableError(self.unavailable_message)
        return self.serving

    @property
    def unavailable_message(self) -> str:
        """What a client is told if no version serves."""
        return f"no version of {self.name} can be served: GET /models has the reason"

    @property
    def versions(self) -> list[int]:
        """The loaded versions, oldest first."""
        return sorted(self._loaded)

    @property
    def models(self) -> list[Model]:
        """The loaded models, oldest first."""
        loaded = self._loaded  # the thread that polls may replace it
        return [loaded[number].model for number in sorted(loaded)]

    @property
    def refused(self) -> dict[str, str]:
        """Why versions in the store are not served, by number; without the path of the store, which is private."""
        return {str(number): self.hide_path(reason) for number, (_, reason) in sorted(self._refused.items())}

    def hide_path(self, reason: str) -> str:
        """A reason without the path of the store, for clients."""
        for folder in (self._home, self._home.parent):
            if folder.name:  # else it is the root
                reason = reason.replace(f"{folder}/", "").replace(str(folder), folder.name)
        return reason

    def select(self, number: str | None) -> Version:
        """The version of a number as paths have it, or the one that serves.

        Raises:
            NoModelError: that version is not loaded.
            ModelUnavailableError: none is.
        """
        version = self.by_number.get(number) if number else self.serving
        if version is None:
            raise NoModelError(
                f"version not found: this service serves version {self.current.model.version} of {self.name}"
            )
        return version

    def find_wanted(self) -> list[Path]:
        """The folders of the versions that `refresh` loads first, if they are sound; none if the store has a fault."""
        try:
            folders = bundle.find_version_folders(self._home)
            shadow, _ = find_shadow(self._home)
            candidates = choose_candidates(folders, self._source, shadow)
        except BundleError:  # which `refresh` reports
            return []
        others = [folder for number, folder in reversed(folders.items()) if number != shadow]
        kept = [*dict.fromkeys([*[*candidates.values()][:1], *others])][: self._settings.keep_versions]
        return [*kept, *(folder for number, folder in folders.items() if number == shadow and folder not in kept)]

    def refresh(self) -> list[Event]:
        """Look at the store once, and let the version serve that should.

        Raises:
            BundleError, StartupError: no version can be served, and none serves yet.
        """
        folders = bundle.find_version_folders(self._home)
        shadow, fault = find_shadow(self._home)
        candidates = choose_candidates(folders, self._source, shadow)
        self._folders = folders | candidates
        events: list[Event] = []
        before, loaded = self._refused, {*map(id, self._loaded.values())}
        self._refused = {number: refusal for number, refusal in self._refused.items() if number in self._folders}
        for number in candidates:
            if version := self._get(number, events):
                self._serve(number, version, shadow, events)
                break
        else:
            if not self._loaded:
                raise BundleError(self._refused[next(iter(candidates))][1] if candidates else self._missing())
        self._set_shadow(*(self._get_shadow(shadow, events) if shadow else (None, fault)))
        for number, refusal in self._refused.items():
            if before.get(number) != refusal:
                events.append(Event(self.name, "refused", number))
                _log.error("version %d of %s is refused: %s", number, self.name, refusal[1])
        self.last_poll = time.time()
        if loaded - {*map(id, self._loaded.values())}:
            gc.collect()  # a dropped version is part of reference cycles, and the collector seldom runs
        return events

    def _get(self, number: int, events: list[Event]) -> Version | None:
        """A version as its files are now, or as it was loaded before if these are refused; None if there is neither."""
        loaded = self._loaded.get(number)
        folder = self._folders[number]
        files = read_fingerprint(folder)
        if not loaded or loaded.files != files:
            refused_files, _ = self._refused.get(number, (None, ""))
            if refused_files == files:
                return loaded
            try:
                loaded = self._load(number, folder, files)
            except (BundleError, StartupError) as error:
                self._refused[number] = files, str(error)
                return loaded
            events.append(Event(self.name, "loaded", number, loaded.model.manifest.training.created))
        self._refused.pop(number, None)  # also if it was refused as the shadow of another version
        return loaded

    def _load(self, number: int, folder: Path, files: Fingerprint) -> Version:
        settings = self._settings
        self.check(folder, settings.engine)
        model = Model.open(folder, settings.engine, self.name if self._source.takes_any_name else "")
        _require_identity(model, self.name, number)
        if self.serving:
            require_same_schema(model, self.serving.model)
        validator = make_validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
        return Version(model, validator, files)

    def _serve(self, number: int, version: Version, shadow: int | None, events: list[Event]) -> None:
        """Let a version serve, and keep the newest others as far as the settings say, beside the ``shadow``."""
        loaded = {number: version}
        for other in reversed([each for each in self._folders if each not in {number, shadow}]):
            if len(loaded) < self._settings.keep_versions and (kept := self._get(other, events)):
                loaded[other] = kept
        if shadow in self._folders and shadow in self._loaded:
            loaded.setdefault(shadow, self._loaded[shadow])
        if number == shadow:
            self.shadow = None  # before it serves: no version is compared with itself
        self._loaded = loaded
        self.by_number = {str(number): version for number, version in loaded.items()}
        previous, self.serving = self.serving, version
        if previous and previous is not version:
            events.append(Event(self.name, "forward" if number > previous.model.version else "back", number))
            _log.info("version %d of %s now serves instead of %d", number, self.name, previous.model.version)

    def _get_shadow(self, number: int, events: list[Event]) -> tuple[Version | None, str]:
        """The version that is to be compared with the serving one, or why there is none."""
        serving = self.current.model
        if number == serving.version:
            return None, f"version {number} serves, so it is not compared: delete the file {bundle.SHADOW}"
        if number not in self._folders:
            return None, f"there is no version {number} yet"
        version = self._get(number, events)
        if version:
            try:
                require_same_schema(version.model, serving)
            except BundleError as error:  # it was loaded when another version served
                self._refused[number] = version.files, str(error)
            else:
                return version, ""
        return None, f"version {number} is refused: {self.refused[str(number)]}"

    def _set_shadow(self, version: Version | None, fault: str) -> None:
        if version:
            number = version.model.version
            self._loaded = {**self._loaded, number: version}
            self.by_number = {**self.by_number, str(number): version}
            if version is not self.shadow:
                _log.info("version %d of %s is compared with the serving one", number, self.name)
        fault = self.hide_path(fault)
        if fault and fault != self.shadow_fault:
            _log.warning("%s has no shadow: %s", self.name, fault)
        self.shadow, self.shadow_fault = version, fault

    def _missing(self) -> str:
        if self._source.takes_any_name and not self._folders:
            return f"no model in {self._home}: MENAGERIE_MODEL_DIR must be a bundle or contain <version>/ folders"
        return bundle.missing_model_message(self._home)


def _require_identity(model: Model, name: str, number: int) -> None:
    """Refuse a bundle that lies under the name or version of another."""
    manifest = model.manifest
    if (manifest.name, manifest.version) != (name, number):
        raise BundleError(
            f"{model.bundle.folder} has the bundle {manifest.name}/{manifest.version} instead of {name}/{number}: "
            "move it to the folder of its name and version"
        )
