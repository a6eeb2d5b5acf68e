"""The loaded versions of a model, and which of them serves.

The store is polled (`catalog`). A version that appears is checked, loaded, and serves from the next request on, so that
every response is of one version as a whole. A version that fails its check is refused and reported; the serving one
stays.
"""

import gc
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from models import bundle
from models.bundle import BundleError
from service.http.errors import ModelUnavailableError, NoModelError, StartupError
from service.inference.mixed_validation import make_validator
from service.inference.model import Model
from service.inference.sandbox import SandboxCheck
from service.inference.schema_change import require_same_schema
from service.inference.validation import Validator
from service.settings import Settings

_log = logging.getLogger("menagerie")
_Fingerprint = Sequence[tuple[str, int, int]]


class Version(NamedTuple):
    """A loaded version: its model, the validator of its schema, and the state of the files it was loaded from."""

    model: Model
    validator: Validator
    files: _Fingerprint


class Event(NamedTuple):
    """A version of a model was ``loaded`` or ``refused``, or the registry went ``forward`` or ``back`` to it.

    ``trained`` is when a loaded version was trained, as its manifest says.
    """

    model: str
    kind: str
    version: int
    trained: str = ""


class Source(NamedTuple):
    """Where a model lies: the ``folder`` of its versions, or of its only one. ``pinned`` is the version to serve.

    A model that ``takes_any_name`` has its bundles under whatever name they were made.
    """

    name: str
    folder: Path
    pinned: int | None = None
    takes_any_name: bool = False


class Registry:
    """The versions of one model.

    ``serving`` is the version that serves, None until one could be loaded; ``by_number`` has all that are loaded, as
    paths write them.
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
        self._refused: dict[int, tuple[_Fingerprint, str]] = {}
        self.serving: Version | None = None
        self.by_number: dict[str, Version] = {}
        self.last_poll = 0.0  # Unix time of the last successful look at the store

    @classmethod
    def open(cls, settings: Settings, check: SandboxCheck) -> "Registry":
        """The versions of the model that ``MENAGERIE_MODEL_NAME`` names, loaded.

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
            raise ModelUnavailableError(f"no version of {self.name} can be served: GET /models has the reason")
        return self.serving

    @property
    def versions(self) -> list[int]:
        """The loaded versions, oldest first."""
        return sorted(self._loaded)

    @property
    def models(self) -> list[Model]:
        """The loaded models, oldest first."""
        return [self._loaded[number].model for number in self.versions]

    def find_model(self, number: int) -> Model | None:
        """The model of a version if it is loaded."""
        version = self._loaded.get(number)
        return version.model if version else None

    @property
    def refused(self) -> dict[str, str]:
        """Why versions in the store are not served, by number; without the path of the store, which is private."""
        return {str(number): self._hide_path(reason) for number, (_, reason) in sorted(self._refused.items())}

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

    def refresh(self) -> list[Event]:
        """Look at the store once, and let the version serve that should.

        Raises:
            BundleError, StartupError: no version can be served, and none serves yet.
        """
        candidates = serving_candidates(self._home, self._source.pinned)
        self._folders = bundle.find_version_folders(self._home) | candidates
        events: list[Event] = []
        before = self._refused
        self._refused = {number: refusal for number, refusal in self._refused.items() if number in self._folders}
        for number in candidates:
            if version := self._get(number, events):
                self._serve(number, version, events)
                break
        else:
            if not self._loaded:
                raise BundleError(self._refused[next(iter(candidates))][1] if candidates else self._missing())
        for number, refusal in self._refused.items():
            if before.get(number) != refusal:
                events.append(Event(self.name, "refused", number))
                _log.error("version %d of %s is refused: %s", number, self.name, refusal[1])
        self.last_poll = time.time()
        return events

    def _get(self, number: int, events: list[Event]) -> Version | None:
        """A version as its files are now, or as it was loaded before if these are refused; None if there is neither."""
        loaded = self._loaded.get(number)
        folder = self._folders[number]
        files = _fingerprint(folder)
        refused_files, _ = self._refused.get(number, (None, ""))
        if refused_files == files:
            return loaded
        if not loaded or loaded.files != files:
            try:
                loaded = self._load(number, folder, files)
            except (BundleError, StartupError) as error:
                self._refused[number] = files, str(error)
                return loaded
            events.append(Event(self.name, "loaded", number, loaded.model.manifest.training.created))
        self._refused.pop(number, None)
        return loaded

    def _load(self, number: int, folder: Path, files: _Fingerprint) -> Version:
        settings = self._settings
        self.check(folder, settings.engine)
        model = Model.open(folder, settings.engine, self.name if self._source.takes_any_name else "")
        _require_identity(model, self.name, number)
        if self.serving:
            require_same_schema(model, self.serving.model)
        validator = make_validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
        return Version(model, validator, files)

    def _serve(self, number: int, version: Version, events: list[Event]) -> None:
        """Let a version serve, and keep the newest others as far as the settings say."""
        loaded = {number: version}
        for other in reversed(self._folders):
            if len(loaded) < self._settings.keep_versions and other != number and (kept := self._get(other, events)):
                loaded[other] = kept
        before, self._loaded = self._loaded, loaded
        self.by_number = {str(number): version for number, version in loaded.items()}
        previous, self.serving = self.serving, version
        if previous and previous is not version:
            events.append(Event(self.name, "forward" if number > previous.model.version else "back", number))
            _log.info("version %d of %s now serves instead of %d", number, self.name, previous.model.version)
        if before.keys() - loaded.keys():
            gc.collect()  # a dropped version is part of reference cycles, and the collector seldom runs

    def _missing(self) -> str:
        if self._source.takes_any_name:
            return f"no model in {self._home}: MENAGERIE_MODEL_DIR must be a bundle or contain <version>/ folders"
        return bundle.missing_model_message(self._home)

    def _hide_path(self, reason: str) -> str:
        return reason.replace(f"{self._home}/", "").replace(str(self._home), self._home.name)


