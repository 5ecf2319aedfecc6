"""Methods by name. Every ``--model`` class that carries a `Method`, of lmx or of an installed plugin, is one."""

from __future__ import annotations

from lmx_files.errors import UserError, unknown
from lmx_models.methods.method import Method
from lmx_plugins import discovery

# Those that were asked for. A plugin is imported when its name is, as lm_eval does.
METHODS: dict[str, Method] = {}


def method_named(name: str, where: str = "method") -> Method:
    """Return a method by name, or raise a `UserError` that names the nearest."""
    if name not in METHODS:
        method = _of_plugin(next((one for one in discovery.plugins_of("models") if one.name == name), None))
        if method is None:
            raise unknown(where, name, method_names())
        METHODS[name] = method
    return METHODS[name]


def method_names() -> list[str]:
    """Return the names of all methods that are installed. This imports every plugin; a broken one is left out."""
    names = set(METHODS)
    for plugin in discovery.plugins_of("models"):
        try:
            names |= {plugin.name} if _of_plugin(plugin) else set()
        except UserError:
            continue
    return sorted(names)


def takers_of(role: str) -> list[str]:
    """Return the names of the methods that have a further model of this role."""
    return [name for name in method_names() if role in method_named(name).others]


def _of_plugin(plugin: discovery.Plugin | None) -> Method | None:
    described = getattr(discovery.load(plugin), "described", None) if plugin else None
    return described if isinstance(described, Method) else None
