"""The loaded versions of the model, and which of them serves.

The store is polled. A version that appears is checked, loaded, and serves from the next request on, so that every
response is of one version as a whole. A version that fails its check is refused and reported; the serving one stays.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from models import bundle
from models.bundle import BundleError
from service.http.errors import StartupError
from service.http.messages import Request
from service.inference import sandbox
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
    """A version was ``loaded`` or ``refused``, or the registry went ``forward`` or ``back`` to it.

    ``trained`` is when a loaded version was trained, as its manifest says.
    """

    name: str
    version: int
    trained: str = ""


class Registry:
    """The versions of the model that the settings name."""

    def __init__(self, settings: Settings, check: SandboxCheck) -> None:
        """Load the version to serve, and the newest others to keep; each must pass ``check`` first.

        Raises:
            BundleError: no version can be served; the message is about the preferred one.
            StartupError: the engine is not available.
        """
        self._settings = settings
        self._check = check
        self._home = model_folder(settings)
        self._folders: dict[int, Path] = {}
        self._loaded: dict[int, Version] = {}
        self._refused: dict[int, tuple[_Fingerprint, str]] = {}
        self.last_poll = 0.0  # Unix time of the last successful look at the store
        self.current: Version
        self.startup_events = self.refresh()

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
        home, name = str(self._home), self._home.name
        return {
            str(number): reason.replace(f"{home}/", "").replace(home, name)
            for number, (_, reason) in sorted(self._refused.items())
        }

    def select(self, request: Request) -> Version:
        """The version that the request's path names, or else the one that serves.

        Raises:
            NoModelError: the path names another model, or a version that is not loaded.
        """
        parameters = request.parameters
        number = parameters.get("version")
        version = self._by_number.get(number, self.current) if number else self.current
        request.context.version = version.model.version
        if parameters:
            version.model.require_path(parameters)
        return version

    def watch(self, listener: Callable[[Event], None]) -> None:
        """Poll the store in a thread and tell ``listener`` what happens; call it once in each serving process."""
        self._check = sandbox.check_in_subprocess  # a fork is not safe once there are threads
        if self._settings.poll_seconds:
            threading.Thread(target=self._poll, args=(listener,), name="registry", daemon=True).start()

    def refresh(self) -> list[Event]:
        """Look at the store once, and let the version serve that should.

        Raises:
            BundleError, StartupError: no version can be served, and none serves yet.
        """
        candidates = serving_candidates(self._home, self._settings.model_version)
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
                events.append(Event("refused", number))
                _log.error("version %d is refused: %s", number, refusal[1])
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
            events.append(Event("loaded", number, loaded.model.manifest.training.created))
        self._refused.pop(number, None)
        return loaded

    def _load(self, number: int, folder: Path, files: _Fingerprint) -> Version:
        settings = self._settings
        self._check(folder, settings.engine)
        model = Model.open(folder, settings.engine, settings.model_name if settings.model_dir else "")
        _require_identity(model, settings.model_name, number)
        if self._loaded:
            require_same_schema(model, self.current.model)
        validator = make_validator(model.features, max_rows=settings.max_rows, max_errors=settings.max_errors)
        return Version(model, validator, files)

    def _serve(self, number: int, version: Version, events: list[Event]) -> None:
        """Let a version serve, and keep the newest others as far as the settings say."""
        loaded = {number: version}
        for other in reversed(self._folders):
            if len(loaded) < self._settings.keep_versions and other != number and (kept := self._get(other, events)):
                loaded[other] = kept
        before, self._loaded = self._loaded, loaded
        self._by_number = {str(number): version for number, version in loaded.items()}
        if before and self.current is not version:
            events.append(Event("forward" if number > self.current.model.version else "back", number))
            _log.info("version %d now serves instead of %s", number, self.current.model.identity["version"])
        self.current = version
        if before.keys() - loaded.keys():
            gc.collect()  # a dropped version is part of reference cycles, and the collector seldom runs

    def _missing(self) -> str:
        if self._settings.model_dir:
            return f"no model in {self._home}: MENAGERIE_MODEL_DIR must be a bundle or contain <version>/ folders"
        return bundle.missing_model_message(self._home)

    def _poll(self, listener: Callable[[Event], None]) -> None:
        last_error = ""
        while True:
            time.sleep(self._settings.poll_seconds)
            try:
                for event in self.refresh():
                    listener(event)
            except Exception as error:  # noqa: BLE001 (whatever is in the store, the loaded version goes on serving)
                if last_error != (last_error := str(error)):  # once, not at every poll
                    _log.error("cannot poll the model store: %s", last_error)


def model_folder(settings: Settings) -> Path:
    """The folder of the model's versions; it may itself be a bundle if ``model_dir`` names one."""
    return settings.model_dir or settings.model_store / settings.model_name


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
