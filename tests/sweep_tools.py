"""A stand-in for `lmx run` that starts at once, and sweeps of it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

# Takes the flags of `lmx run`. `text` among the model arguments says what to do; every start leaves a line in `starts`.
FAKE_RUN = """
import json, pathlib, sys, time
flags = dict(zip(sys.argv[1::2], sys.argv[2::2]))
arguments = json.loads(flags.get("--model_args", "{}"))
folder = pathlib.Path(flags["--output_path"])
with (folder / "starts").open("a") as starts:
    starts.write(json.dumps(arguments) + "\\n")
print("progress 1/2", flush=True)
if arguments.get("text") == "fail":
    print("Traceback (most recent call last):\\nValueError: no such thing", file=sys.stderr)
    sys.exit(3)
if arguments.get("text") == "no results":
    sys.exit(0)
if "until" in arguments:
    try:
        while not pathlib.Path(arguments["until"]).exists():
            time.sleep(0.02)
    except KeyboardInterrupt:
        print("lmx: interrupted")
        sys.exit(130)
stamp = f"2026-01-01T00-00-{time.time_ns() / 1e9:.6f}"
metrics = {"alias": "quiz", "acc,none": arguments.get("acc", 0.5), "acc_stderr,none": 0.1, "extra,none": 1.0}
decoding = {"texts": 4, "forwards": 20, "tokens_per_forward": 2.5, "seconds": 0.5, "finish": {"eos": 3, "length": 1}}
decoding |= arguments.get("decoding", {})
results = {
    "results": {"quiz": metrics},
    "configs": {"quiz": {}},
    "higher_is_better": {"quiz": {"acc": True}},
    "n-samples": {"quiz": {"original": 4, "effective": 4}},
    "config": {"model": "scripted", "model_args": arguments, "decoding": decoding},
}
(folder / "model").mkdir(exist_ok=True)
(folder / "model" / f"results_{stamp}.json").write_text(json.dumps(results))
"""

# Runs `lmx` with the stand-in, in a process that can be killed.
LMX = """
import sys
from lmx_cli import sweep
from lmx_runs.sweep import flags, plan
plan.check_names = lambda *_: None
flags.RUN = ({fake!r},)
sweep._report = lambda *_: None
from lmx_cli.main import main
main()
"""


def write(folder: Path, arms: list[dict[str, Any]], **top: Any) -> Path:
    """Write a sweep file whose arms use the scripted model, and return its path."""
    settings = {
        "name": "test",
        "output_path": str(folder / "out"),
        "defaults": {"model": "scripted", "tasks": ["quiz"]},
        "arms": arms,
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(settings | top, sort_keys=False))
    return path


def fake_run(folder: Path) -> Path:
    """Write the stand-in and return its path."""
    path = folder / "fake_run.py"
    path.write_text(FAKE_RUN)
    return path


def start(fake: Path, *arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start `lmx` in a process of its own, with the stand-in as `lmx run`."""
    command = [sys.executable, "-c", LMX.format(fake=str(fake)), *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def states(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the arms' states of the sweep in ``out``."""
    arms: dict[str, dict[str, Any]] = json.loads((folder / "out" / "sweep_state.json").read_text())["arms"]
    return arms


def starts(folder: Path, arm: str) -> int:
    """Return how often an arm's run was started; `arm` is the name of its folder."""
    file = folder / "out" / "arms" / arm / "starts"
    return len(file.read_text().splitlines()) if file.exists() else 0
