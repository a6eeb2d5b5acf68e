"""The models that the service serves, each with its versions.

The store is polled: models and versions that appear are checked and loaded, others are dropped. A model that cannot be
loaded is refused and reported, and takes no other down.
"""

import gc
import logging
import threading
import time
from collections.abc import Callable

from models import bundle
from models.bundle import BundleError
from service.http.errors import NoModelError
from service.http.messages import Request
from service.inference import sandbox
from service.inference.model import Model
from service.inference.registry import Event, Registry, Source, Version, model_source
from service.inference.sandbox import SandboxCheck
from service.settings import ALL_MODELS, Settings

_log = logging.getLogger("menagerie")


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
        self.by_path: dict[str, Registry] = {}
        self.default_name = next(iter(settings.model_names), settings.model_name)
        self._find_models()
        if len(self.registries) == 1:
            self.startup_events = self.registries[0].refresh()
        else:
            self.startup_events = [event for each in self.registries for event in self._refresh(each)]
        if not self.models:
            raise BundleError(
                next(iter(self._faults.values()), bundle.missing_model_message(settings.model_store / "*"))
            )

    @property
    def registries(self) -> list[Registry]:
        """The registry of every model, by name; of those too that could not be loaded."""
        return [self.by_path[name] for name in sorted(self.by_path) if name]

    @property
    def default(self) -> Registry:
        """The registry of the default model.

        Raises:
            NoModelError: there is no such model.
        """
        return self._get("")

    @property
    def models(self) -> list[Model]:
        """All loaded versions of all models."""
        return [model for registry in self.registries for model in registry.models]

    @property
    def last_poll(self) -> float:
        """Unix time of the last successful look at the models' folders: that of the one longest ago."""
        return min((registry.last_poll for registry in self.registries), default=0.0)

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

    def fault(self, name: str) -> str:
        """Why a model's folder could not be read at the last look, or has nothing to serve; empty if neither."""
        return self._faults.get(name, "")

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
        return [event for registry in self.registries for event in self._refresh(registry)]

    def _get(self, name: str) -> Registry:
        registry = self.by_path.get(name)
        if registry is None:
            served = ", ".join(each.name for each in self.registries)
            if not name:
                raise NoModelError(f"there is no default model: name one of {served} in the path, /models/<name>/…")
            raise NoModelError(f"model not found: this service serves {served}")
        return registry

    def _find_models(self) -> None:
        """Add the models that have appeared, and drop those that are neither in the settings nor in the store."""
        try:
            sources = {source.name: source for source in self._sources()}
        except OSError as error:  # the store cannot be read now: what is loaded goes on serving
            self._report(ALL_MODELS, f"cannot read the model store ({error.strerror})")
            return
        self._faults.pop(ALL_MODELS, None)
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
        return [model_source(settings, name) for name in dict.fromkeys(names)]

    def _refresh(self, registry: Registry) -> list[Event]:
        """Look at a model's folder once; what is wrong with it is logged once, not at every poll."""
        before = registry.refused
        try:
            events = registry.refresh()
        except Exception as error:  # noqa: BLE001 (whatever is in the store, what is loaded goes on serving)
            self._report(registry.name, str(error))
            refused = registry.refused.items() - before.items()
            return [Event(registry.name, "refused", int(number)) for number, _ in refused]
        self._faults.pop(registry.name, None)
        return events

    def _report(self, name: str, fault: str) -> None:
        """Keep what is wrong with a model, and log it once, not at every look."""
        if self._faults.get(name) != fault:
            _log.error("cannot load the model %s: %s", name, fault)
        self._faults[name] = fault

    def _poll(self, listener: Callable[[Event], None]) -> None:
        """Look at one model after the other, spread over the time between two looks at the same one."""
        while True:
            registries = self.registries
            for registry in registries:
                time.sleep(self._settings.poll_seconds / len(registries))
                for event in self._refresh(registry):
                    listener(event)
            if not registries:
                time.sleep(self._settings.poll_seconds)
            self._find_models()
