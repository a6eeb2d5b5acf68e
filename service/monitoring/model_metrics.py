"""Counts of each model and version, summed over all workers.

Models have features and outputs of different numbers and kinds, and come and go while the service runs. The counts of
each lie in memory of its own, which whichever worker meets the model first allocates (`shared_regions`).
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from service.http.context import RequestContext
from service.inference.model import Model, PerModel
from service.inference.registry import Event, Registry
from service.monitoring.model_states import ModelState
from service.monitoring.observations import by_model
from service.monitoring.shared_counters import SharedCounters
from service.monitoring.shared_regions import unless_full
from service.monitoring.version_counts import FIELDS, Counts, VersionCounts


class SchemaCounts(NamedTuple):
    """The counts of versions with the same features and outputs, of which ``model`` is one."""

    model: Model
    versions: dict[int, Counts]


class ModelMetrics:
    """Counts what happens to models, and the requests to each.

    A model for which there is no memory is served and not counted; the log says so once.
    """

    def __init__(self, counters: SharedCounters) -> None:
        self._counters = counters
        self._counts = PerModel(lambda model: unless_full(lambda: VersionCounts(counters, model)))
        self._states: dict[str, ModelState | None] = {}
        self._reported: set[str] = set()

    def observe(self, contexts: Sequence[RequestContext]) -> None:
        """Count completed requests by the model that handled them."""
        for model, own in by_model(contexts).items():
            if counts := self._counts.of(model):
                counts.add(model, own)

    def count_event(self, event: Event) -> None:
        """Count an event of a version in the store."""
        if state := self._state(event.model):
            state.count(event)

    def report(self, registries: Iterable[Registry]) -> None:
        """Report which version of each model this worker serves, and how many it refuses."""
        by_name: dict[str, Registry | None] = {registry.name: registry for registry in registries}
        for name, registry in (dict.fromkeys(self._reported) | by_name).items():
            if state := self._state(name):
                state.report(registry)
        self._reported = {*by_name}

    def states(self, registries: Iterable[Registry]) -> dict[str, ModelState]:
        """The events and gauges of models by name."""
        states = {registry.name: self._state(registry.name) for registry in registries}
        return {name: state for name, state in states.items() if state}

    def counts(self, registry: Registry) -> list[SchemaCounts]:
        """The counts of all versions of a model; first of those with the schema of the serving version.

        These include versions that are no longer loaded. A version with another schema must be loaded.
        """
        groups: dict[str, tuple[VersionCounts, list[Model]]] = {}
        for model in sorted(
            registry.models, key=lambda model: registry.serving is None or model is not registry.serving.model
        ):
            if counts := self._counts.of(model):
                groups.setdefault(counts.name, (counts, []))[1].append(model)
        state = self._state(registry.name)
        elsewhere = set(state.loads() if state else ()) - set(registry.versions)  # loaded by another worker, or before
        found = []
        for counts, models in groups.values():
            idle = dict.fromkeys({model.version for model in models} | elsewhere, counts.none())
            found.append(SchemaCounts(models[0], dict(sorted((idle | counts.by_version(models)).items()))))
            elsewhere = set()
        return found

    def totals(self, model: Model) -> dict[str, int]:
        """The fields of a version: requests, rows and runs, times in ns, the last run in ms; 0 if never counted."""
        counts = self._counts.of(model)
        version = counts.by_version([model]).get(model.version) if counts else None
        return version.fields if version else dict.fromkeys(FIELDS, 0)

    def _state(self, name: str) -> ModelState | None:
        if name not in self._states:
            self._states[name] = unless_full(lambda: ModelState(self._counters, name))
        return self._states[name]
