"""Runs one decoder over functions instead of models: how a decoder is tested without weights, in milliseconds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence

import torch

from lmx_models.core.base import Decoding, Feed, Generation

# From all ids seen so far, the one just fed included, to the logits of the next, of shape [vocabulary].
LogitsOf = Callable[[Sequence[int]], torch.Tensor]


def drive(decoding: Decoding, models: Mapping[str, LogitsOf]) -> tuple[Generation, dict[str, int]]:
    """Run one decoder to its end; return its generation, and how many tokens it fed to each model.

    This is what a cache must amount to: each model's history is cut at `Feed.at`, extended, and cut again to
    `Feed.keep`. Attention is causal: a `Feed` with ``full`` needs a real model.

    Args:
        models: by the names in the decoder's feeds.

    Raises:
        AssertionError: the decoder asks for what no engine could do (a model that is not there, a slot that was never
            filled, more logits than tokens), or returns a generation whose segments leave gaps.
    """
    history: dict[str, list[int]] = {name: [] for name in models}
    fed = dict.fromkeys(models, 0)
    feed = next(decoding)
    while True:
        assert isinstance(feed, Feed), f"a {type(feed).__name__} needs a server"
        assert feed.model in models, f"there is no model {feed.model!r}: {', '.join(models)}"
        assert 0 < feed.logits <= len(feed.tokens), f"{feed.logits} logits of {len(feed.tokens)} tokens"
        assert not feed.full, "tokens that see later ones need a real model"
        past = history[feed.model]
        at = len(past) if feed.at is None else feed.at
        assert at <= len(past), "a decoder went on from tokens that it never fed"
        del past[at:]
        rows = []
        for token in feed.tokens:
            past.append(token)
            rows.append(models[feed.model](past))
        fed[feed.model] += len(feed.tokens)
        if feed.keep is not None:
            del past[at + feed.keep :]
        try:
            feed = decoding.send(torch.stack(rows[len(rows) - feed.logits :]))
        except StopIteration as end:
            generation: Generation = end.value
            _check_segments(generation)
            return generation, fed


def _check_segments(generation: Generation) -> None:
    ends = [0, *(segment.end for segment in generation.segments)]
    starts = [*(segment.start for segment in generation.segments), len(generation.tokens)]
    assert ends == starts, f"segments that begin at {starts[:-1]} and end at {ends[1:]} leave gaps in the answer"


def made_up(salt: str, vocabulary: int = 50, end: int = 0, end_bias: float = -2.0) -> LogitsOf:
    """Return a "model" whose logits are a fixed pseudo-random function of everything it has seen.

    Args:
        salt: another salt is another model.
        end: the id that ends a text; `end_bias` is added to its logit, so that texts are not all short.
    """

    def logits(history: Sequence[int]) -> torch.Tensor:
        digest = hashlib.sha256((salt + repr(list(history))).encode()).digest()
        generator = torch.Generator().manual_seed(int.from_bytes(digest[:7], "big"))
        out = torch.randn(vocabulary, generator=generator) * 2
        out[end] += end_bias
        return out

    return logits
