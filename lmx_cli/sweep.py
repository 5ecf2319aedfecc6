"""`lmx sweep`: many runs from one file, on this machine or as Slurm jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lmx_files.errors import UserError, unknown
from lmx_files.safety import terminal

if TYPE_CHECKING:
    from lmx_runs.jobs.executors import Executor
    from lmx_runs.sweep.arms import Arm
    from lmx_runs.sweep.runner import Runner
    from lmx_runs.sweep.state import State

EXECUTORS = ("local", "slurm")


def sweep(
    config: Annotated[Path, typer.Argument(help="The sweep file (YAML); docs/sweep.md describes it.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the arms' commands and run nothing.")] = False,
    only: Annotated[
        list[str] | None, typer.Option(help="Only arms of this name or pattern, and what they need; repeatable.")
    ] = None,
    executor: Annotated[str | None, typer.Option(help="local or slurm, instead of the file's.")] = None,
    max_parallel: Annotated[
        int | None, typer.Option("--max_parallel", help="Arms at once, instead of the file's.", min=1)
    ] = None,
    output_path: Annotated[
        str | None, typer.Option("--output_path", help="The sweep's folder, instead of the file's.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Only arms that failed last time, or were skipped for it.")
    ] = False,
) -> None:
    """Run all arms of a sweep file that are not done, then collate all results.

    Repeat the command to go on after an interruption: arms that are done with the same settings are not run again.
    The exit status is 1 if an arm failed or was skipped, and 130 after Ctrl-C.
    """
    from lmx_plugins.guards import check_output_path
    from lmx_runs.sweep import arms, plan
    from lmx_runs.sweep import config as files
    from lmx_runs.sweep.state import State, locked

    settings = files.load(config)
    kind = executor or settings.executor
    if kind not in EXECUTORS:
        raise unknown("executor", kind, EXECUTORS)
    folder = Path(output_path or settings.output_path).absolute()
    check_output_path(folder)
    everything = arms.expand(settings, folder)
    if dry_run:
        plan.check_names(everything)
        _dry_run(plan.selected(everything, State.load(folder), only or [], retry_failed), State.load(folder))
        return
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder):
        state = State.load(folder)
        chosen = plan.selected(everything, state, only or [], retry_failed)
        plan.check_pythons(chosen)
        plan.check_names(chosen)
        at_once = max_parallel or settings.max_parallel or (1 if kind == "local" else len(everything))
        runner = _run(folder, chosen, state, _executor(kind, folder, settings.name, chosen, at_once), at_once)
        _conclude(folder, settings.name, everything, chosen, runner)


def _executor(kind: str, folder: Path, name: str, arms: list[Arm], at_once: int) -> Executor:
    if kind == "local":
        from lmx_runs.jobs.executors import LocalExecutor

        return LocalExecutor(min(at_once, max(1, len(arms))))
    from lmx_runs.jobs.slurm import SlurmExecutor

    slurm = SlurmExecutor(folder / "slurm", name)
    for arm in arms:
        slurm.check(arm.slurm)
    return slurm


def _dry_run(arms: list[Arm], state: State) -> None:
    import shlex

    from lmx_runs.sweep.plan import command_line, describe

    for arm in arms:
        after = f", after {', '.join(arm.needs)}" if arm.needs else ""
        terminal.say(f"# {arm.name} ({describe(arm, state.arms.get(arm.name))}{after})")
        terminal.say(shlex.join(command_line(arm)))


def _run(folder: Path, arms: list[Arm], state: State, executor: Executor, at_once: int) -> Runner:
    """Run the arms; after Ctrl-C, SIGTERM or a full disk a repeated command goes on from there."""
    import signal

    from lmx_runs.sweep.runner import Runner
    from lmx_runs.sweep.view import View

    def interrupt(_number: int, _frame: object) -> None:
        raise KeyboardInterrupt

    with View() as view:
        runner = Runner(folder, arms, state, executor, view, at_once)
        before = signal.signal(signal.SIGTERM, interrupt)
        try:
            runner.run()
        except KeyboardInterrupt:
            interrupted = True
        except OSError as error:
            raise UserError(
                f"the sweep's state cannot be kept in {folder}: {error}. Arms that run go on; mend this and repeat the "
                "command"
            ) from error
        else:
            interrupted = False
        finally:
            signal.signal(signal.SIGTERM, before)
    if interrupted:
        _interrupted(runner)
    return runner


def _interrupted(runner: Runner) -> None:
    """Tell how to go on, offer to cancel Slurm jobs, and leave with the status of a Ctrl-C."""
    import sys

    if runner.jobs:
        numbers = " ".join(job.handle for job in runner.jobs.values())
        terminal.say(f"Slurm jobs go on: {numbers}. Cancel them with: scancel {numbers}", error=True)
        if sys.stdin.isatty() and typer.confirm("Cancel them now?", default=False, err=True):
            runner.stop()
    terminal.say("interrupted; repeat the command to go on from here", error=True)
    raise typer.Exit(130)


def _conclude(folder: Path, name: str, everything: list[Arm], chosen: list[Arm], runner: Runner) -> None:
    from lmx_analysis.tables import console
    from lmx_runs.jobs.worker import LOG
    from lmx_runs.sweep import collate

    # An arm that was not chosen this time may have results of former settings.
    known = runner.state.arms
    states = {
        a.name: known[a.name] for a in everything if a.name in known and known[a.name].fingerprint == a.fingerprint
    }
    console().print(collate.collate(folder, everything, states))
    terminal.say(f"\n{folder / collate.CSV}\n{folder / collate.JSON}")
    _report(folder, name, [folder / s.results for arm in everything if (s := states.get(arm.name)) and s.results])
    lost = [arm for arm in chosen if states[arm.name].status != "done"]
    for arm in lost:
        state = states[arm.name]
        status = "" if state.exit_code is None else f" (exit status {state.exit_code})"
        log = f"; log: {arm.folder / LOG}" if state.status == "failed" else ""
        terminal.say(f"{arm.name} {state.status}{status}{log}", error=True)  # the reason was told when it happened
    if lost:
        raise typer.Exit(1)


def _report(folder: Path, title: str, results: list[Path]) -> None:
    """Write the report in a process of its own: whatever happens there, the sweep's results stand."""
    if not results:
        return
    from lmx_files.safety import children

    target = folder / "report.html"
    arguments = ["report", *map(str, results), "-o", str(target), "--title", title]
    done = children.finish(children.module("lmx_cli.main", *arguments), seconds=None)
    if done.returncode == 0:
        terminal.say(target)
    else:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        terminal.say(f"the report could not be written: {last}", error=True)
