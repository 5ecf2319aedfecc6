"""Loading a second model, and facts about models that decoders need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
import transformers

from lmx_models import zoo
from lmx_plugins.errors import UserError


def no_remote_code(arguments: dict[str, Any]) -> None:
    """Refuse ``trust_remote_code``: lmx runs no code from model repositories."""
    if str(arguments.get("trust_remote_code", False)).lower() != "false":
        raise UserError(
            "trust_remote_code=True is refused: lmx runs no code from model repositories. Leave it out; "
            "models of transformers' own classes need none"
        )


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


def load(resolved: zoo.Resolved, name: str, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """Load ``(model, tokenizer)`` for `resolved` in `dtype` on `device`, without remote code and without pickles."""
    kwargs: dict[str, Any] = {"revision": resolved.revision} if resolved.revision else {}
    with quiet_loading(name):
        tokenizer = transformers.AutoTokenizer.from_pretrained(resolved.pretrained, **kwargs)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            resolved.pretrained, dtype=dtype, use_safetensors=True, **kwargs
        )
    return model.to(device).eval(), tokenizer


def model_name(model: Any) -> str:
    """Return a model's name as the user gave it; of a loaded one, where it came from and its class, not its repr."""
    if not isinstance(model, torch.nn.Module):
        return str(model)
    path = getattr(getattr(model, "config", None), "_name_or_path", "")
    return f"{path} (a {type(model).__name__} object)" if path else f"a {type(model).__name__} object"


def encode_prompt(
    tokenizer: Any, text: str, add_special_tokens: bool | None = None, truncation: bool = False
) -> list[int]:
    """Tokenize a prompt, which a chat template may have begun with the tokenizer's beginning of text: never two.

    Args:
        add_special_tokens: None: as the tokenizer is set.
        truncation: cut it to the tokenizer's `model_max_length`, on the tokenizer's side.
    """
    bos = getattr(tokenizer, "bos_token", None)
    special = False if bos and text.startswith(bos) else add_special_tokens
    arguments: dict[str, Any] = {} if special is None else {"add_special_tokens": bool(special)}
    if truncation:
        arguments["truncation"] = True
    ids: list[int] = list(tokenizer.encode(text, **arguments))
    return ids


def end_ids(model: Any, tokenizer: Any) -> frozenset[int]:
    """Return every id that ends a text: the generation config's (often several), the config's, the tokenizer's."""
    ids: set[int] = set()
    for value in (
        getattr(getattr(model, "generation_config", None), "eos_token_id", None),
        getattr(model.config, "eos_token_id", None),
        tokenizer.eos_token_id,
    ):
        ids.update([value] if isinstance(value, int) else value or [])
    return frozenset(ids)


def same_tokenizer(a: Any, b: Any) -> bool:
    """Tell whether two tokenizers give the same ids: same vocabulary, and same ids on texts that usually tell."""
    if a is b:
        return True
    probe = "It's 1 234.5 km\n\n\tdef f(x): return x**2  # caf\u00e9 \u4f60\u597d <END>"
    same: bool = a.get_vocab() == b.get_vocab() and a.encode(probe) == b.encode(probe)
    return same
