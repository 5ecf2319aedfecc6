"""Differences of weights: the study's script of this name, by `lmx perfpred weight-diff`.

python scripts/performance_prediction/weight_diff.py make --path_raw BASE --path_tuned MODEL --path_diff DIFF
python scripts/performance_prediction/weight_diff.py recover --path_raw BASE --path_tuned MODEL --path_diff DIFF

`make` reads BASE and MODEL and writes DIFF; `recover` reads BASE and DIFF and writes MODEL. (The study's README calls
`make_diff` where it means `recover`.)
"""

from __future__ import annotations

import argparse
import sys

from lmx_cli.main import main as lmx


def main() -> None:
    """Translate the study's flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["make", "recover"])
    for flag in ("--path_raw", "--path_tuned", "--path_diff"):
        parser.add_argument(flag, required=True)
    parser.add_argument("--published", action="store_true", help="DIFF is numbers to add, as the study's models are")
    options = parser.parse_args()
    making = options.action == "make"
    read, written = (options.path_tuned, options.path_diff) if making else (options.path_diff, options.path_tuned)
    sys.argv = ["lmx", "perfpred", "weight-diff", options.action, read, "--base", options.path_raw, "-o", written]
    sys.argv += ["--published"] if options.published and not making else []
    lmx()


if __name__ == "__main__":
    main()
