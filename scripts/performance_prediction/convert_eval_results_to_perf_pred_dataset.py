"""The data set of a run: the study's script of this name, by `lmx perfpred build`.

python scripts/performance_prediction/convert_eval_results_to_perf_pred_dataset.py RESULTS out.csv [--tasks FILE]

Writes out.csv, with the study's columns, and out.parquet, with all that is known.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from lmx_analysis.performance_prediction import build, data, tasks_file
from lmx_files.atomic import write_files
from lmx_files.errors import UserError
from lmx_files.safety import terminal


def main() -> None:
    """Parse the arguments, build and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", type=Path, help="folder of a finished run with samples")
    parser.add_argument("output", type=Path, help="CSV file to write")
    parser.add_argument("--tasks", type=Path, help="tasks' definitions, categories and sources (JSON lines)")
    parser.add_argument("--model", help="what to call the model")
    options = parser.parse_args()
    if options.output.suffix != ".csv":
        raise UserError(f"{options.output} must end in .csv")
    about = tasks_file.read(options.tasks) if options.tasks else None
    made = build.build([options.results], about, build.Options(model=options.model))
    files = data.files(made.rows)
    stem = options.output.stem
    write_files(options.output.parent, {f"{stem}{Path(name).suffix}": content for name, content in files.items()})
    for note in made.notes:
        terminal.say(f"note: {note}", error=True)
    terminal.say(f"{options.output} ({len(made.rows)} rows)")


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"lmx: error: {error}")
