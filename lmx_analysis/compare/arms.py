"""The columns of a comparison: a run, or several runs of one setting with different seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_files.runs.folders import Run, read_run

Arms = dict[str, tuple[Run, ...]]
SEEDS = ("random_seed", "numpy_seed", "torch_seed")
# Of a run's configuration: what its texts depend on, seeds apart.
_SETTINGS = ("model", "limit", "fewshot_seed", "model_dtype", "model_revision")
_NO_SETTINGS = ("seed", "traces", "journal", "batch_size", "max_batch_size")


def read_arms(paths: Sequence[str | Path], names: Sequence[str] | None, pool: bool) -> tuple[Arms, list[str]]:
    """Read the runs and put seeds of one setting together; return the arms by name, and notes.

    With `names`, runs of equal names are one arm, and no others. Without, runs whose settings are equal and whose seeds
    all differ are, if `pool` and if more than one arm is left.

    Raises:
        UserError: too few runs or names.
    """
    if len(paths) < 2:
        raise UserError(f"{len(paths)} run given: name two or more results folders, the reference first")
    if names and (len(names) != len(paths) or not all(names) or len(set(names)) < 2):
        raise UserError(
            f"--names {','.join(names)}: give {len(paths)} different names, one for each run (seeds of one setting, "
            "which are averaged, may share one)"
        )
    runs = [read_run(path) for path in paths]
    short = list(names) if names else short_names([Path(path) for path in paths])
    notes = [f"{name}: {note}" for name, run in zip(short, runs, strict=True) for note in run.notes]
    if names:
        groups: dict[str, list[int]] = defaultdict(list)
        for number, name in enumerate(names):
            groups[name].append(number)
        for name, members in groups.items():
            if len({_setting(runs[i]) for i in members}) > 1:
                notes.append(f"{name}: its runs differ in more than the seed, and are averaged all the same")
    else:
        groups = _pooled(runs, short) if pool else {name: [number] for number, name in enumerate(short)}
    arms = {name: tuple(runs[i] for i in members) for name, members in groups.items()}
    for name, members in groups.items():
        if len(members) > 1:
            which = "" if names else f" ({', '.join(short[i] for i in members)})"
            notes.append(f"{name}: {len(members)} runs of one setting{which}, averaged for each document")
    return arms, notes


def _pooled(runs: list[Run], names: list[str]) -> dict[str, list[int]]:
    by_setting: dict[str, list[int]] = defaultdict(list)
    for number, run in enumerate(runs):
        by_setting[_setting(run)].append(number)
    alone = {name: [number] for number, name in enumerate(names)}
    if len(by_setting) < 2:
        return alone
    groups: list[list[int]] = []
    for members in by_setting.values():
        seeds = [_seed(runs[i]) for i in members]
        groups += [members] if len(set(seeds)) == len(seeds) else [[i] for i in members]
    found: dict[str, list[int]] = {}
    for members in sorted(groups):
        common = _common_start([names[i] for i in members]).rstrip("-_./=, ")
        name = names[members[0]] if len(members) == 1 or not common or common in found else common
        found[name] = members
    return found if len(found) == len(groups) else alone


def _common_start(names: list[str]) -> str:
    first, last = min(names), max(names)
    same = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first))
    return first[:same]


def _setting(run: Run) -> str:
    """Return what a run's texts depend on, the seed apart, as text that equals another's just when they agree."""
    config = run.results.get("config") or {}
    kept = {name: config.get(name) for name in _SETTINGS}
    for name in ("model_args", "gen_kwargs"):
        kept[name] = {key: value for key, value in _arguments(config.get(name)).items() if key not in _NO_SETTINGS}
    kept["decoding"] = [run.decoding.get(name) for name in ("method", "model", "settings", "settings_by_task")]
    for name in ("versions", "n-shot", "chat_template_sha", "system_instruction_sha"):
        kept[name] = run.results.get(name)
    kept["tasks"] = sorted(run.results["results"])
    return json.dumps(kept, sort_keys=True, default=str)


def _seed(run: Run) -> str:
    config = run.results.get("config") or {}
    given = [_arguments(config.get(name)).get("seed") for name in ("model_args", "gen_kwargs")]
    return repr([*given, run.decoding.get("seed"), *(config.get(name) for name in SEEDS)])


def _arguments(given: Any) -> dict[str, Any]:
    if isinstance(given, str):
        given = dict(part.split("=", 1) for part in given.split(",") if "=" in part)
    return dict(given) if isinstance(given, dict) else {}


def short_names(paths: list[Path]) -> list[str]:
    """Return the shortest tails of the paths that tell them apart; a path given twice gets a number."""
    whole = [path.resolve().with_suffix("") if path.suffix == ".json" else path.resolve() for path in paths]
    for length in range(1, max(len(path.parts) for path in whole) + 1):
        names = ["/".join(path.parts[-length:]) for path in whole]
        if len(set(names)) == len(set(whole)):
            break
    seen: dict[str, int] = defaultdict(int)
    unique = []
    for name in names:
        seen[name] += 1
        unique.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return unique
