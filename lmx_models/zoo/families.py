"""Diffusion checkpoints whose ``model_type`` transformers does not know, loaded with its own classes.

Their repositories come with code; none of it is run. The parameters fit Qwen2, Qwen3 or Llama, apart from names: what
differs is attention (decoders of lmx choose it, see `Feed.full`) and which position a row of logits speaks of.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors import safe_open
from transformers.utils import cached_file

from lmx_files.errors import UserError
from lmx_models.zoo.family_table import Family, family_of
from lmx_models.zoo.from_files import model_from, quiet_loading, tokenizer_from
from lmx_models.zoo.resolved import Resolved

# Of a config.json, what only its own code reads.
_OWN_CODE = frozenset({"model_type", "architectures", "auto_map", "transformers_version"})
# Names that mask tokens have in the vocabularies of published models.
MASK_TOKENS = ("<|MASK|>", "<|mdm_mask|>", "<|mask|>", "[MASK]", "<mask>")


_CONFIGS = {
    "llama": transformers.LlamaConfig,
    "qwen2": transformers.Qwen2Config,
    "qwen3": transformers.Qwen3Config,
}


def load(
    resolved: Resolved,
    name: str,
    dtype: torch.dtype | str = "auto",
    device: torch.device | str = "cpu",
) -> tuple[Any, Any, Family] | None:
    """Load ``(model, tokenizer, family)`` from safetensors; None for a model that transformers loads by itself.

    Raises:
        UserError: the files are not what the family's files are.
    """
    revision = resolved.revision
    with quiet_loading(name):
        found = read(resolved.pretrained, revision)
        if found is None:
            return None
        family, config = found
        tokenizer = load_tokenizer(family, resolved.pretrained, config, revision=revision)
        with fitting(name, family):
            model, report = model_from(
                resolved.pretrained,
                config=config,
                dtype=dtype,
                revision=revision or "main",
                key_mapping=dict(family.names or {}),
                output_loading_info=True,
            )
    check_loaded(name, family, report)
    add_turn_ends(family, model, tokenizer)
    return model.to(device).eval(), tokenizer, family


def read(pretrained: str, revision: str | None = None) -> tuple[Family, Any] | None:
    """Return the family of a folder or Hub id and its config as transformers' own; None if it is of no family.

    Raises:
        UserError: the configuration is not that of the family.
    """
    where = {"revision": revision or "main"}
    raw, _ = transformers.PreTrainedConfig.get_config_dict(pretrained, **where)
    family = family_of(raw)
    if family is None:
        return None
    for field, value in (family.fixed or {}).items():
        if raw.get(field, value) != value:
            raise UserError(
                f"{pretrained}: {family.name} with {field}={raw[field]!r} in config.json does not fit the "
                f"{family.shape} class of transformers ({field}={value!r} does)"
            )
    if family.fields:
        fields = {ours: raw[theirs] for ours, theirs in family.fields.items() if raw.get(theirs) is not None}
    else:
        fields = {name: value for name, value in raw.items() if name not in _OWN_CODE}
    shape = family.shape
    if shape == "qwen":
        shape = "qwen3" if any("q_norm" in name for name in _weight_names(pretrained, where)) else "qwen2"
    config = _CONFIGS[shape].from_dict(fields)
    config._name_or_path = pretrained
    config._commit_hash = raw.get("_commit_hash")
    return family, config


def load_tokenizer(family: Family, pretrained: str, config: Any, **kwargs: Any) -> Any:
    """Load the tokenizer of a model of `family` without the code of its repository."""
    if family.tokenizer:
        return tokenizer_from(pretrained, getattr(transformers, family.tokenizer), **kwargs)
    return tokenizer_from(pretrained, config=config, **kwargs)


def add_turn_ends(family: Family, model: Any, tokenizer: Any) -> None:
    """Let the family's turn ends end a text too: base and chat checkpoints share a config (in place)."""
    vocabulary = tokenizer.get_vocab()
    known = model.generation_config.eos_token_id
    ids = [known] if isinstance(known, int) else list(known or [])
    ids += [vocabulary[token] for token in family.turn_ends if token in vocabulary]
    model.generation_config.eos_token_id = sorted(set(ids)) or None


