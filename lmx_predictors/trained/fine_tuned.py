"""Fine-tuned predictors: the definition alone goes in, one number comes out (mean squared error)."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from lmx_files.errors import UserError
from lmx_files.values import read_float, read_int, read_text
from lmx_predictors.trained.recipe import Recipe, pretrained

Floats = NDArray[np.float64]


class Instructions(Protocol):
    """What is looked at of tasks."""

    @property
    def definitions(self) -> tuple[str, ...]:
        """The instruction of each task."""


class _FineTuned:
    """What encoders and decoders share. See `training` for what keeps one that learns nothing at the mean.

    Args:
        seed: of the order of tasks, of dropout and of new layers.
        checkpoints: where training leaves what it needs to go on after a kill; without it, it starts anew.
        settings: ``model`` and those of `Recipe`.

    Attributes:
        errors: mean squared errors on the development tasks by epoch, the first one of predicting the mean.
    """

    uses_dev = True
    resumes = True
    model_name: str
    defaults: ClassVar[dict[str, Any]]

    def __init__(self, seed: int = 0, checkpoints: Path | None = None, **settings: Any) -> None:
        self.seed, self.checkpoints = seed, checkpoints
        self.name = read_text("model", settings.pop("model", self.model_name))
        self.recipe = Recipe.read(self._own(settings), **self.defaults)
        self.errors: list[float] = []
        self._constant = False

    def fit(self, tasks: Instructions, scores: Floats, dev: tuple[Instructions, Floats] | None = None) -> None:
        """Train on tasks and scores ``[n]``; the epoch is chosen by the development tasks."""
        from transformers import set_seed
        from transformers.utils import logging

        from lmx_models.zoo.from_files import quiet_loading
        from lmx_predictors.trained import training

        logging.disable_progress_bar()
        folder, verbosity = pretrained(self.name), logging.get_verbosity()
        set_seed(self.seed)
        logging.set_verbosity_error()  # that the last layer is new need not be told
        try:
            with quiet_loading(self.name):
                self.tokenizer, self.model = self._load(folder)
        finally:
            logging.set_verbosity(verbosity)
        held = None if dev is None else (dev[0].definitions, np.asarray(dev[1], dtype=np.float64))
        with tempfile.TemporaryDirectory() as scratch:
            place = self.checkpoints or Path(scratch)
            targets = np.asarray(scores, dtype=np.float64)
            kept = training.fit(
                self.model, self.tokenizer, tasks.definitions, targets, held, self.recipe, self.seed, place
            )
        self.errors = kept.errors
        self._constant = dev is not None and kept.best == 0

    def predict(self, tasks: Instructions) -> Floats:
        """Return predictions ``[n]``: all 0 where no epoch was better than that on the development tasks."""
        from lmx_predictors.trained.training import Batches

        count = len(tasks.definitions)
        if self._constant:
            return np.zeros(count)
        return Batches(self.tokenizer, tasks.definitions, np.zeros(count), self.recipe).predict(self.model)

    def _own(self, settings: dict[str, Any]) -> dict[str, Any]:
        """Take a predictor's own settings out; return those of the recipe."""
        return settings

    def _load(self, folder: str) -> tuple[Any, Any]:
        """Return tokenizer and model, whose last layer is 0."""
        import torch
        from transformers import AutoModelForSequenceClassification

        from lmx_models.zoo.from_files import model_from, tokenizer_from
        from lmx_predictors.trained.training import zero_last_layer

        tokenizer = tokenizer_from(folder)
        model = model_from(
            folder, AutoModelForSequenceClassification, num_labels=1, problem_type="regression", dtype=torch.float32
        )
        zero_last_layer(model)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        tokenizer.padding_side = "right"
        model.config.pad_token_id = tokenizer.pad_token_id
        return tokenizer, model


class Encoder(_FineTuned):
    """An encoder of RoBERTa's kind, all of its weights trained; the study's grid of batch sizes and learning rates."""

    model_name = "FacebookAI/roberta-base"
    defaults: ClassVar[dict[str, Any]] = {}
    grid = tuple(
        {"batch_size": size, "learning_rate": rate} for size in (8, 16, 32) for rate in (1e-5, 5e-5, 1e-4, 5e-4)
    )


class Lora(_FineTuned):
    """A decoder of LLaMA's kind with LoRA in all of its linear layers (Hu et al. 2021): r = alpha = 256, dropout 0.05.

    Settings beside those of `Recipe`: ``r``, ``alpha``, ``dropout``.
    """

    model_name = "huggyllama/llama-13b"
    defaults: ClassVar[dict[str, Any]] = {"schedule": "constant_with_warmup", "warmup": 0.03, "weight_decay": 0.0}
    grid = tuple({"batch_size": size, "learning_rate": rate} for size in (8, 16, 32) for rate in (1e-5, 5e-5, 1e-4))

    def _own(self, settings: dict[str, Any]) -> dict[str, Any]:
        rest = dict(settings)
        self.rank = read_int("r", rest.pop("r", 256), least=1)
        self.alpha = read_int("alpha", rest.pop("alpha", 256), least=1)
        self.dropout = read_float("dropout", rest.pop("dropout", 0.05))
        return rest

    def _load(self, folder: str) -> tuple[Any, Any]:
        try:
            from peft import LoraConfig, TaskType, get_peft_model
        except ImportError as error:
            raise UserError("the predictor lora needs peft: pip install 'lmx-eval[train]'") from error
        tokenizer, model = super()._load(folder)
        config = LoraConfig(
            task_type=TaskType.SEQ_CLS, r=self.rank, lora_alpha=self.alpha, lora_dropout=self.dropout,
            target_modules="all-linear", modules_to_save=["score"],
        )  # fmt: skip
        return tokenizer, get_peft_model(model, config)
