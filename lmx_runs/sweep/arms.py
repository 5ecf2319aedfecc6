"""From a sweep file to its arms: every combination of a matrix, who needs whom, commands, fingerprints."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, few, unknown
from lmx_files.hashing import sha256_of_text
from lmx_runs.sweep import commands
from lmx_runs.sweep import flags as lm_eval_flags
from lmx_runs.sweep.config import ArmSettings, Settings, SweepConfig

# `{arm.output_path}` is the arm's own folder, `{arms.NAME.output_path}` that of another one.
_REFERENCE = re.compile(r"\{arms?\.(?:(?P<name>[^{}]*)\.)?(?P<what>[^{}.]*)\}")
_LONGEST_FOLDER = 100
MOST_ARMS = 10_000


@dataclass(frozen=True)
class Arm:
    """One run.

    Attributes:
        name: e.g. ``guided/c=3,k=5``; `entry` is the part before the slash, as in the file.
        settings: the values of the matrix that make this arm, by the keys of the file.
        flags: lm_eval's flags, with references to folders as they stand in the file.
        python: the interpreter. `env`: variables beside the inherited ones. `slurm`: settings of its job.
        needs: names of the arms that must be done first.
        folder: where all its files go. `command`: what runs it. `environment`: `env` with references resolved.
        program: of an arm that is a command: it and its arguments, as in the file; else empty.
        outputs: what that command leaves in `folder`.
        fingerprint: changes with every setting of this arm or of one that it needs.
    """

    name: str
    entry: str
    settings: Mapping[str, Any]
    flags: Mapping[str, Any]
    python: str
    env: Mapping[str, str]
    slurm: Mapping[str, Any]
    needs: tuple[str, ...]
    folder: Path
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] | None = None
    fingerprint: str = ""
    program: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()


def expand(config: SweepConfig, output_path: Path) -> list[Arm]:
    """Return the arms of a sweep, needed ones before those that need them.

    Raises `UserError` for more than `MOST_ARMS` arms, flags that lm_eval does not take, two arms of one name, an
    unknown or ambiguous need or reference, a circle of needs, and an interpreter that is not there.
    """
    count = sum(math.prod(len(values) for values in entry.matrix.values()) for entry in config.arms)
    if count > MOST_ARMS:
        largest = max(config.arms, key=lambda entry: math.prod(len(values) for values in entry.matrix.values()))
        raise UserError(
            f"the sweep would have {count:,} arms, and {MOST_ARMS:,} is the most: make the matrix of {largest.name!r} "
            "smaller, or several sweeps of it"
        )
    arms = [arm for entry in config.arms for arm in _combinations(entry, config, output_path / "arms")]
    named = {arm.name: arm for arm in arms}
    for arm in arms:
        if named[arm.name] is not arm:
            raise UserError(f"two arms are named {arm.name!r}: give one of them another name")
    named = {name: replace(arm, needs=_needs(arm, named)) for name, arm in named.items()}
    try:
        order = list(TopologicalSorter({arm.name: arm.needs for arm in named.values()}).static_order())
    except CycleError as error:
        raise UserError(f"arms need each other in a circle: {' needs '.join(reversed(error.args[1]))}") from error
    finished: dict[str, Arm] = {}
    for name in order:
        finished[name] = _finish(named[name], named, finished)
    # The order of the file, as far as needs allow it: an arm comes right after the last one that it waits for.
    placed: dict[str, Arm] = {}
    for arm in arms:
        _place(finished[arm.name], finished, placed)
    return list(placed.values())


def _place(arm: Arm, arms: Mapping[str, Arm], placed: dict[str, Arm]) -> None:
    for need in arm.needs:
        _place(arms[need], arms, placed)
    placed.setdefault(arm.name, arm)


def _combinations(entry: ArmSettings, config: SweepConfig, folder: Path) -> Iterable[Arm]:
    keys = list(entry.matrix)
    shown = _short_keys(keys)
    for values in itertools.product(*entry.matrix.values()):
        point = dict(zip(keys, values, strict=True))
        text = ",".join(f"{shown[key]}={_text(value)}" for key, value in point.items())
        name = f"{entry.name}/{text}" if point else entry.name
        flags, env = _merged(config.defaults, entry)
        program, outputs = _command(entry, point) if entry.command else ((), ())
        try:
            if program:
                flags, env = {}, {variable: commands.filled(text, point) for variable, text in env.items()}
                commands.check(program, outputs)
            else:
                for key, value in point.items():
                    _set(key, value, flags, env)
                lm_eval_flags.check(flags)
        except UserError as error:
            raise UserError(f"arm {name}: {error}") from error
        yield Arm(
            name=name,
            entry=entry.name,
            settings=point,
            flags=flags,
            python=_python(entry.python or config.defaults.python, name),
            env=env,
            slurm={**config.slurm, **config.defaults.slurm, **entry.slurm},
            needs=tuple(entry.needs),
            folder=folder / _folder_name(name),
            program=program,
            outputs=outputs,
        )


def _command(entry: ArmSettings, point: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the command and the outputs of one combination."""
    program = tuple(commands.filled(commands.as_text(one), point) for one in entry.command or ())
    return program, tuple(commands.filled(output, point) for output in entry.outputs)


