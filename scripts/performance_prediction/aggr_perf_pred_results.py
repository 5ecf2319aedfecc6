"""Results of any number of trainings in one table: the study's script of this name, by `lmx perfpred aggregate`.

python scripts/performance_prediction/aggr_perf_pred_results.py out/* -o results
"""

from __future__ import annotations

import sys

from lmx_cli.main import main

if __name__ == "__main__":
    sys.argv = ["lmx", "perfpred", "aggregate", *sys.argv[1:]]
    main()
