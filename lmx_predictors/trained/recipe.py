"""How a fine-tuned predictor is trained: the settings that its `fit` hands to transformers' Trainer."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError, unknown
from lmx_files.values import read_float, read_int, read_text

SCHEDULES = ("linear", "constant", "constant_with_warmup", "cosine")


@dataclass(frozen=True)
class Recipe:
    """Settings of training.

    Attributes:
        batch_size: texts in a step. learning_rate: AdamW's. epochs: times that each task is seen.
        schedule: of the learning rate. warmup: share of the steps in which it rises. weight_decay: AdamW's.
        max_tokens: a definition is cut to as many. save_seconds: at least so long between two checkpoints, which are
            written at ends of epochs.
    """

    batch_size: int = 16
    learning_rate: float = 5e-5
    epochs: int = 20
    schedule: str = "linear"
    warmup: float = 0.06
    weight_decay: float = 0.01
    max_tokens: int = 512
    save_seconds: float = 120.0

    @classmethod
    def read(cls, settings: dict[str, Any], **defaults: Any) -> Recipe:
        """Return the recipe of settings as a user wrote them; `defaults` are a predictor's own.

        Raises:
            UserError: an unknown setting, or a value that is none.
        """
        known = {each.name: each for each in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in (defaults | settings).items():
            if name not in known:
                raise unknown("setting of the predictor", name, [*known, "model"])
            if known[name].type == "int":
                values[name] = read_int(name, value, least=1)
            elif known[name].type == "float":
                values[name] = read_float(name, value)
                if values[name] < 0:
                    raise UserError(f"{name}={value} must not be below 0")
            else:
                values[name] = read_text(name, value)
        found = cls(**values)
        if found.schedule not in SCHEDULES:
            raise unknown("schedule", found.schedule, SCHEDULES)
        return found


def pretrained(name: str) -> str:
    """Return what `from_pretrained` can load for a short name, a folder or a Hub id: safetensors, without any code.

    Raises:
        UserError: it cannot be had.
    """
    from lmx_models.zoo import catalogue
    from lmx_models.zoo.folders import foreign_code

    folder = Path(name).expanduser()
    if folder.is_dir() and (folder / "config.json").is_file():
        if problem := foreign_code(folder):
            raise UserError(f"cannot use model={name}: it {problem}")
        if not any(folder.glob("*.safetensors")):
            raise UserError(f"cannot use model={name}: it has no *.safetensors; save it again with save_pretrained")
        return str(folder)
    return str(catalogue.fetch(name))
