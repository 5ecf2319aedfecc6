"""What lmx costs when it is not used, and how fast its command answers.

Three claims, each measured in fresh processes:

1. The start-up file adds less than a millisecond to every Python start of the environment. Two otherwise equal, empty
   environments are started in turn, one with the file and one without, and the medians are compared: wall and
   processor time of the whole process, and what `-X importtime` says of `site`, the module that reads start-up files.
2. `lmx --help` and `lmx plugins` answer in under half a second.
3. Neither imports torch or transformers.

The verdict on 1 uses processor time, which other work on the machine disturbs least; 2 is about waiting, so it uses
wall time. Both grow on a busy machine: the load average is printed with it, and the start of Python itself beside.

    python benchmarks/startup.py [--runs 100]
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
START = ROOT / "lmx_plugins" / "_start.py"

# The line as hatch-autorun builds it.
PROJECT = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
TEMPLATE = re.search(r"^template = '(.*)'$", PROJECT, re.MULTILINE)
assert TEMPLATE, "the template of the start-up file is no longer in pyproject.toml"
LINE = TEMPLATE[1].format(code=START.read_text(encoding="utf-8"))

COMMAND = """
import sys
sys.argv = ["lmx", *{arguments!r}]
from lmx_cli.main import main
try:
    main()
finally:
    heavy = sorted({{"torch", "transformers", "lm_eval", "numpy"}} & set(sys.modules))
    print("imported:", ", ".join(heavy) or "nothing heavy", file=sys.stderr)
"""


def environment() -> dict[str, str]:
    """Return the variables for the measured processes: nothing that switches lmx off or adds to the path."""
    return {k: v for k, v in os.environ.items() if k not in ("LMX_NO_AUTOLOAD", "PYTHONPATH")}


def make_python(folder: Path, with_lmx: bool) -> str:
    """Create an empty environment, with the start-up file or without, and return its interpreter."""
    venv.create(folder, symlinks=True)
    site = next((folder / "lib").glob("python*/site-packages"))
    (site / "_project.pth").write_text(f"{ROOT}\n")  # in both, so that only the line differs
    if with_lmx:
        (site / "hatch_autorun_lmx_eval.pth").write_text(LINE)
    return str(folder / "bin" / "python")


def seconds(command: list[str]) -> tuple[float, float]:
    """Return the wall time and the processor time of one process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True, env=environment(), capture_output=True)
    wall = time.perf_counter() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def bridge(runs: int) -> float:
    """Measure the cost at Python start; return it in milliseconds of processor time."""
    with tempfile.TemporaryDirectory() as folder:
        without = make_python(Path(folder) / "without", with_lmx=False)
        with_lmx = make_python(Path(folder) / "with", with_lmx=True)
        times: dict[str, list[tuple[float, float]]] = {without: [], with_lmx: []}
        for run in range(runs + 3):
            order = [without, with_lmx] if run % 2 else [with_lmx, without]
            for python in order:
                taken = seconds([python, "-c", "pass"])
                if run >= 3:  # the first runs fill caches
                    times[python].append(taken)
        for kind, name in enumerate(("wall", "processor")):
            report(f"python -c pass, {name}", *(1000 * median_of(times[p], kind) for p in (without, with_lmx)))

        site: dict[str, list[float]] = {without: [], with_lmx: []}
        imported: set[str] = set()
        for _ in range(runs):
            for python in site:
                cost, modules = site_cost(python)
                site[python].append(cost)
                imported |= modules
        report("-X importtime, site", *(statistics.median(site[python]) for python in (without, with_lmx)))
        print(f"modules of lmx imported at start: {', '.join(sorted(imported)) or 'none'}")
        return 1000 * (median_of(times[with_lmx], 1) - median_of(times[without], 1))


def median_of(samples: list[tuple[float, float]], kind: int) -> float:
    """Return the median of one of the two times that were taken of each process."""
    return statistics.median(sample[kind] for sample in samples)


def report(what: str, without: float, with_lmx: float) -> None:
    """Print one comparison in milliseconds."""
    difference = with_lmx - without
    print(f"{what:<26} without {without:6.2f} ms, with {with_lmx:6.2f} ms, difference {difference:+.2f} ms")


def site_cost(python: str) -> tuple[float, set[str]]:
    """Return the milliseconds of Python's `site`, which reads start-up files, and what of lmx it imported."""
    command = [python, "-X", "importtime", "-c", "pass"]
    shown = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True).stderr
    cost, modules = 0.0, set()
    for line in shown.splitlines():
        times, _, module = line.rpartition("|")
        if module.strip() == "site" or "lmx" in module:
            cost += int(times.split("|")[0].split(":")[1]) / 1000
        if "lmx" in module:
            modules.add(module.strip())
    return cost, modules


def command_line(runs: int) -> bool:
    """Measure the `lmx` command in the running environment; return whether it is as quick and light as claimed."""
    holds = True
    for arguments in (["--help"], ["plugins"]):
        script = COMMAND.format(arguments=arguments)
        command = [sys.executable, "-c", script]
        done = subprocess.run(command, cwd=ROOT, check=True, env=environment(), capture_output=True, text=True)
        heavy = done.stderr.strip().splitlines()[-1]
        walls, processor = zip(*(seconds(command) for _ in range(runs)), strict=True)
        median = statistics.median(walls)
        holds = holds and median < 0.5 and heavy.endswith("nothing heavy")
        used = statistics.median(processor)
        spread = f"slowest {max(walls):.3f} s, processor {used:.3f} s"
        print(f"lmx {' '.join(arguments):<22} median {median:.3f} s of {runs} ({spread}); {heavy}")
    return holds


def main() -> int:
    """Print the measurements; exit with 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{platform.platform()}, {os.cpu_count()} cores (load {load}), Python {platform.python_version()}")
    holds = bridge(runs) < 1.0
    holds = command_line(max(5, runs // 10)) and holds
    print("claims hold" if holds else "a claim does NOT hold")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
