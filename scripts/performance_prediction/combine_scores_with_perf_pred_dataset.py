"""Losses merged into a data set: the study's script of this name, by `lmx perfpred combine`.

python scripts/performance_prediction/combine_scores_with_perf_pred_dataset.py set.csv losses.csv --outfile out.csv
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lmx_analysis.performance_prediction import data
from lmx_analysis.performance_prediction.combine import combine
from lmx_files.atomic import write_files
from lmx_files.errors import UserError
from lmx_files.safety import terminal


def main() -> None:
    """Parse the arguments, merge and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path, help="data set, CSV or Parquet")
    parser.add_argument(
        "losses", type=Path, help="CSV of task, model, predict_loss; JSON of tasks and losses; a data set"
    )
    parser.add_argument("--outfile", type=Path, required=True, help="CSV file to write; a Parquet file lies beside it")
    options = parser.parse_args()
    rows = combine(data.read(options.dataset), options.losses)
    stem = options.outfile.stem
    files = {f"{stem}{Path(name).suffix}": content for name, content in data.files(rows).items()}
    write_files(options.outfile.parent, files, "--outfile")
    terminal.say(f"{options.outfile} ({len(rows)} rows)")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"lmx: error: {error}")
