"""Training through transformers' Trainer, with the best epoch by the development tasks, and going on after a kill.

The model that starts out predicts 0 for every task: its last layer is set to 0. Scores are standardised by default, so
0 is the mean of the training tasks, and that is the zeroth epoch: a predictor that learns nothing that helps on the
development tasks stays the mean, instead of looking as if the tasks were hard.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import DataCollatorWithPadding, PrinterCallback, Trainer, TrainerCallback, TrainingArguments

from lmx_files import atomic
from lmx_predictors.trained.recipe import Recipe

Floats = NDArray[np.float64]
BEST, DONE = "lmx_best.safetensors", "lmx_done.json"


class Keeper(TrainerCallback):
    """Looks at the development tasks after each epoch, keeps the best weights, and asks for checkpoints.

    Attributes:
        errors: mean squared error on the development tasks by epoch, the first one of predicting 0.
        best: number of the best epoch, 0 before training. weights: the trained parameters then.
    """

    def __init__(self, dev: Batches | None, recipe: Recipe) -> None:
        self.dev, self.recipe = dev, recipe
        self.errors = [float(np.square(dev.scores).mean())] if dev is not None else []
        self.best, self.weights = 0, dict[str, torch.Tensor]()
        self._saved = time.monotonic()

    def on_epoch_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> Any:
        """Measure this epoch; ask for a checkpoint where the last one is old enough."""
        if self.dev is not None:
            error = float(np.square(self.dev.predict(model) - self.dev.scores).mean())
            if math.isfinite(error) and error < min(self.errors):
                self.best, self.weights = len(self.errors), trained_parameters(model)
            self.errors.append(error if math.isfinite(error) else math.inf)
        if time.monotonic() - self._saved >= self.recipe.save_seconds:
            control.should_save = True
        return control

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> Any:
        """Complete a checkpoint: the best weights, and last a mark without which it is not gone on from."""
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if self.weights:
            save_file(self.weights, folder / BEST)
        atomic.write(folder / DONE, json.dumps({"errors": self.errors, "best": self.best}), sync=True)
        self._saved = time.monotonic()
        return control

    def restore(self, checkpoint: Path) -> None:
        """Take up what a checkpoint holds of this."""
        kept = json.loads((checkpoint / DONE).read_text())
        self.errors, self.best = kept["errors"], kept["best"]
        if (checkpoint / BEST).is_file():
            self.weights = load_file(checkpoint / BEST)


class Batches:
    """Texts as tokens, with scores ``[n]``, and the predictions of a model for them."""

    def __init__(self, tokenizer: Any, texts: Sequence[str], scores: Floats, recipe: Recipe) -> None:
        encoded = tokenizer(list(texts), truncation=True, max_length=recipe.max_tokens)
        self.scores, self.size = scores, recipe.batch_size
        self.rows: list[dict[str, Any]] = [
            {"input_ids": ids, "attention_mask": mask, "labels": float(score)}
            for ids, mask, score in zip(encoded["input_ids"], encoded["attention_mask"], scores, strict=True)
        ]
        self.collate = DataCollatorWithPadding(tokenizer)

    def predict(self, model: Any) -> Floats:
        """Return the model's predictions ``[n]``; it is left in the mode in which it was."""
        training, device = model.training, next(model.parameters()).device
        model.eval()
        found = []
        with torch.no_grad():
            for start in range(0, len(self.rows), self.size):
                batch = self.collate([dict(row) for row in self.rows[start : start + self.size]]).to(device)
                batch.pop("labels")
                found.append(model(**batch).logits.float().reshape(-1).cpu().double().numpy())
        model.train(training)
        return np.concatenate(found)


def fit(
    model: Any, tokenizer: Any, texts: Sequence[str], scores: Floats, dev: tuple[Sequence[str], Floats] | None,
    recipe: Recipe, seed: int, folder: Path,
) -> Keeper:  # fmt: skip
    """Train a model that starts from 0 (`zero_last_layer`) and leave in it the weights of the best epoch.

    Without development tasks these are the last epoch's. Checkpoints lie in `folder`; where it holds one that is
    complete, training goes on from it, with the numbers that it would have had, and the folder is removed at the end.

    Returns:
        What was measured; `best` is 0 where no epoch was better than predicting 0.
    """
    kept = Keeper(None if dev is None else Batches(tokenizer, dev[0], dev[1], recipe), recipe)
    data = Batches(tokenizer, texts, scores, recipe)
    arguments = TrainingArguments(
        output_dir=str(folder), per_device_train_batch_size=recipe.batch_size, num_train_epochs=recipe.epochs,
        learning_rate=recipe.learning_rate, lr_scheduler_type=recipe.schedule, warmup_steps=recipe.warmup,
        weight_decay=recipe.weight_decay, seed=seed, data_seed=seed, save_strategy="no", save_total_limit=2,
        eval_strategy="no", logging_strategy="no", report_to="none", disable_tqdm=True,
        dataloader_pin_memory=False, use_cpu=not torch.cuda.is_available(), remove_unused_columns=False,
    )  # fmt: skip
    trainer = Trainer(model, arguments, data_collator=data.collate, train_dataset=data.rows, callbacks=[kept])
    trainer.remove_callback(PrinterCallback)  # it prints to stdout, which belongs to the command
    checkpoint = whole_checkpoint(folder)
    if checkpoint is not None:
        kept.restore(checkpoint)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if kept.weights:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if name in kept.weights:
                    parameter.copy_(kept.weights[name].to(parameter.device))
    shutil.rmtree(folder, ignore_errors=True)
    return kept


def whole_checkpoint(folder: Path) -> Path | None:
    """Return the last complete checkpoint; those that a kill cut off are removed."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
    for path in reversed(found):
        if (path / DONE).is_file():
            return path
        shutil.rmtree(path)
    return None


def trained_parameters(model: Any) -> dict[str, torch.Tensor]:
    """Return copies of the parameters that are trained."""
    return {
        name: each.detach().cpu().clone().contiguous() for name, each in model.named_parameters() if each.requires_grad
    }


def zero_last_layer(model: Any) -> None:
    """Set the layer with the one output to 0, so that the model predicts 0 for everything."""
    last = [each for each in model.modules() if isinstance(each, torch.nn.Linear) and each.out_features == 1][-1]
    with torch.no_grad():
        last.weight.zero_()
        if last.bias is not None:
            last.bias.zero_()
