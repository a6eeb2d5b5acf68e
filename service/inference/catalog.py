"""The models that the service serves, each with its versions.

The store is polled: models and versions that appear are checked and loaded, others are dropped. A model that cannot be
loaded is refused and reported, and takes no other down.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable, Sequence

from models import bundle
from models.bundle import BundleError
from service.http.errors import NoModelError
from service.http.messages import Request
from service.inference import sandbox
from service.inference.model import Model
from service.inference.registry import Event, Registry, Version
from service.inference.sandbox import SandboxCheck
from service.inference.source import Source, model_source
from service.settings import ALL_MODELS, Settings

_log = logging.getLogger("menagerie")
_LOOKS_AT_ONCE = 8  # models, in a millisecond; to wake up for each would double the time
_LISTED_NAMES = 10
_STORE = ""  # in place of a model's name


class Catalog:
    """The models that the settings name, or all in the store.

    ``by_path`` has their registries by the name in a request's path; the default model's is there under an empty name
    too, for paths without one.
    """

    def __init__(self, settings: Settings, check: SandboxCheck) -> None:
        """Load every model; each of its versions must pass ``check`` first.

        Raises:
            BundleError: none can be served; the message is about the default one, or the first.
        """
        self._settings = settings
        self._check = check
        self._faults: dict[str, str] = {}
        self._logged: dict[str, str] = {}
        self.by_path: dict[str, Registry] = {}
        self.default_name = settings.default_model
        self._find_models()
        self._check_together()
        if not settings.models:
            self.startup_events = self.registries[0].refresh()
            return
        self.startup_events = [event for registry in self.registries for event in self._refresh(registry)]
        if not self.models:
            raise BundleError(self._start_fault())
        self._log_faults()

    @property
    def registries(self) -> list[Registry]:
        """The registry of every model, by name; of those too that could not be loaded."""
        by_path = self.by_path  # another thread may replace it
        return [by_path[name] for name in sorted(by_path) if name]

    @property
    def default(self) -> Registry:
        """The registry of the default model.

        Raises:
            NoModelError: there is no such model.
        """
        return self._get("")

    @property
    def unavailable(self) -> list[str]:
        """The names of the models of which no version could be loaded."""
        return [registry.name for registry in self.registries if registry.serving is None]

    @property
    def models(self) -> list[Model]:
        """All loaded versions of all models."""
        return [model for registry in self.registries for model in registry.models]

    @property
    def last_poll(self) -> float:
        """Unix time of the last successful look at the models' folders: that of the one longest ago.

        Without those of models that were never loaded: one folder that is no model would hide when others are not read.
        """
        return min((registry.last_poll for registry in self.registries if registry.last_poll), default=0.0)

    def registry_of(self, request: Request) -> Registry:
        """The registry of the model that the request's path names, or of the default model.

        Raises:
            NoModelError: there is no such model.
        """
        return self._get(request.parameters.get("model", ""))

    def select(self, request: Request) -> Version:
        """The version that the request's path names, or else the one that serves.

        Raises:
            NoModelError: the path names another model, or a version that is not loaded.
            ModelUnavailableError: no version of the model is loaded.
        """
        registry = self.registry_of(request)
        version = registry.select(request.parameters.get("version"))
        request.context.model = version.model
        return version

    def fault(self, registry: Registry) -> str:
        """Why a model's folder could not be read at the last look, or has nothing to serve; empty if neither.

        Without the path of the store, which is private.
        """
        pending = "" if registry.serving else "it is being loaded"
        return registry.hide_path(self._faults.get(registry.name, pending))

    def watch(self, listener: Callable[[Event], None]) -> None:
        """Poll the store in a thread and tell ``listener`` what happens; call it once in each serving process."""
        self._check = sandbox.check_in_subprocess  # a fork is not safe once there are threads
        for registry in self.registries:
            registry.check = self._check
        if self._settings.poll_seconds:
            threading.Thread(target=self._poll, args=(listener,), name="catalog", daemon=True).start()

    def refresh(self) -> list[Event]:
        """Look at the whole store once, as `watch` does again and again."""
        self._find_models()
        events = [event for registry in self.registries for event in self._refresh(registry)]
        self._log_faults()
        return events

    def _check_together(self) -> None:
        """Check what is to be loaded in one process, if `check_in_fork` would take one for each."""
        folders = [folder for registry in self.registries for folder in registry.find_wanted()]
        if self._check is sandbox.check_in_fork and len(folders) > 1:
            check = sandbox.check_together_in_fork(folders, self._settings.engine)
            for registry in self.registries:
                registry.check = check

    def _get(self, name: str) -> Registry:
        registry = self.by_path.get(name)
        if registry is None:
            served = list_names([each.name for each in self.registries]) or "no model at all"
            if not name:
                raise NoModelError(f"no default model: name a model in the path; this service serves {served}")
            raise NoModelError(f"model not found: this service serves {served}")
        return registry

    def _find_models(self) -> None:
        """Add the models that have appeared, and drop those that are neither in the settings nor in the store."""
        try:
            sources = {source.name: source for source in self._sources()}
        except OSError as error:  # the store cannot be read now: what is loaded goes on serving
            self._faults[_STORE] = f"cannot read {self._settings.model_store} ({error.strerror}): correct the store"
            return
        self._faults.pop(_STORE, None)
        found = {name: self.by_path.get(name) or self._registry(source) for name, source in sources.items()}
        if found.keys() == {registry.name for registry in self.registries}:
            return
        dropped = {registry.name for registry in self.registries} - found.keys()
        for name in dropped:
            _log.info("model %s is dropped: it is no longer in the store", name)
            self._faults.pop(name, None)
        if default := found.get(self.default_name):
            found[""] = default
        self.by_path = found
        if dropped:
            gc.collect()  # what is dropped is part of reference cycles, and the collector seldom runs

    def _registry(self, source: Source) -> Registry:
        return Registry(source, self._settings, self._check)

    def _sources(self) -> list[Source]:
        """Where the models lie that are to be served: those that the settings name, and those that are found."""
        settings = self._settings
        if not settings.models:
            return [model_source(settings)]
        names = settings.model_names
        if settings.models == ALL_MODELS:
            names += bundle.list_models(settings.model_store)
            names += [name for name in self.by_path if name and bundle.is_unreadable(settings.model_store / name)]
        return [model_source(settings, name) for name in dict.fromkeys(names)]

    def _refresh(self, registry: Registry) -> list[Event]:
        """Look at a model's folder once."""
        before = registry.refused
        try:
            events = registry.refresh()
        except Exception as error:  # noqa: BLE001 (whatever is in the store, what is loaded goes on serving)
            self._faults[registry.name] = str(error) or type(error).__name__
            refused = registry.refused.items() - before.items()
            return [Event(registry.name, "refused", int(number)) for number, _ in refused]
        self._faults.pop(registry.name, None)
        return events

    def _log_faults(self) -> None:
        """Log what is wrong now, once, not at every look."""
        for name, fault in self._faults.items():
            if self._logged.get(name) != fault:
                _log.error("cannot poll the model store: %s", f"{name}: {fault}" if name else fault)
        self._logged = dict(self._faults)

    def _start_fault(self) -> str:
        """One line for a service that has nothing to serve."""
        faults = self._faults
        if not faults:
            return f"no model in {self._settings.model_store}: train one, or set MENAGERIE_MODEL_STORE to another store"
        name = self.default_name if self.default_name in faults else next(iter(faults))
        return (
            faults[name] if len(faults) == 1 else f"none of {len(faults)} models can be loaded; {name}: {faults[name]}"
        )

    def _poll(self, listener: Callable[[Event], None]) -> None:
        """Look at a few models after the others, spread over the time between two looks at the same one.

        The first time at all of them at once: what a worker has got from the master is as old as that.
        """
        _tell(listener, self.refresh())
        while True:
            known = self.registries
            for start in range(0, len(known), _LOOKS_AT_ONCE):
                few = known[start : start + _LOOKS_AT_ONCE]
                time.sleep(self._settings.poll_seconds * len(few) / len(known))
                for registry in few:
                    _tell(listener, self._refresh(registry))
            if not known:
                time.sleep(self._settings.poll_seconds)
            self._find_models()
            for registry in self.registries:
                if registry not in known:
                    _tell(listener, self._refresh(registry))
            self._log_faults()


def _tell(listener: Callable[[Event], None], events: Sequence[Event]) -> None:
    for event in events:
        try:
            listener(event)
        except Exception:  # noqa: BLE001 (whatever is wrong with the counts, the store is polled)
            _log.exception("an event of %s is not counted", event.model)


def list_names(names: Sequence[str]) -> str:
    """Names as a part of a sentence, of many only the first."""
    rest = len(names) - _LISTED_NAMES
    return ", ".join(names[:_LISTED_NAMES]) + (f" and {rest} more" if rest > 0 else "")
