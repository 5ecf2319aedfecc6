"""What the study's two scripts of training share: their flags, as `lmx perfpred train` takes them."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from lmx_cli.main import main as lmx


def train(predictor: str, description: str | None, arguments: Sequence[str] | None = None) -> None:
    """Parse the study's flags and start `lmx perfpred train` with the mean and one predictor on one seed's split."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data_file", required=True, help="data set, CSV or Parquet")
    parser.add_argument("--output_dir", required=True)
    parser.add_argument("--target_col_name", default="predict_rougeL")
    parser.add_argument("--model_name", help="folder or Hub id of the model to fine-tune")
    parser.add_argument("--seed", type=int, default=42, help="of the split and of training")
    parser.add_argument("--targets", default="raw", help="raw, as published, or standardised")
    parser.add_argument("--protocol", default="published")
    for flag, name in SETTINGS.items():
        parser.add_argument(f"--{flag}", help=f"the setting {name}; else the study's grid, chosen on the dev tasks")
    options = parser.parse_args(arguments)
    target = options.target_col_name.removeprefix("predict_")
    command = ["lmx", "perfpred", "train", options.data_file, "-o", options.output_dir, "--target", target]
    command += ["--targets", options.targets, "--protocol", options.protocol, "--seeds", str(options.seed)]
    command += ["--predictors", f"mean,{predictor}"]
    values = {name: getattr(options, flag) for flag, name in SETTINGS.items()} | {"model": options.model_name}
    for name, value in values.items():
        command += [] if value is None else ["--setting", f"{predictor}.{name}={value}"]
    sys.argv = command
    lmx()


SETTINGS = {
    "learning_rate": "learning_rate",
    "per_device_train_batch_size": "batch_size",
    "num_train_epochs": "epochs",
    "max_length": "max_tokens",
}
