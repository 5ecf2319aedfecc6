"""How many threads torch computes with, and how they wait for each other: chosen before torch is loaded.

OpenMP's threads spin while they wait, by default for milliseconds. Alone on a machine that is the fastest way; beside
other work each thread spins away the time that the one it waits for would need, and a run becomes ten times slower. So
on a busy machine threads yield after a short spin. What a user has set stays as it is.
"""

from __future__ import annotations

import os
import sys
import time
from types import ModuleType

# GNU's runtime (torch's wheels for Linux), LLVM's and Intel's (torch on macOS and Windows, conda), and both.
WAITING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
# Rounds of GNU's spin loop (some microseconds), and milliseconds of the others'.
SHORT_SPIN = {"GOMP_SPINCOUNT": "1000", "KMP_BLOCKTIME": "0"}
# Readings of the number of runnable threads, and seconds between two of them.
READINGS, APART = 10, 0.003

_chosen: dict[str, object] = {}


def prepare(module: ModuleType | None = None) -> None:
    """Set the variables that OpenMP reads when torch is loaded; without effect once it is."""
    if "torch" in sys.modules or _chosen:
        return
    others = runnable_elsewhere()
    cores = available_cores()
    _chosen.update(cores=cores, busy_elsewhere=others)
    if not any(os.environ.get(name) for name in THREADS):
        threads = number_of_threads(cores, others)
        if threads != (os.cpu_count() or 1):
            os.environ["OMP_NUM_THREADS"] = str(threads)
    if is_busy(others, os.cpu_count() or 1, cores) and not any(os.environ.get(name) for name in WAITING):
        os.environ.update(SHORT_SPIN)
        _chosen["waiting"] = "yields after a short spin"


def chosen() -> dict[str, object]:
    """Return what holds for this process, for its results: cores, threads, how they wait, and what was set by whom."""
    named = {name: os.environ[name] for name in (*THREADS, *WAITING) if os.environ.get(name)}
    return {**_chosen, "variables": named}


def number_of_threads(cores: int, others: float) -> int:
    """Return how many threads to compute with, of `cores` that may be used while `others` threads run elsewhere.

    Cores that are taken are left out while half of them are free. With fewer, sharing them all is faster than keeping
    to the free ones.
    """
    free = cores - round(others)
    return free if free > cores / 2 else cores


def is_busy(others: float, machine: int, cores: int) -> bool:
    """Whether the machine's cores do not suffice for `others` threads that run and as many of ours as `cores`."""
    return others + cores > machine + 0.5


def available_cores() -> int:
    """Return how many cores this process may use, by its affinity and by the quota of its control groups."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    ranks = os.environ.get("LOCAL_WORLD_SIZE", "")
    quota = cpu_quota()
    if quota is not None:
        cores = min(cores, max(1, int(quota)))
    return max(1, cores // int(ranks)) if ranks.isdigit() and int(ranks) > 0 else cores


def cpu_quota(groups: str = "/proc/self/cgroup", root: str = "/sys/fs/cgroup") -> float | None:
    """Return the processor time per second that the control groups above this process allow; None for no limit."""
    limits = []
    for line in _read(groups).splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and "cpu" not in controllers.split(","):
            continue
        base = root if not controllers else os.path.join(root, "cpu")
        parts = [part for part in path.split("/") if part not in ("", "..")]
        for depth in range(len(parts) + 1):
            folder = os.path.join(base, *parts[:depth])
            if controllers:  # version 1
                quota, period = _read(f"{folder}/cpu.cfs_quota_us"), _read(f"{folder}/cpu.cfs_period_us")
            else:
                quota, _, period = _read(f"{folder}/cpu.max").partition(" ")
            if quota.strip().isdigit() and period.strip().isdigit() and int(period) > 0:
                limits.append(int(quota) / int(period))
    return min(limits, default=None)


def runnable_elsewhere() -> float:
    """Return how many threads of other processes run or wait for a core, on average over some hundredths of a second.

    0 where the system does not tell (not Linux), and where the machine's load is hidden from a container.
    """
    readings = []
    for reading in range(READINGS):
        if reading:
            time.sleep(APART)
        fields = _read("/proc/loadavg").split()
        running = fields[3].partition("/")[0] if len(fields) > 3 else ""
        if not running.isdigit():
            return 0.0
        readings.append(int(running) - 1)  # this thread is one of them
    return max(0.0, sum(readings) / len(readings))


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""
