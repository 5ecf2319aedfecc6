"""Fine-tune an encoder on one split: the study's script of this name, by `lmx perfpred train`.

python scripts/performance_prediction/run_perf_pred_roberta.py --data_file set.csv --output_dir out --seed 42
"""

from __future__ import annotations

from perf_pred_flags import train

if __name__ == "__main__":
    train("roberta", __doc__)
