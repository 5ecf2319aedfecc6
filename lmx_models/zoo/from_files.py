"""Tokenizers and models by transformers' own classes, from safetensors: no code of repositories, no pickles."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from lmx_files.errors import UserError


@contextlib.contextmanager
def quiet_loading(name: str) -> Iterator[None]:
    """Turn the load errors of transformers into one line that names the model."""
    try:
        yield
    except OSError as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise UserError(
            f"cannot load {name!r}: {first}. Name a folder with safetensors, a Hub id, or one of `lmx models`"
        ) from error
    except Exception as error:
        if isinstance(error, (ValueError, ImportError)) and any(
            words in str(error) for words in ("trust_remote_code", "custom code")
        ):
            raise UserError(
                f"cannot load {name!r}: it comes with code of its own, which is not run, and transformers has no class "
                "for it. Name a model of a class that transformers has"
            ) from error
        if isinstance(error, (UserError, MemoryError, torch.OutOfMemoryError)) or not _from_reading_files(error):
            raise
        what = " ".join(str(error).split())[:300]
        raise UserError(
            f"cannot load {name!r}: its files are damaged, or need a package that is not installed "
            f"({type(error).__name__}: {what})"
        ) from error


def _from_reading_files(error: BaseException) -> bool:
    """Whether an error was raised while transformers read a configuration, a tokenizer or a model."""
    trace, entered = error.__traceback__, False
    while trace is not None:
        entered = entered or (
            trace.tb_frame.f_code.co_name in ("from_pretrained", "from_dict")
            and "transformers" in Path(trace.tb_frame.f_code.co_filename).parts
        )
        trace = trace.tb_next
    return entered


def tokenizer_from(pretrained: str, cls: Any = transformers.AutoTokenizer, **kwargs: Any) -> Any:
    """Load a tokenizer by transformers' own classes; what its repository brings of code is not run, nor asked for."""
    return cls.from_pretrained(pretrained, trust_remote_code=False, **kwargs)


def config_from(pretrained: str | Path, revision: str | None = None) -> Any:
    """Load a model's configuration by transformers' own classes."""
    return transformers.AutoConfig.from_pretrained(pretrained, revision=revision or "main", trust_remote_code=False)


def model_from(pretrained: str | Path, cls: Any = transformers.AutoModelForCausalLM, **kwargs: Any) -> Any:
    """Load a model from safetensors (or a GGUF file, which holds no code either) by transformers' own classes."""
    if not kwargs.get("gguf_file"):
        kwargs["use_safetensors"] = True
    return cls.from_pretrained(pretrained, trust_remote_code=False, **kwargs)
