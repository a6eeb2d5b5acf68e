"""The versions of one model that are loaded, and which of them serves.

The store is looked at again and again. A version that appears is verified, stood to its self-test and then taken over
between two requests, so that every answer is wholly of one version. A version that is no good is refused and told of;
what served goes on serving.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from models import bundle
from models.bundle import BundleError
from service.http.errors import StartupError
from service.http.messages import Handler, Reply, Request, Route
from service.inference import sandbox
from service.inference.model import Model
from service.inference.sandbox import Trial
from service.monitoring.model_metrics import Ledger
from service.settings import Settings

_TRIAL_SECONDS = 60  # TensorFlow, if it is what computes, takes some to load

_log = logging.getLogger("menagerie")
_Fingerprint = Sequence[tuple[str, int, int]]
_Key = tuple[str, str]


class Version(NamedTuple):
    """A loaded version: its model, who answers what with it, and the files that it was loaded from."""

    model: Model
    routes: Sequence[Route]
    handlers: Mapping[_Key, Handler]
    fingerprint: _Fingerprint


Equip = Callable[["Shelf", Model], Sequence[Route]]


class Shelf:
    """The versions of the model that the settings name.

    ``equip`` makes a loaded model's routes for a shelf; the shelf's own are the same, each answered by the version that
    the path names or by the one that serves.
    """

    def __init__(self, settings: Settings, equip: Equip, stand: Trial, ledger: Ledger) -> None:
        self._settings = settings
        self._equip = equip
        self._stand = stand
        self._home = settings.model_dir or settings.model_store / settings.model_name
        self._there: dict[int, Path] = {}
        self._ledger = ledger
        self._loaded: dict[int, Version] = {}
        self.looked = 0.0  # at the store, the last time that it could be (Unix time)
        self._refused: dict[int, tuple[_Fingerprint, str]] = {}
        self.current: Version

    @classmethod
    def open(cls, settings: Settings, equip: Equip, stand: Trial, ledger: Ledger) -> "Shelf":
        """A shelf with a version that serves; every version must first ``stand`` a trial; ``ledger`` is told of all.

        Raises:
            BundleError: no version is any good; the message is of the one that was wanted first.
            StartupError: the engine cannot be had.
        """
        shelf = cls(settings, equip, stand, ledger)
        shelf.refresh()
        return shelf

    @property
    def routes(self) -> list[Route]:
        """Every route, answered by whichever version it concerns."""
        return [
            route._replace(handler=partial(self.answer, (route.method, route.path))) for route in self.current.routes
        ]

    @property
    def versions(self) -> list[int]:
        """What is loaded, oldest first."""
        return sorted(self._loaded)

    @property
    def models(self) -> list[Model]:
        """The same as models."""
        return [self._loaded[number].model for number in self.versions]

    @property
    def refused(self) -> dict[str, str]:
        """Why versions that lie in the store are not served, by number; where the store lies is nobody's business."""
        told = sorted(self._refused.items())
        home, name = str(self._home), self._home.name
        return {str(n): reason.replace(f"{home}/", "").replace(home, name) for n, (_, reason) in told}

    def answer(self, key: _Key, request: Request) -> Reply:
        """The reply of the version that the path names, or of the one that serves, which may refuse the name."""
        named = request.parameters.get("version")
        version = self._named.get(named, self.current) if named else self.current
        request.record.version = version.model.number
        return version.handlers[key](request)

    def watch(self) -> None:
        """Look at the store every ``poll_seconds``, in a thread; call it once in each process that answers."""
        self._stand = sandbox.stand  # there are threads from now on
        if self._settings.poll_seconds:
            threading.Thread(target=self._watch, name="shelf", daemon=True).start()

    def refresh(self) -> None:
        """Look at the store once, and let the version serve that should.

        Raises:
            BundleError, StartupError: none is any good, and none serves yet.
        """
        self._there = bundle.find_version_folders(self._home)
        wanted, before = self._wanted(), self._refused
        self._refused = {number: why for number, why in self._refused.items() if number in {*self._there, *wanted}}
        found = ((number, self._get(number)) for number in wanted)
        chosen = next(((number, version) for number, version in found if version), None)
        if chosen:
            self._serve(*chosen)
        elif not self._loaded:
            raise BundleError(self._nothing(wanted))
        for number, refusal in self._refused.items():
            if before.get(number) != refusal:
                self._ledger.tell("refused")
                _log.error("version %d is refused: %s", number, refusal[1])
        self.looked = time.time()

    def _wanted(self) -> Sequence[int]:
        """The versions that may serve, best first: the one pinned, or pointed at, or else the newest before others."""
        if self._settings.model_version:
            return [self._settings.model_version]
        pointed = bundle.read_current_version(self._home)
        return [pointed] if pointed else [*reversed(self._there)]

    def _get(self, number: int) -> Version | None:
        """A version as it lies in the store now, as it was loaded earlier, or None if it is no good."""
        loaded = self._loaded.get(number)
        folder = self._there.get(number, self._home / str(number))
        fingerprint = _fingerprint(folder)
        known, _ = self._refused.get(number, (None, ""))
        if known == fingerprint:
            return loaded
        if not loaded or loaded.fingerprint != fingerprint:
            try:
                loaded = self._open(number, folder, fingerprint)
            except (BundleError, StartupError) as error:
                self._refused[number] = fingerprint, str(error)
                return loaded
        self._refused.pop(number, None)
        return loaded

    def _open(self, number: int, folder: Path, fingerprint: _Fingerprint) -> Version:
        settings = self._settings
        self._stand(folder, settings.engine, _TRIAL_SECONDS)
        model = Model.open(folder, settings.engine, self._ledger, settings.model_name if settings.model_dir else "")
        _require_place(model, settings.model_name, number)
        if self._loaded:
            _require_schema(model, self.current.model)
        model.statistics.loaded()
        routes = self._equip(self, model)
        handlers = {(route.method, route.path): route.handler for route in routes}
        return Version(model, routes, handlers, fingerprint)

    def _serve(self, number: int, version: Version) -> None:
        """Let a version serve, beside the newest others that are to be kept."""
        loaded = {number: version}
        for other in reversed(self._there):
            if len(loaded) < self._settings.keep_versions and other != number and (kept := self._get(other)):
                loaded[other] = kept
        before, self._loaded = self._loaded, loaded
        self._named = {str(number): version for number, version in loaded.items()}
        if before and self.current is not version:
            self._ledger.tell("forward" if number > self.current.model.number else "back")
            _log.info("version %d serves, instead of %s", number, self.current.model.identity["version"])
        self.current = version
        if before.keys() - loaded.keys():
            gc.collect()  # what a version leaves behind refers to itself here and there, and is hardly ever looked for

    def _nothing(self, wanted: Sequence[int]) -> str:
        if not wanted and self._settings.model_dir:
            return (
                f"no model in {self._home}: MENAGERIE_MODEL_DIR must be a bundle's folder, or one that holds <version>/"
            )
        if not wanted:
            return bundle.missing_model_message(self._home)
        return self._refused[wanted[0]][1]

    def _watch(self) -> None:
        told = ""
        while True:
            time.sleep(self._settings.poll_seconds)
            try:
                self.refresh()
            except Exception as error:  # noqa: BLE001 (whatever lies in a store, what serves goes on serving)
                if told != (told := str(error)):  # once, not at every look
                    _log.error("the store cannot be looked at: %s", told)


def _require_place(model: Model, name: str, number: int) -> None:
    """A bundle answers for the name and the version that it was looked for under.

    Raises:
        BundleError: it is of another model or version.
    """
    manifest = model.manifest
    if (manifest.name, manifest.version) != (name, number):
        raise BundleError(
            f"{model.bundle.folder} holds {manifest.name}/{manifest.version} in the place of {name}/{number}: "
            "put the bundle where it belongs"
        )


def _require_schema(model: Model, serving: Model) -> None:
    """Callers count on the features and labels that they were told: another schema takes a restart.

    Raises:
        BundleError: names, units or order differ; bounds may.
    """
    ours, theirs = ([(feature.name, feature.unit) for feature in one.features] for one in (serving, model))
    if ours != theirs or serving.labels != model.labels:
        raise BundleError(
            f"{model.bundle.folder} has other features or labels than what serves: restart the service to serve it"
        )


def _fingerprint(folder: Path) -> _Fingerprint:
    """What tells that nothing in a folder has changed: every file's name, time and size; nothing if it is not there."""
    try:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        return [(str(path), status.st_mtime_ns, status.st_size) for path in files for status in (path.stat(),)]
    except OSError:  # it vanishes while looked at
        return []
