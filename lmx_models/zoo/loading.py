"""Loading a second model, and facts about models that decoders need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from lmx_files.errors import UserError
from lmx_models.zoo import catalogue, folders, hub
from lmx_models.zoo.from_files import model_from, quiet_loading, tokenizer_from
from lmx_models.zoo.resolved import Resolved

# What PEFT calls the two files of an adapter.
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


def no_remote_code(arguments: dict[str, Any]) -> None:
    """Refuse ``trust_remote_code``: lmx runs no code from model repositories."""
    if str(arguments.get("trust_remote_code", False)).lower() != "false":
        raise UserError(
            "trust_remote_code=True is refused: lmx runs no code from model repositories. Leave it out; "
            "models of transformers' own classes need none"
        )


def load(resolved: Resolved, name: str, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """Load ``(model, tokenizer)`` for `resolved` in `dtype` on `device`, without remote code and without pickles."""
    with quiet_loading(name):
        tokenizer = load_tokenizer(resolved, name)
        model = model_from(resolved.pretrained, dtype=dtype, **_revision(resolved))
    return model.to(device).eval(), tokenizer


def load_tokenizer(resolved: Resolved, name: str) -> Any:
    """Load the tokenizer of a model."""
    with quiet_loading(name):
        return tokenizer_from(resolved.pretrained, **_revision(resolved))


def _revision(resolved: Resolved) -> dict[str, Any]:
    return {"revision": resolved.revision} if resolved.revision else {}


def safe_additions(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments of lm_eval's ``hf`` with what is laid over the weights named by folders of safetensors.

    Args:
        arguments: ``peft`` and ``delta`` among them are looked at, and ``tokenizer`` where it is a name.

    Raises:
        UserError: pickled weights, which could run code, or none; code that the repository brings.
    """
    safe = {**arguments, "trust_remote_code": False}
    if isinstance(safe.get("peft"), str):
        safe["peft"] = str(adapter(safe["peft"], arguments.get("revision")))
    if isinstance(safe.get("delta"), str):
        safe["delta"] = catalogue.resolve(str(catalogue.fetch(safe["delta"]))).pretrained
    tokenizer = safe.get("tokenizer")
    if isinstance(tokenizer, str) and (problem := folders.foreign_code(Path(tokenizer))):
        raise UserError(f"cannot use tokenizer={tokenizer}: it {problem}. {folders.OTHER_MODEL}")
    return safe


def adapter(name: str, revision: str | None = None) -> Path:
    """Return the folder of a PEFT adapter whose weights are safetensors; of the Hub's, nothing else is fetched.

    Raises:
        UserError: it is not there, or its weights are pickled.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        if not hub.is_hub_id(name):
            raise UserError(f"peft={name!r}: there is no such folder, and it is no Hub id (owner/name)")
        folder = hub.download(name, revision, [ADAPTER_CONFIG, ADAPTER_WEIGHTS])
    for file in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
        if not (folder / file).is_file():
            pickled = folders.no_safetensors(path.name for path in folder.iterdir()) if folder.is_dir() else ""
            problem = pickled if file == ADAPTER_WEIGHTS and "pickled" in pickled else f"has no {file}"
            raise UserError(f"cannot use peft={name}: it {problem}. Save the adapter again with save_pretrained")
    return folder


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
