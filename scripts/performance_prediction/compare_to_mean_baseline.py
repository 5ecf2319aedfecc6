"""RMSE of each training beside that of the mean on the same tasks, by seed and over seeds: the study's script.

python scripts/performance_prediction/compare_to_mean_baseline.py out/*
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from lmx_analysis.performance_prediction import aggregate
from lmx_analysis.tables import console, table
from lmx_files.errors import UserError


def main(paths: list[str]) -> None:
    """Print a row for each setting and predictor."""
    if not paths:
        raise UserError("name folders that lmx perfpred train wrote")
    frame = aggregate.read([Path(path) for path in paths])
    rows = []
    for (*setting, predictor), part in frame.groupby([*aggregate.SETTING, "predictor"], sort=False):
        errors = [
            np.sqrt(((part[name] - part["true"]) ** 2).groupby(part["seed"]).mean()) for name in ("predicted", "mean")
        ]
        shown = [
            f"{each.mean():.2f} ± {each.std(ddof=1):.2f}" if len(each) > 1 else f"{each.mean():.2f}" for each in errors
        ]
        better = f"{int((errors[0] < errors[1]).sum())} of {len(errors[0])}"
        rows.append([", ".join(map(str, setting[:4])), str(predictor), *shown, better])
    columns = [("setting", False), ("predictor", False), ("RMSE", True), ("of the mean", True), ("better in", True)]
    console().print(table("RMSE over seeds (± standard deviation)", columns, rows))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except UserError as error:
        sys.exit(f"lmx: error: {error}")
