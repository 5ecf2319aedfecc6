"""What `policy=ramp` spends: the oracle's share of long texts, and where it is asked last, beside the published loop.

The real decoder on a model that never ends a text; the published loop is re-expressed in `published`, with its count of
k - 1 for a consultation of k tokens, or without. Only policies and budgets matter here, so the model says nothing.

    python benchmarks/decoding/ramp_shares.py [--texts 400]
"""

from __future__ import annotations

import argparse
import itertools
import math
import random
import statistics
from typing import NamedTuple

import torch

from lmx_models.core.sampling import Sampling, stream
from lmx_models.core.stopping import Stopping
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.policies import POLICIES, PolicyConfig

LENGTH, K, STEP = 512, 10, 10
LOGITS = torch.tensor([[0.0, 1.0]])


class Text(NamedTuple):
    """Where the oracle was asked, as the loop counts, and how many tokens it wrote; tokens of the whole text."""

    asked: list[tuple[int, int]]
    tokens: int


def decoded(policy: str, c: float, seed: int) -> Text:
    """Return one text of the decoder."""
    stop = Stopping(LENGTH, frozenset(), (), lambda tokens: "")
    made = POLICIES[policy](PolicyConfig(policy, step_size=STEP))
    text = guided([1], GuidedConfig(c=c, k=K), made, Sampling(), stop, stream(seed), stream(seed, "policy"))
    next(text)
    try:
        while True:
            text.send(LOGITS)
    except StopIteration as end:
        return Text([(one["at"], one["tokens"]) for one in end.value.extra["consultations"]], len(end.value.tokens))


def published(c: float, seed: int, short: int) -> Text:
    """Return one text of the published loop, which counts a consultation as `short` tokens fewer than it wrote."""
    rng, i, tokens, asked = random.Random(seed), 0, 0, []
    while i < LENGTH:
        if len(asked) < c and rng.random() < 0.3 + 0.7 * i / LENGTH:
            asked.append((i, K))
            i, tokens = i + K - short, tokens + K
        else:
            i, tokens = i + STEP, tokens + STEP
    return Text(asked, tokens)


def row(name: str, texts: dict[float, list[Text]], short: int = 0) -> str:
    """Return one line of the table."""
    share = statistics.fmean(sum(n for _, n in text.asked) / text.tokens for text in texts[math.inf])
    lasts = [text.asked[-1][0] for text in texts[20]]
    follow = [b[0] - a[0] == a[1] - short for text in texts[20] for a, b in itertools.pairwise(text.asked)]
    number = sum(len(text.asked) for text in texts[20])
    error = statistics.stdev(lasts) / len(lasts) ** 0.5
    return f"{name:36}{share:16.3f}{statistics.fmean(lasts):16.0f} ± {error:.0f}{sum(follow) / number:18.2f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", type=int, default=400)
    seeds = range(parser.parse_args().texts)
    torch.set_num_threads(1)
    heading = f"{LENGTH} tokens, k={K}, {len(seeds)} texts"
    print(f"{heading:36}{'share, c=inf':>16}{'last asked, c=20':>20}{'follow another':>18}")
    budgets = (math.inf, 20)
    for policy in ("ramp", "ramp_spaced"):
        print(row(policy, {c: [decoded(policy, c, seed) for seed in seeds] for c in budgets}))
    for short, name in ((0, "published loop, all tokens counted"), (1, "published loop as it counts")):
        print(row(name, {c: [published(c, seed, short) for seed in seeds] for c in budgets}, short))


if __name__ == "__main__":
    main()
