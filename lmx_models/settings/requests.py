"""One request of lm_eval, made ready for a decoder."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.models.utils import normalize_gen_kwargs

from lmx_files.errors import UserError
from lmx_files.values import is_none, read_bool, read_float, read_int, read_texts
from lmx_models.core.base import Generation
from lmx_models.core.sampling import Sampling, stream
from lmx_models.core.stopping import Reasoning, Stopping
from lmx_models.settings.arguments import build

LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
# Settings of every method that are not the sampler's; `max_gen_toks` and `until` are lm_eval's own names.
COMMON_GEN_KWARGS = ("do_sample", "until", *LIMITS)
# transformers options that tasks set to the value that means nothing; any other value is refused.
NEUTRAL = {"num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "use_cache": True}


@dataclasses.dataclass(frozen=True)
class Request:
    """One text to write, ready for a decoder. `values`: run-level settings overlaid with the request's own.

    `seeds` are what its random numbers are made from: seed, task, document, request of the document, repeat. The
    document is the one in the task's data set, so that no other document that is asked for changes the text.
    """

    context: str
    prompt: list[int]
    sampling: Sampling
    stopping: Stopping
    values: Mapping[str, Any]
    seeds: tuple[object, ...]

    def rng(self, purpose: str) -> random.Random:
        """Return this text's own stream of random numbers for one purpose."""
        return stream(*self.seeds, purpose)


def without_neutral(gen_kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return generation arguments without those of transformers that mean nothing."""
    return {k: v for k, v in gen_kwargs.items() if k not in NEUTRAL or isinstance(v, str) or v != NEUTRAL[k]}


def read_generation(gen_kwargs: Mapping[str, Any], default_limit: int) -> tuple[dict[str, Any], int, list[str]]:
    """Read generation arguments strictly, then let lm_eval merge them as it does for ``hf``.

    Args:
        default_limit: most tokens of a text whose arguments say nothing.

    Returns:
        Settings of sampler and method, most tokens, and stop strings.

    Raises:
        UserError: a value is of the wrong type; the message names it.
    """
    given = {name: value for name, value in gen_kwargs.items() if name not in ("until", "do_sample")}
    for name in LIMITS:
        if given.get(name) is not None:
            given[name] = read_int(name, given[name], least=1)
    if "temperature" in given:
        if is_none(given["temperature"]):
            raise UserError("temperature=None: a number is needed")
        given["temperature"] = read_float("temperature", given["temperature"])
        Sampling(given["temperature"])  # lm_eval makes negative ones greedy
    until = [string for string in read_texts("until", gen_kwargs.get("until")) if string]
    sampled = gen_kwargs.get("do_sample")
    if not is_none(sampled):
        given["do_sample"] = read_bool("do_sample", sampled)
    settings = dict(normalize_gen_kwargs(given, default_limit))
    limit = int(settings.pop("max_gen_toks"))
    del settings["until"]
    if "do_sample" not in given and "temperature" not in given:
        settings.pop("do_sample", None)  # lm_eval's guess; then the run-level setting holds
    return settings, limit, until


def sampling_of(values: Mapping[str, Any]) -> Sampling:
    """Return the sampler's settings; as in lm_eval ``do_sample: false`` means greedy, whatever the temperature."""
    values = dict(values)
    sampled = values.get("do_sample")
    if not is_none(sampled):
        if read_bool("do_sample", sampled):
            values.setdefault("temperature", 1.0)
        else:
            values["temperature"] = 0.0
    sampling: Sampling = build(Sampling, values)
    return sampling


def reasoning_of(end: str | int | None, tokenizer: Any, prompt: str) -> Reasoning | None:
    """Return what is known of the reasoning that a model writes behind `prompt`.

    Args:
        end: lm_eval's ``think_end_token``. One that holds special tokens (``<|channel|>final<|message|>``) is looked
            for by its ids, for they are not in the text.
    """
    if end is None or end == "":
        return None
    shown = tokenizer.decode([end]) if isinstance(end, int) else end
    begin = f"<{shown[2:]}" if shown.startswith("</") else ""
    tail = prompt.rstrip()
    opened = False if shown and tail.endswith(shown) else True if begin and tail.endswith(begin) else None
    if isinstance(end, str) and any(special in end for special in _special_tokens(tokenizer)):
        ids = tuple(int(one) for one in tokenizer.encode(end, add_special_tokens=False))
        return Reasoning(ids[0] if len(ids) == 1 else ids, begin, opened)
    return Reasoning(end, begin, opened)


def _special_tokens(tokenizer: Any) -> set[str]:
    """Return the tokens that a decoded text leaves out."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    named = getattr(tokenizer, "all_special_tokens", ())
    return {token for token in (*named, *(str(one) for one in added if one.special)) if token}


def answer_of(stopping: Stopping, generation: Generation) -> str:
    """Return the answer that a decoder wrote, and note in the trace's `extra` whether a reasoning before it ended."""
    if stopping.reasoning is not None:
        generation.extra["reasoning_finished"] = not stopping.unfinished(generation.tokens, generation.finish)
    return stopping.answer(generation.tokens, generation.finish)


def without_padding(requests: Sequence[Instance]) -> list[int]:
    """Return, for each request, the index of the request whose text it takes; its own, unless it is padding.

    lm_eval repeats the last request of a rank that has fewer than the others. Such a request is nobody's sample: it is
    not written again, but takes the text of the round that it repeats, so that no metric over its samples changes.
    """
    seen: dict[int, list[int]] = {}
    writers = []
    for i, instance in enumerate(requests):
        rounds = seen.setdefault(id(instance), [])
        padding = isinstance(instance.repeats, int) and len(rounds) >= instance.repeats > 0
        writers.append(rounds[len(rounds) % instance.repeats] if padding else i)
        rounds.append(i)
    return writers
