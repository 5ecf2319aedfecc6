"""Train the tiny family and write it as Hugging Face folders: `python scripts/train_tiny.py --out models`.

Without `--out` the shipped folders are replaced. The same seed, versions and number of threads give the
same weights. The whole family takes three quarters of an hour on two cores that do nothing else.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from training.tiny import build
from training.tiny.spec import FAMILY


def show(progress: Progress, bar: TaskID, step: int, losses: dict[str, float]) -> None:
    """Draw one step: how far, and the smoothed losses; a line every 100 steps where nobody watches."""
    text = " ".join(f"{kind} {value:.3f}" for kind, value in losses.items())
    progress.update(bar, completed=step, losses=text)
    if not progress.console.is_terminal and step % 100 == 0:
        print(f"step {step}: {text}", flush=True)


def main() -> None:
    """Parse the arguments, train each member with a progress bar, print its held-out scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--only", choices=sorted(FAMILY), action="append", help="train only this member")
    parser.add_argument("--out", type=Path, default=build.SHIPPED, help="folder to write the models into")
    parser.add_argument("--steps", type=int, help="optimiser steps of each round (default: each member's own)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, help="torch threads (default: each member's own)")
    parser.add_argument("--table", action="store_true", help="train nothing; print a table of the members in --out")
    args = parser.parse_args()
    if args.steps is not None and args.steps < 1:
        parser.error(f"--steps must be at least 1, not {args.steps}")
    if args.table:
        print(build.table(args.out))
        return
    losses = TextColumn("{task.fields[losses]}")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), losses)
    for name in args.only or FAMILY:
        spec = FAMILY[name]
        with Progress(*columns) as progress:
            bar = progress.add_task(name, total=args.steps or spec.steps, losses="")
            report = partial(show, progress, bar)
            record = build.make(name, args.out, args.seed, args.steps, args.threads, report)
        print(f"{name}: {record['seconds']} s, {record['scores']['chat']}")


if __name__ == "__main__":
    main()
