"""Loading a second model, and facts about models that decoders need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import transformers

from lmx_models.zoo import catalogue, folders, hub
from lmx_plugins.errors import UserError

# What PEFT calls the two files of an adapter.
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"


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


def model_from(pretrained: str | Path, cls: Any = transformers.AutoModelForCausalLM, **kwargs: Any) -> Any:
    """Load a model from safetensors (or a GGUF file, which holds no code either) by transformers' own classes."""
    if not kwargs.get("gguf_file"):
        kwargs["use_safetensors"] = True
    return cls.from_pretrained(pretrained, trust_remote_code=False, **kwargs)


def load(resolved: catalogue.Resolved, name: str, dtype: torch.dtype, device: torch.device) -> tuple[Any, Any]:
    """Load ``(model, tokenizer)`` for `resolved` in `dtype` on `device`, without remote code and without pickles."""
    with quiet_loading(name):
        tokenizer = load_tokenizer(resolved, name)
        model = model_from(resolved.pretrained, dtype=dtype, **_revision(resolved))
    return model.to(device).eval(), tokenizer


def load_tokenizer(resolved: catalogue.Resolved, name: str) -> Any:
    """Load the tokenizer of a model."""
    with quiet_loading(name):
        return tokenizer_from(resolved.pretrained, **_revision(resolved))


def _revision(resolved: catalogue.Resolved) -> dict[str, Any]:
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