def mask_id(model: Any, tokenizer: Any, given: int | None = None, family: Family | None = None) -> int:
    """Return the id of the mask token: `given`, else the tokenizer's, the config's, or the family's.

    Raises:
        UserError: nobody names one, or it lies outside the model's vocabulary.
    """
    vocabulary = tokenizer.get_vocab()
    candidates = [
        given,
        getattr(tokenizer, "mask_token_id", None),
        next((vocabulary[token] for token in MASK_TOKENS if token in vocabulary), None),
        getattr(model.config, "mask_token_id", None),
        family.mask_id if family else None,
    ]
    found = next((candidate for candidate in candidates if candidate is not None), None)
    if found is None:
        raise UserError(
            f"no mask token: neither the tokenizer ({', '.join(MASK_TOKENS)}) nor mask_token_id in config.json names "
            "one. This is no diffusion model, or set mask_id=N among the model arguments"
        )
    size = model.get_input_embeddings().num_embeddings
    if not 0 <= found < size:
        raise UserError(f"mask_id={found} lies outside the model's vocabulary of {size}: set another mask_id=N")
    return int(found)


def fills_masks(pretrained: str, revision: str | None = None) -> str | None:
    """Return what says that a model was trained to fill masks, not to read from left to right; None: nothing does.

    It is the method that its configuration names, or the name of its family.
    """
    raw, _ = transformers.PreTrainedConfig.get_config_dict(pretrained, revision=revision or "main")
    trained = raw.get("lmx_decoding")
    if trained not in (None, "ar"):
        return str(trained)
    family = family_of(raw)
    return family.name if family else None


def doubt(config: Any, name: str, method: str, known: bool) -> str | None:
    """Say what speaks against the model `name` having been trained for a method; None: nothing.

    Args:
        config: the model's.
        name: of the model, as the user gave it.
        method: name of a ``--model``.
        known: the model is of a family that is, or the user named its mask token.
    """
    trained = getattr(config, "lmx_decoding", None)  # in the config of the shipped tiny models
    if trained is not None:
        return None if trained == method else f"{name} was trained for --model {trained}"
    if known or getattr(config, "mask_token_id", None) is not None:
        return None
    return (
        f"nothing in the configuration of {name} says that it was trained to fill masks: an autoregressive model "
        f"writes nonsense under --model {method}"
    )


def _weight_names(pretrained: str, where: Mapping[str, Any]) -> list[str]:
    """Return the names of all parameters in the safetensors of a folder or Hub id."""
    quiet = {**where, "_raise_exceptions_for_missing_entries": False}
    if index := cached_file(pretrained, "model.safetensors.index.json", **quiet):
        return sorted(json.loads(Path(index).read_text(encoding="utf-8"))["weight_map"])
    if (file := cached_file(pretrained, "model.safetensors", **quiet)) is None:
        raise UserError(f"{pretrained} has no safetensors: convert its weights to safetensors")
    with safe_open(file, framework="pt") as weights:
        return sorted(weights.keys())


def trained_block(config: Any) -> dict[str, Any]:
    """Return the block that a model was trained to fill, as a setting, if its config names one."""
    length = getattr(config, "block_length", None)
    return {"block_length": length} if length else {}


def trained_window(config: Any) -> dict[str, Any]:
    """Return the same as the window of `wedlm`: in training no mask stood further behind the text."""
    block = trained_block(config)
    return {"window": block["block_length"]} if block else {}


def block_defaults(config: Any, family: Family | None) -> dict[str, Any]:
    """Return the settings of block diffusion that a model was trained with, as far as its files tell."""
    return ({"prefill": family.prefill} if family else {}) | trained_block(config)


@contextlib.contextmanager
def fitting(name: str, family: Family) -> Iterator[None]:
    """Turn the error of transformers about sizes of weights into one line."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            f"{name}: its weights do not fit its config.json, read as {family.name} ({str(error).splitlines()[0]})"
        ) from error


def check_loaded(name: str, family: Family, report: Mapping[str, Any]) -> None:
    """Refuse weights that left parameters of the model random, or were left out (`report`: its loading info)."""
    unknown = {key for key in report["unexpected_keys"] if not key.endswith("rotary_emb.inv_freq")}
    for what, keys in (("lack", set(report["missing_keys"])), ("have unknown", unknown)):
        if keys:
            raise UserError(
                f"{name}: its weights {what} {len(keys)} parameters, first {min(keys)!r}, so they are not "
                f"{family.name} as lmx knows it"
            )
