"""How the statistics of lmx behave on data of which the truth is known: nominal, before, after.

Each line simulates studies and counts: false alarms where there is no difference (nominal 0.05), how often an interval
holds the truth (0.95), and how often a known difference is found. *Before* is the method that lmx used earlier, kept
here for the comparison only; a figure in brackets was measured then and is not run again.

    python benchmarks/calibration.py             # the whole table, under 20 minutes of one core
    python benchmarks/calibration.py --quick     # a tenth of the studies
    python benchmarks/calibration.py --only calibration_paired
"""

from __future__ import annotations

import argparse
import importlib
import time
from dataclasses import asdict

from benchmarks.common import keep, machine
from benchmarks.studies.calibration_rows import Row

MODULES = ("calibration_paired", "calibration_many", "calibration_curve")


def line(row: Row) -> str:
    """Return a row as a line of the table."""
    cells = []
    for value, bracketed in ((row.nominal, False), (row.before, row.audited), (row.after, False)):
        text = "-" if value is None else f"{value:.3f}"
        cells.append(f"{f'[{text}]' if bracketed and value is not None else text:>9}")
    error = "" if row.after is None else f"{row.error:.3f}"
    return f"{row.name:62}" + "".join(cells) + f"{error:>8}{row.repeats:>9}  {row.note}".rstrip()


def main() -> None:
    """Print the table and keep it in ``benchmarks/results``."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the studies")
    parser.add_argument("--only", help="one of " + ", ".join(MODULES))
    arguments = parser.parse_args()
    modules = [arguments.only] if arguments.only else list(MODULES)
    group, whole = "", 0.0
    for name in modules:
        start, found = time.process_time(), []
        for row in importlib.import_module(f"benchmarks.studies.{name}").rows(arguments.quick):
            if row.group != group:
                group = row.group
                print(f"\n{group:62}{'nominal':>9}{'before':>9}{'after':>9}{'± se':>8}{'N':>9}")
            print(line(row), flush=True)
            found.append(row)
        seconds = time.process_time() - start
        whole += seconds
        if not arguments.quick:
            keep(name, {"machine": machine(), "seconds": round(seconds), "rows": [asdict(row) for row in found]})
    print(f"\n{whole:.0f} s of processor time")


if __name__ == "__main__":
    main()
