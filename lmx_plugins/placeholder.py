"""Lazy entries for lm_eval's registries."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint
from typing import Any

from lmx_plugins.discovery import Plugin, load


class PluginEntryPoint(EntryPoint):
    """An `EntryPoint` that lm_eval's registries keep until the name is asked for.

    lm_eval accepts an entry point as a placeholder and calls `load()` on it. Up to 0.4.13 it refuses,
    however, to exchange one for the object that a `@register_*` decorator hands in while the module is
    imported: it compares the two with `!=` and raises. So this one calls itself equal to the object it stands
    for.
    """

    def load(self) -> Any:
        """Import the plugin; a failure names the plugin and is the user's to mend."""
        state = vars(self)
        state["busy"] = True
        try:
            return self._fetch()
        finally:
            state["busy"] = False

    def _fetch(self) -> Any:
        return load(vars(self)["plugin"])

    def stands_for(self, thing: object) -> bool:
        """Whether a registration of `thing` under our name is this plugin's own decorator at work."""
        if vars(self).get("busy"):
            return True
        where = getattr(thing, "__module__", None), getattr(thing, "__qualname__", None)
        return f"{where[0]}:{where[1]}" == self.value

    def __eq__(self, other: object) -> bool:
        if isinstance(other, EntryPoint):
            return (self.name, self.value, self.group) == (other.name, other.value, other.group)
        return self.stands_for(other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((self.name, self.value, self.group))


class MetricSetting(PluginEntryPoint):
    """Stands for what `@register_metric` notes beside a metric: its aggregation, or whether higher is better.

    lm_eval asks for these by the metric's name, sometimes without asking for the metric; the plugin's module
    must then be imported so that its decorator can leave the answer in the registry.
    """

    def _fetch(self) -> Any:
        state = vars(self)
        state["metrics"].get(self.name)
        answer = state["registry"]._objs[self.name]
        if answer is self:
            raise KeyError(self.name)  # no decorator: lm_eval then says that the setting is missing
        return answer

    def stands_for(self, thing: object) -> bool:
        """Always: nobody but the metric's own decorator registers under this name."""
        return True


class MetricEntryPoint(PluginEntryPoint):
    """Stands for a metric of lm_eval 0.5, whose registry holds `Metric` objects, or what makes them, and no functions.

    `@register_metric` leaves a maker in the registry while the plugin's module is imported; a function without it is
    wrapped here, for any kind of task. 0.5 gives a metric all answers to a document and wants a value for each, where
    0.4 gives and takes one: a single number is passed on as a list of one.
    """

    def _fetch(self) -> Any:
        from lm_eval.api.metrics.metric import Metric
        from lm_eval.api.registry import DEFAULT_METRIC_REGISTRY

        state = vars(self)
        function = load(state["plugin"])
        left = state["registry"]._objs[self.name]
        if left is not self:
            return left
        return Metric(name=self.name, fn=_in_lists(function), output_type=set(DEFAULT_METRIC_REGISTRY))

    def stands_for(self, thing: object) -> bool:
        """Whether `thing` is what this plugin's decorator registers; its metric then gives its values in lists."""
        make = getattr(thing, "_factory", None)
        if make is None:
            return super().stands_for(thing)
        ours = super().stands_for
        own = hasattr(make, "lmx") or ours(thing) or any(map(ours, _captured(make)))
        if own and not hasattr(make, "lmx"):
            thing._factory = _giving_lists(make)  # type: ignore[attr-defined]
        return own


def _captured(function: Any) -> list[Any]:
    """Return what a function made inside another has of it; for `@register_metric`, the function under it."""
    return [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]


def _giving_lists(make: Callable[[], Any]) -> Callable[[], Any]:
    def factory() -> Any:
        made = make()
        return dataclasses.replace(made, fn=_in_lists(made.fn))

    factory.lmx = True  # type: ignore[attr-defined]
    return factory


def _in_lists(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def metric(references: Any, predictions: Any, **settings: Any) -> Any:
        value = function(references, predictions, **settings)
        if not isinstance(predictions, list):  # likelihoods, of which there is one set a document
            return value
        if isinstance(value, Mapping):
            return {name: one if isinstance(one, list) else [one] for name, one in value.items()}
        return value if isinstance(value, list) else [value]

    return metric


def placeholder(plugin: Plugin, group: str, _registry: Any = None) -> PluginEntryPoint:
    """Return the placeholder of a plugin for the registry of `group`."""
    entry = PluginEntryPoint(plugin.name, plugin.target, group)
    vars(entry).update(plugin=plugin)
    return entry


def metric(plugin: Plugin, group: str, registry: Any) -> MetricEntryPoint:
    """Return the placeholder of a metric for the registry of lm_eval 0.5."""
    entry = MetricEntryPoint(plugin.name, plugin.target, group)
    vars(entry).update(plugin=plugin, registry=registry)
    return entry


def metric_setting(plugin: Plugin, group: str, registry: Any, metrics: Any) -> MetricSetting:
    """Return the placeholder for one setting of a metric; `group` must differ from the metric's own."""
    entry = MetricSetting(plugin.name, plugin.target, group)
    vars(entry).update(plugin=plugin, registry=registry, metrics=metrics)
    return entry