def _merged(defaults: Settings, entry: ArmSettings) -> tuple[dict[str, Any], dict[str, str]]:
    """Return flags and variables of an arm over the defaults; mappings are merged key by key."""
    flags: dict[str, Any] = dict(defaults.flags)
    for name, value in entry.flags.items():
        below = flags.get(name)
        flags[name] = {**below, **value} if isinstance(below, dict) and isinstance(value, dict) else value
    copied = {name: dict(value) if isinstance(value, dict) else value for name, value in flags.items()}
    return copied, {name: str(value) for name, value in {**defaults.env, **entry.env}.items()}


def _set(key: str, value: Any, flags: dict[str, Any], env: dict[str, str]) -> None:
    """Put one value of a matrix where its key says: a flag, or by ``group.key`` an entry of a mapping."""
    group, _, rest = key.rpartition(".") if key.startswith("flags.") else key.partition(".")
    if not rest:
        if key == "seed":
            raise UserError(
                "the matrix key 'seed' may mean two things: write model_args.seed for what lmx's decoders sample "
                "with, or flags.seed for lm_eval's --seed (examples in the prompt, and what --model hf samples with)"
            )
        group, rest = ("flags", key) if key in lm_eval_flags.names() else ("model_args", key)
    if group == "flags":
        if rest not in lm_eval_flags.names() or rest in lm_eval_flags.RESERVED:
            raise unknown("flag in a matrix", rest, lm_eval_flags.names() - lm_eval_flags.RESERVED.keys())
        flags[rest] = value
    elif group == "env":
        lm_eval_flags.check_variable(rest, value)
        env[rest] = str(value)
    elif group in lm_eval_flags.dict_names():
        flags[group] = {**(flags.get(group) or {}), rest: value}
    else:
        raise unknown("group in the matrix key", key, [f"{g}.{rest}" for g in ("flags", "env", *_dicts())])


def _dicts() -> list[str]:
    return sorted(lm_eval_flags.dict_names())


def _needs(arm: Arm, arms: Mapping[str, Arm]) -> tuple[str, ...]:
    """Return the names of all arms that this one needs, by `needs` or because it refers to their folders."""
    found = [other for need in arm.needs for other in _matching(need, arm, arms)]
    for text in _texts({"flags": arm.flags, "env": arm.env, "command": arm.program}):
        for match in _REFERENCE.finditer(text):
            if (name := _referred(match, arm, arms)) != arm.name:
                found.append(name)
    if arm.name in found:
        raise UserError(f"arm {arm.name} needs itself")
    return tuple(dict.fromkeys(found))


