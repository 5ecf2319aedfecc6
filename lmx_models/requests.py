"""One request of lm_eval, made ready for a decoder."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping, Sequence
from typing import Any

from lm_eval.api.instance import Instance

from lmx_models.arguments import build
from lmx_models.decoding.stopping import Stopping
from lmx_models.engine.sampling import Sampling, stream

# Settings of every method that are not the sampler's; `max_gen_toks` and `until` are lm_eval's own names.
COMMON_GEN_KWARGS = (
    "do_sample",
    "until",
    "max_gen_toks",
    "max_new_tokens",
    "max_tokens",
    "max_completion_tokens",
)
# transformers options that tasks set to the value that means nothing; any other value is refused.
NEUTRAL = {"num_beams": 1, "repetition_penalty": 1.0, "no_repeat_ngram_size": 0, "use_cache": True}


@dataclasses.dataclass(frozen=True)
class Request:
    """One text to write, ready for a decoder. `values`: run-level settings overlaid with the request's own."""

    context: str
    prompt: list[int]
    sampling: Sampling
    stopping: Stopping
    values: Mapping[str, Any]
    seeds: tuple[object, ...]

    def rng(self, purpose: str) -> random.Random:
        """Return this text's own stream of random numbers for one purpose."""
        return stream(*self.seeds, purpose)


def sampling_of(values: Mapping[str, Any]) -> Sampling:
    """Return the sampler's settings; as in lm_eval ``do_sample: false`` means greedy, whatever the temperature."""
    values = dict(values)
    if str(values.get("do_sample")).lower() == "false":
        values["temperature"] = 0.0
    elif str(values.get("do_sample")).lower() == "true":
        values.setdefault("temperature", 1.0)
    sampling: Sampling = build(Sampling, values)
    return sampling


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
