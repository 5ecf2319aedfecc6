"""Which arms a sweep has to run, and what must hold before the first of them starts."""

from __future__ import annotations

import fnmatch
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.runs.folders import RESULTS, Run, find_runs
from lmx_files.safety import children
from lmx_runs import preflight
from lmx_runs.sweep import commands
from lmx_runs.sweep.arms import Arm
from lmx_runs.sweep.state import ArmState, State

# The current folder comes first with -c, before Python 3.11 always.
_HAS_LMX = (
    "import sys; sys.path[:1] = [p for p in sys.path[:1] if p]; "
    "from importlib.util import find_spec as f; sys.exit(None in (f('lmx_cli'), f('lm_eval')))"
)


def results_of(folder: Path) -> Run | None:
    """Return the run whose results lie in an arm's folder, `None` if there is none that can be read."""
    try:
        runs = find_runs(folder)
    except UserError:
        return None
    return runs[-1] if runs else None


def is_done(arm: Arm, known: ArmState | None) -> bool:
    """Whether an arm was finished with these settings and its results are still there."""
    if known is None or known.status != "done" or known.fingerprint != arm.fingerprint:
        return False
    return not arm_lacks(arm)


def arm_lacks(arm: Arm) -> str:
    """Say what an arm that has ended well did not leave in its folder; empty if all is there."""
    if not arm.program:
        return "" if results_of(arm.folder) is not None else "no results"
    lost = commands.missing(arm.folder, arm.outputs)
    return f"no {', no '.join(lost)}" if lost else ""


def selected(arms: Sequence[Arm], state: State, only: Sequence[str], retry_failed: bool) -> list[Arm]:
    """Return the arms to bring to an end: those asked for and, unless they are done, all that those need.

    `only` holds patterns of names (``guided/*``) or entries of the file; none means all. `retry_failed` keeps those
    whose last attempt failed, or which were skipped because of such a failure. An unknown pattern is a `UserError`.
    """
    wanted = {arm.name for arm in arms}
    if only:
        wanted = set()
        for pattern in only:
            found = {a.name for a in arms if a.entry == pattern or fnmatch.fnmatchcase(a.name, pattern)}
            if not found:
                raise unknown("arm for --only", pattern, {a.name for a in arms} | {a.entry for a in arms})
            wanted |= found
    if retry_failed:
        wanted = {name for name in wanted if (s := state.arms.get(name)) and s.status in ("failed", "skipped")}
    by_name = {arm.name: arm for arm in arms}
    pending = list(wanted)
    while pending:
        for need in by_name[pending.pop()].needs:
            if need not in wanted and not is_done(by_name[need], state.arms.get(need)):
                wanted.add(need)
                pending.append(need)
    return [arm for arm in arms if arm.name in wanted]


def check_pythons(arms: Iterable[Arm]) -> None:
    """Raise a `UserError` for an arm's interpreter in which lmx or lm_eval is not installed."""
    own = [arm for arm in arms if arm.python != sys.executable and (not arm.program or arm.command[0] == arm.python)]
    for python, arm in {arm.python: arm.name for arm in own}.items():
        try:
            done = children.finish([python, "-c", _HAS_LMX], seconds=120)
            works = done.returncode == 0
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"arm {arm}: its python {python} cannot be run: {error}") from error
        if not works:
            raise UserError(
                f"arm {arm}: its python {python} has no lmx. Install it there: {python} -m pip install lmx-eval"
            )


def check_names(arms: Iterable[Arm]) -> None:
    """Raise a `UserError` for a model, a task or a model argument that an arm's run would refuse before it loads.

    What only another arm makes, such as a buffer, is not looked for.
    """
    by_python: dict[str, list[Arm]] = {}
    for arm in (arm for arm in arms if not arm.program):
        by_python.setdefault(arm.python, []).append(arm)
        if arm.python == sys.executable:
            try:
                preflight.check_model(str(arm.flags.get("model") or "hf"))
                preflight.check_tasks(
                    _listed(arm.flags.get("tasks")), map(Path, _listed(arm.flags.get("include_path")))
                )
            except UserError as error:
                raise UserError(f"arm {arm.name}: {error}") from error
    for python, theirs in by_python.items():
        asked = [
            {
                "model": str(arm.flags.get("model") or "hf"),
                "model_args": arm.flags.get("model_args") or {},
                "gen_kwargs": arm.flags.get("gen_kwargs"),
            }
            for arm in theirs
        ]
        for arm, message in zip(theirs, _tried(python, asked), strict=False):
            if message and (message.startswith("unknown") or not arm.needs):
                raise UserError(f"arm {arm.name}: {message}")


def _tried(python: str, asked: list[dict[str, Any]]) -> list[str | None]:
    """Return what the models of `python`'s environment say of arguments; nothing where it cannot be asked."""
    command = children.safe_command([python, "-m", "lmx_models.harness.trial"])
    try:
        done = children.finish(command, seconds=300, input=json.dumps(asked), env=children.environment(needs=None))
        said: list[str | None] = json.loads(done.stdout.strip().splitlines()[-1])
        return said
    except (OSError, subprocess.TimeoutExpired, ValueError, IndexError):
        return []


def _listed(value: Any) -> list[str]:
    values = value if isinstance(value, (list, tuple)) else [] if value is None else [value]
    return [name.strip() for one in values for name in str(one).split(",") if name.strip()]


def set_aside(arm: Arm, replaced: Path, changed: bool) -> None:
    """Move the results of an earlier attempt out of an arm's folder; the journal and the log stay.

    So what lies there afterwards is of one attempt, and a report over the sweep shows each arm once. A command's files
    stay with the same settings, for it may go on from them, and move as a whole with others.
    """
    if arm.program:
        if changed and any(arm.folder.iterdir()):
            place = replaced / f"{arm.folder.name}-{int(time.time())}"
            place.parent.mkdir(parents=True, exist_ok=True)
            arm.folder.rename(place)
            arm.folder.mkdir()
        return
    files = [path for path in arm.folder.rglob("*.json") if RESULTS.match(path.name)]
    files += [
        path
        for pattern in ("samples_*.jsonl", "traces_*.jsonl*", "manifest_*.json")
        for path in arm.folder.rglob(pattern)
    ]
    for file in files:
        target = replaced / arm.folder.name / file.relative_to(arm.folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.replace(target)


def describe(arm: Arm, known: ArmState | None) -> str:
    """Return in words what a sweep would do with an arm."""
    if known is None or known.attempts == 0:
        return "to run"
    if known.fingerprint != arm.fingerprint:
        return "to run again: its settings changed"
    if is_done(arm, known):
        return "done"
    if known.status == "done":
        return "to run again: its results are gone" if not arm.program else "to run again: its outputs are gone"
    return {"failed": "to run again: it failed", "running": "to go on with"}.get(known.status, "to run")


def command_line(arm: Arm) -> list[str]:
    """Return an arm's command with its environment variables before it, as a shell takes it."""
    return [*(f"{name}={value}" for name, value in (arm.environment or {}).items()), *arm.command]
