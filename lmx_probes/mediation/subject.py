"""Which model a study is of: the one that wrote a run's answers, as it was loaded there, or one that is named."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_files.runs.folders import Run
from lmx_models.zoo import catalogue

SEVERAL = ("guided", "hybrid")
"""Decoders in which several models write, whatever their arguments."""
OTHERS = ("oracle", "amateur", "assistant_model", "draft", "draft_model", "diffusion", "graph", "preset")
"""Arguments that name a further model."""
LAID_OVER = (
    "peft", "delta", "subfolder", "tokenizer", "gguf_file", "lora_local_path", "autogptq", "gptqmodel", "load_in_4bit",
    "load_in_8bit", "quantization_config",
)  # fmt: skip
"""Arguments by which a model is another one than `pretrained` names; what is read here is `pretrained` alone."""
MEND = "Name an open-weight model with --model"


@dataclass(frozen=True)
class Subject:
    """A model: a name as in `lmx_models.zoo.catalogue`, and a commit or branch of the Hub; None: the newest."""

    name: str
    revision: str | None = None


def subject_of(run: Run, read: Callable[[str], Mapping[str, Any]]) -> Subject:
    """Return the model that a run names.

    Args:
        read: reads ``name=value,...`` as lm_eval does, which may not be imported here.

    Raises:
        UserError: its weights are not here, as behind an endpoint; several models wrote the answers; or the model is
            more than its weights' name and revision say.
    """
    given = run.results.get("config", {}).get("model_args") or {}
    arguments = read(given) if isinstance(given, str) else dict(given)
    name = arguments.get("pretrained") or arguments.get("base")
    if not isinstance(name, str) or arguments.get("base_url"):
        raise UserError(
            f"the run's model ({run.model}) has no weights here, and activations can only be read where they are. "
            f"{MEND}"
        )
    if run.model in SEVERAL or arguments.get("inner") in SEVERAL:
        raise UserError(
            f"the run's answers were written by several models ({run.model}), and a study is of one. {MEND}, e.g. "
            f"--model {name}"
        )
    for key, value in arguments.items():
        if _is_set(value) and (key in OTHERS or (key not in ("pretrained", "base", "tokenizer") and _is_model(value))):
            raise UserError(
                f"the run's answers were written by several models ({name} and {key}={value}), and a study is of one. "
                f"{MEND}, e.g. --model {name}"
            )
        if _is_set(value) and key in LAID_OVER and value != name:
            raise UserError(
                f"the run's model is {name} with {key}={value}, and only plain weights can be read here: without it "
                f"another model would be looked at. {MEND}, or save the whole model to a folder and name that"
            )
    revision = arguments.get("revision")
    return Subject(name, str(revision) if _is_set(revision) else None)


def _is_set(value: Any) -> bool:
    return value not in (None, "", False, "None", "False")


def _is_model(value: Any) -> bool:
    """Tell whether a value names a model that lmx knows, or a folder with one."""
    if not isinstance(value, str):
        return False
    try:
        return value in {each.name for each in catalogue.list_models()} or (Path(value) / "config.json").is_file()
    except (OSError, ValueError):  # too long for a path, or with a null character
        return False