def _matching(need: str, arm: Arm, arms: Mapping[str, Arm]) -> list[str]:
    """Return the arms that `need` means: one by its full name, or those of an entry.

    Of an entry with a matrix only those count that agree with `arm` on every key that both matrices have, so that
    two entries with the same seeds are paired seed by seed.
    """
    if need in arms:
        return [need]
    entries = [other for other in arms.values() if other.entry == need]
    if not entries:
        raise unknown(f"arm in the needs of {arm.name}", need, {other.entry for other in arms.values()} | set(arms))
    agreeing = [
        other.name
        for other in entries
        if all(arm.settings[key] == value for key, value in other.settings.items() if key in arm.settings)
    ]
    if not agreeing:
        raise UserError(f"arm {arm.name} needs {need}, but no arm of {need} has the same {', '.join(arm.settings)}")
    return agreeing


def _referred(match: re.Match[str], arm: Arm, arms: Mapping[str, Arm]) -> str:
    written = match.group(0)
    if match["what"] != "output_path" or written.startswith("{arms.") != bool(match["name"]):
        valid = "{arm.output_path} for its own folder, or {arms.NAME.output_path} for that of the arm NAME"
        raise UserError(f"arm {arm.name}: {written} means nothing here; write {valid}")
    if not match["name"]:
        return arm.name
    names = _matching(match["name"], arm, arms)
    if len(names) > 1:
        raise UserError(f"arm {arm.name}: {written} may be any of {few(names)}: name one of them in full")
    return names[0]


def _finish(arm: Arm, arms: Mapping[str, Arm], finished: Mapping[str, Arm]) -> Arm:
    """Resolve references and add the command and the fingerprint; all needs are in `finished`."""

    def folder(match: re.Match[str]) -> str:
        return str(arms[_referred(match, arm, arms)].folder)

    settings: dict[str, Any] = {
        "flags": arm.flags,
        "env": arm.env,
        "python": None if arm.python == sys.executable else arm.python,
        "needs": {name: finished[name].fingerprint for name in arm.needs},
    }
    if arm.program:
        settings |= {"command": arm.program, "outputs": arm.outputs}
    try:
        text = json.dumps(settings, sort_keys=True)
    except TypeError as error:
        raise UserError(f"arm {arm.name}: a value is no text, number, list or mapping ({error}): quote it") from error
    if arm.program:
        try:
            command = commands.resolved(_replaced(arm.program, lambda text: _REFERENCE.sub(folder, text)), arm.python)
        except UserError as error:
            raise UserError(f"arm {arm.name}: {error}") from error
    else:
        flags = _replaced(arm.flags, lambda text: _REFERENCE.sub(folder, text))
        command = lm_eval_flags.command(arm.python, flags, str(arm.folder))
    return replace(
        arm,
        command=tuple(command),
        environment=_replaced(arm.env, lambda text: _REFERENCE.sub(folder, text)),
        fingerprint=sha256_of_text(text)[:16],
    )


def _replaced(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _replaced(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_replaced(item, change) for item in value]
    return value


def _texts(value: Any) -> list[str]:
    found: list[str] = []
    _replaced(value, lambda text: found.append(text) or text)  # type: ignore[func-returns-value]
    return found


def _python(path: str | None, arm: str) -> str:
    if path is None:
        return sys.executable
    found = shutil.which(Path(path).expanduser())
    if found is None:
        raise UserError(f"arm {arm}: there is no program {path!r} for its python. Give the interpreter's full path")
    return str(Path(found).absolute())


def _short_keys(keys: list[str]) -> dict[str, str]:
    """Return the keys without their group where that leaves them different."""
    last = [key.rpartition(".")[2] for key in keys]
    return {key: short if last.count(short) == 1 else key for key, short in zip(keys, last, strict=True)}


def _text(value: Any) -> str:
    if isinstance(value, list):
        return "+".join(_text(item) for item in value)
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _folder_name(name: str) -> str:
    """Return a name for the arm's folder; one that had to be changed gets a hash, so that no two are alike."""
    plain = name.replace("/", "__", 1)
    safe = re.sub(r"[^A-Za-z0-9._=,+-]", "_", plain)[:_LONGEST_FOLDER]
    return safe if safe == plain else f"{safe}-{sha256_of_text(name)[:8]}"
