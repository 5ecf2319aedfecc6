"""Counts the files of lmx that one request passes in ``lm_eval --model guided --tasks constraint50 --limit 1``.

    python scripts/request_path.py [--list]        # another version of lmx: PYTHONPATH=CHECKOUT

A file counts if one of its functions runs (imports do not count): once for the whole evaluation, loading of models
included, and once from the moment where lm_eval hands the request to the model until its text is scored.
"""

from __future__ import annotations

import argparse
import sys
import threading
from pathlib import Path
from typing import Any

COLLECTED = ("_collect_results", "consolidate_results")  # of lm_eval 0.4.13, and before
ROOMS = "analysis cli files metrics models plugins predictors probes runs tasks"
PACKAGES = tuple(f"lmx_{room}" for room in ROOMS.split())
RUN: dict[str, Any] = {
    "model": "guided",
    "model_args": "pretrained=tiny-base,oracle=tiny-oracle",
    "tasks": ["constraint50"],
    "limit": 1,
    "gen_kwargs": "max_gen_toks=24",
    "device": "cpu",
    "batch_size": 1,
    "bootstrap_iters": 0,
}


class Passed:
    """The files of lmx whose functions ran, in the order in which they were first passed."""

    def __init__(self) -> None:
        self.whole: dict[str, None] = {}
        self.request: dict[str, None] = {}
        self.within = False
        self._known: dict[str, str | None] = {}

    def note(self, frame: Any, event: str, _: Any) -> None:
        """Note the file of a call, as `sys.setprofile` reports it."""
        if event != "call":
            return
        code = frame.f_code
        if code.co_name == "generate_until" and "lm_eval" not in code.co_filename:
            self.within = True
        file = self._of_lmx(code.co_filename)
        if file and code.co_name != "<module>":
            self.whole.setdefault(file)
            if self.within:
                self.request.setdefault(file)
        if code.co_name in COLLECTED:  # lm_eval's: all texts are scored
            self.within = False

    def _of_lmx(self, name: str) -> str | None:
        if name not in self._known:
            parts = Path(name).parts
            at = next((i for i, part in enumerate(parts) if part in PACKAGES), None)
            self._known[name] = None if at is None else "/".join(parts[at:])
        return self._known[name]


def main() -> None:
    """Run the command in this process and print what it passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="name the files")
    options = parser.parse_args()
    import lm_eval
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False)  # lm_eval's own 14,000 tasks take minutes under a profiler
    passed = Passed()
    threading.setprofile(passed.note)
    sys.setprofile(passed.note)
    try:
        lm_eval.simple_evaluate(task_manager=manager, **RUN)
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    if options.list:
        print("\n".join(passed.request))
    print(f"files of lmx that the request passes: {len(passed.request)}; the whole evaluation: {len(passed.whole)}")


if __name__ == "__main__":
    main()
