"""The further models of a method: named by arguments, found before weights are loaded, loaded once, told."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable, Hashable, Mapping
from typing import Any, TypeVar

from lmx_files.errors import UserError
from lmx_models.methods.method import Method
from lmx_models.methods.weights import Weights, load_weights, loaded_by
from lmx_models.settings.generation_defaults import unheeded
from lmx_models.zoo.loading import model_name
from lmx_models.zoo.resolved import Resolved

CHANGES_WEIGHTS = ("peft", "delta")  # arguments of lm_eval's `hf` that are for its own model alone

log = logging.getLogger(__name__)
Key = TypeVar("Key", bound=Hashable)


def others_named(
    method: Method, given: Mapping[str, Any], where: str, writer: Any = None, notes: list[str] | None = None
) -> dict[str, str]:
    """Return the names of a method's further models by role; `where` says in errors who needs them.

    Args:
        writer: the model that writes, as the user named it. None: no model is chosen by it, as in a graph, which is to
            be the same graph on every machine.
        notes: what is to be said of a choice is appended.
    """
    names = {}
    for role in method.others:
        name, needs = given.get(role), where
        if name is None:
            name = method.models.get(role)
            if callable(name):
                needs = where if writer is None else f"{where} with pretrained={model_name(writer)}"
                name = _chosen(name, writer, notes)
        if not isinstance(name, str) or not name:
            said = f"{role}={model_name(name)}: name it" if name else f"{needs} needs {role}=MODEL"
            raise UserError(f"{said}: a short name (`lmx models`), a Hub id or a folder")
        names[role] = name
    return names


def _chosen(choose: Any, writer: Any, notes: list[str] | None) -> str | None:
    """Return the model that goes with the one that writes, if there is one."""
    name, note = (None if writer is None else choose(writer)) or (None, None)
    if note:
        log.warning(note)
        if notes is not None:
            notes.append(note)
    return name


def load_others(
    lm: Any, method: Method, named: Mapping[str, str], found: Mapping[str, Resolved], self_check: bool
) -> dict[str, Weights]:
    """Return all models of a method by role: the one that `lm` (a `DecoderLM`) has loaded, and the further ones.

    Each set of weights is loaded once. What is to be said of a further model is appended to `lm.notes`.

    Args:
        named: the further models as the user wrote them. `found`: where they lie.
    """
    writer = loaded_by(lm)
    known: dict[tuple[Any, Any], Weights] = {}
    if not any(lm.given.get(name) for name in CHANGES_WEIGHTS):
        known[lm.given.get("pretrained"), lm.given.get("revision")] = writer
    weights = load_each(lm, found, known, lambda role: named[role], self_check)
    told = [writer]
    for role, one in weights.items():
        if all(one.model is not other.model for other in told):
            told.append(one)
            said = unheeded(one.model.generation_config, named[role])
            lm.notes += [f"{role}: {note}" for note in (found[role].note, said) if note]
    others = {role: dataclasses.replace(one, name=named[role]) for role, one in weights.items()}
    return {method.roles[0]: writer, **others}


def load_each(
    lm: Any,
    found: Mapping[Key, Resolved],
    known: Mapping[tuple[str, str | None], Weights],
    name_of: Callable[[Key], str],
    self_check: bool,
) -> dict[Key, Weights]:
    """Return the weights of all models in `found`; each set is loaded once, however often it is named.

    Args:
        known: those that are loaded, by where they lie (`place_of`). `name_of`: what the user calls one.
    """
    places = dict(known)
    for key, resolved in found.items():
        if place_of(resolved) not in places:
            loaded = load_weights(resolved, name_of(key), lm.model.dtype, lm.device, self_check)
            places[place_of(resolved)] = loaded
    return {key: places[place_of(resolved)] for key, resolved in found.items()}


def place_of(resolved: Resolved) -> tuple[str, str | None]:
    """Return what tells one set of weights from another before it is loaded."""
    return resolved.pretrained, resolved.revision
