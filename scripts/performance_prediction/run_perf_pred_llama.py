"""Fine-tune a decoder with LoRA on one split: the study's script of this name, by `lmx perfpred train`.

python scripts/performance_prediction/run_perf_pred_llama.py --data_file set.csv --output_dir out --seed 42
"""

from __future__ import annotations

from perf_pred_flags import train

if __name__ == "__main__":
    train("lora", __doc__)