def model_source(settings: Settings, name: str = "") -> Source:
    """Where a model lies; without a name, the one that ``MENAGERIE_MODEL_NAME`` names.

    ``MENAGERIE_MODEL_DIR`` and ``MENAGERIE_MODEL_VERSION`` are about that model only.
    """
    if name not in {"", settings.model_name}:
        return Source(name, settings.model_store / name)
    folder = settings.model_dir or settings.model_store / settings.model_name
    return Source(settings.model_name, folder, settings.model_version, takes_any_name=settings.model_dir is not None)


def serving_candidates(home: Path, pinned: int | None) -> dict[int, Path]:
    """The folders of versions that may serve, best first: the pinned one, else that in ``CURRENT``, else newest first.

    Raises:
        BundleError: ``CURRENT`` does not hold the number of a version, or ``home`` is a bundle that can't be read.
    """
    folders = bundle.find_version_folders(home)
    if number := pinned or bundle.read_current_version(home):
        return {number: folders.get(number, home / str(number))}
    return dict(reversed(folders.items()))


def _require_identity(model: Model, name: str, number: int) -> None:
    """Refuse a bundle that lies under the name or version of another."""
    manifest = model.manifest
    if (manifest.name, manifest.version) != (name, number):
        raise BundleError(
            f"{model.bundle.folder} has the bundle {manifest.name}/{manifest.version} instead of {name}/{number}: "
            "move it to the folder of its name and version"
        )


def _fingerprint(folder: Path) -> _Fingerprint:
    """Path, time and size of every file in a folder: equal if nothing has changed, empty if there is no folder."""
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(str(path), status.st_mtime_ns, status.st_size) for path in files for status in (path.stat(),)]
    except OSError:  # it is being removed
        return []
