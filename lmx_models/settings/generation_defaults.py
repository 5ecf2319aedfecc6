"""How a model's own files want it sampled: its generation_config as transformers' `generate` uses it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lmx_files.errors import UserError
from lmx_files.values import is_none, read_bool

# What `generate` takes where neither the request nor the model says (transformers, `GenerationConfig`,
# `_get_default_generation_params`); the model's end-of-text ids are taken in any case (`loading.end_ids`).
DEFAULTS: dict[str, Any] = {"temperature": 1.0, "top_k": 50, "top_p": 1.0, "min_p": 0.0}
# What `generate` would apply besides, and the value at which it does nothing; None does nothing either.
ALWAYS = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "bad_words_ids": None,
    "min_length": 0,
    "min_new_tokens": 0,
    "num_beams": 1,
    "num_beam_groups": 1,
    "penalty_alpha": 0,
    "dola_layers": None,
    "forced_bos_token_id": None,
    "forced_eos_token_id": None,
    "exponential_decay_length_penalty": None,
    "suppress_tokens": None,
    "begin_suppress_tokens": None,
    "sequence_bias": None,
    "guidance_scale": 1.0,
    "watermarking_config": None,
    "token_healing": False,
    "stop_strings": None,
    "max_time": None,
}
WHEN_SAMPLING = {"top_h": None, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0}


def beyond(config: Any) -> dict[str, Any]:
    """Return what a generation_config asks for that no sampler of lmx does, by name; empty for most models."""
    found = {}
    for name, neutral in {**ALWAYS, **WHEN_SAMPLING}.items():
        value = getattr(config, name, None)
        if value is not None and value != neutral and value not in ([], {}):
            found[name] = value
    return found


def with_model_defaults(values: Mapping[str, Any], config: Any, model: str) -> dict[str, Any]:
    """Return settings in which ``sampling=model`` has filled what is left open, as `generate` does.

    A request that neither samples nor says a temperature stays greedy, whatever the model's files say: so does lm_eval.

    Args:
        values: settings by name. Those of other samplings come back as they are.
        config: the model's generation_config; None: it has none.
        model: its name, for errors.

    Raises:
        UserError: the generation_config asks for what lmx cannot do.
    """
    given = dict(values)
    if str(given.get("sampling")) != "model":
        return given
    if found := beyond(config):
        asked = ", ".join(f"{name}={value}" for name, value in found.items())
        raise UserError(
            f"sampling=model: the generation_config of {model} asks for {asked}, which lmx does not do: leave it out "
            "with sampling=plain, or use --model hf"
        )
    for name, default in DEFAULTS.items():
        own = getattr(config, name, None)
        value = default if own is None else own
        if name == "temperature":
            sampled = given.get("do_sample")
            if given.get(name) is None and not is_none(sampled) and read_bool("do_sample", sampled):
                given[name] = value
        elif given.get(name) is None:
            given[name] = value
    return given


def unheeded(config: Any, model: str) -> str | None:
    """Say what ``sampling=plain`` leaves out of a generation_config although `generate` applies it to greedy text too.

    None: nothing.
    """
    found = {name: value for name, value in beyond(config).items() if name in ALWAYS}
    if not found:
        return None
    asked = ", ".join(f"{name}={value}" for name, value in found.items())
    return f"the generation_config of {model} asks for {asked}: --model hf applies it, greedy or not, and lmx does not"
