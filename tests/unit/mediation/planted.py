"""Small transformers, built by hand, in which the count is carried at known layers and positions.

They are GPT-2 models of transformers whose weights are set, not trained, with ReLU and without normalisation. The text
is a list of words, each in the category or not. Layer `early`: a relay position reads the words before it and keeps
their count in a register. Layer `late`: the last position reads the register, and the words after the relay. All other
heads and MLPs read at random and write where nobody looks. What must be found is then known exactly.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lmx_probes.mediation.answers import Answers
from lmx_probes.mediation.roles import places_of
from lmx_probes.mediation.trials import Trial

WORDS = 6
MEMBERS, OTHERS = 8, 8
"""Words of the category and words outside it."""
SHARP = 60.0
"""Score of what a head attends to; of all else 0."""
SCALE = 4.0
"""Logit of a number k at count c: SCALE (2 k c - k^2), so that the answer's logit moves in proportion to the count."""
NUMBERS = WORDS + 2
FIRST_WORD = NUMBERS + 4
HOW = ("relay", "interaction", "copies")


@dataclass(frozen=True)
class Planted:
    """Where the count is.

    Attributes:
        how: ``relay``: one position carries it. ``interaction``: two do, and the smaller counts, so that neither alone
            changes the answer. ``copies``: two do, and the larger counts, so that either alone changes all of it.
        index: the word that differs. relays: token positions. early, late: layers. heads: of these two layers.
    """

    how: str
    layers: int
    index: int
    relays: tuple[int, ...]
    early: int
    late: int
    heads: tuple[int, int]
    seed: int


def length() -> int:
    """Return the number of tokens: question, words and separators, end of the list, two more, and the last."""
    return 1 + 2 * WORDS - 1 + 4


def item(k: int) -> int:
    """Return the position of word k; separators are between."""
    return 1 + 2 * k


def draw(seed: int, how: str = "relay") -> Planted:
    """Draw a placement."""
    rng = random.Random(seed)
    layers = rng.randint(4, 6)
    early = rng.randint(1, layers - 2 - (how != "relay"))
    late = rng.randint(early + 1, layers - 1 - (how != "relay"))
    index = rng.randrange(WORDS - 2)
    behind = range(item(index) + 1, length() - 1)
    relays = tuple(sorted(rng.sample(behind, 1 if how == "relay" else 2)))
    heads = tuple(rng.randrange(3) for _ in range(2))
    return Planted(how, layers, index, relays, early, late, (heads[0], heads[1]), seed)


def model_of(plan: Planted) -> Any:
    """Return the model, a `GPT2LMHeadModel` in fp32."""
    import transformers

    tokens, dim = length(), length() + 6
    width = 3 * dim
    config = transformers.GPT2Config(
        vocab_size=FIRST_WORD + MEMBERS + OTHERS, n_embd=width, n_layer=plan.layers, n_head=3, n_positions=tokens,
        n_inner=width, activation_function="relu", tie_word_embeddings=False, scale_attn_weights=False,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()
    generator = torch.Generator().manual_seed(plan.seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        transformer = model.transformer
        member, one, junk = tokens, tokens + 1, slice(tokens + 12, width)
        transformer.wpe.weight[:, :tokens] = torch.eye(tokens)
        transformer.wpe.weight[:, one] = 1.0
        transformer.wte.weight[FIRST_WORD : FIRST_WORD + MEMBERS, member] = 1.0
        transformer.wte.weight[:, junk] = torch.randn(transformer.wte.weight[:, junk].shape, generator=generator)
        transformer.ln_f = torch.nn.Identity()
        for block in transformer.h:
            block.ln_1 = block.ln_2 = torch.nn.Identity()
            _noise(block, junk, generator, dim)
        _wire(plan, model, dim, member)
        output = tokens + 2
        k = torch.arange(NUMBERS, dtype=torch.float32)
        registers = [output] if plan.how == "relay" else [output, output + 2]
        for register in registers:
            model.lm_head.weight[:NUMBERS, register] = 2 * SCALE * k
        model.lm_head.weight[:NUMBERS, one] = -SCALE * k**2
    return model


def _noise(block: Any, junk: slice, generator: torch.Generator, dim: int) -> None:
    """Let a layer move junk about, in all heads and the MLP, without touching what is read."""
    size = junk.stop - junk.start
    values = block.attn.c_attn.weight[:, 2 * 3 * dim :]
    values[junk] = torch.randn(size, 3 * dim, generator=generator) / size**0.5
    mix = torch.randn(3 * dim, size, generator=generator) / (3 * dim) ** 0.5
    block.attn.c_proj.weight[:, junk] = mix
    block.mlp.c_fc.weight[junk] = torch.randn(size, 3 * dim, generator=generator) / size**0.5
    block.mlp.c_proj.weight[:, junk] = torch.randn(3 * dim, size, generator=generator) / (3 * dim) ** 0.5


def _wire(plan: Planted, model: Any, dim: int, member: int) -> None:
    """Set the two layers that count, and the MLP that compares two registers."""
    tokens = length()
    cue, output, first = tokens - 1, tokens + 2, tokens + 5
    words = [item(k) for k in range(WORDS)]
    for number, relay in enumerate(plan.relays):
        register = first + number
        before, after = [p for p in words if p < relay], [p for p in words if p >= relay]
        _head(model, plan.early, (plan.heads[0] + number) % 3, dim, {relay: before}, {member: register}, len(before))
        places = [relay, *(p for p in after if p != relay)]
        # a relay that is a word itself is read once, for its register and for itself
        read = {register: output + number}
        _head(
            model, plan.late, (plan.heads[1] + number) % 3, dim, {cue: places}, read, len(places),
            member_to=output + number if after else None, member=member,
        )  # fmt: skip
    if len(plan.relays) == 2:
        mlp = model.transformer.h[plan.late + 1].mlp
        # smaller = a - relu(a - b); larger = a + relu(b - a)
        sign = 1.0 if plan.how == "interaction" else -1.0
        mlp.c_fc.weight[:, 0] = 0.0
        mlp.c_fc.weight[output, 0], mlp.c_fc.weight[output + 1, 0] = sign, -sign
        mlp.c_proj.weight[0] = 0.0
        mlp.c_proj.weight[0, output + 2] = -sign


def _head(
    model: Any, layer: int, head: int, dim: int, reads: dict[int, list[int]], moves: dict[int, int], times: int,
    member_to: int | None = None, member: int = 0,
) -> None:  # fmt: skip
    """Let a head read some positions evenly from one position, the first token from all others, and move registers.

    What is moved is multiplied by `times`, so that a mean over positions becomes their sum.
    """
    attention, tokens, width = model.transformer.h[layer].attn, length(), 3 * dim
    begin = head * dim
    scores = torch.zeros(tokens, tokens)
    scores[:, 0] = SHARP
    for query, keys in reads.items():
        scores[query] = 0.0
        scores[query, keys or [0]] = SHARP
    weight = attention.c_attn.weight
    weight[:tokens, begin : begin + tokens] = scores
    weight[:tokens, width + begin : width + begin + tokens] = torch.eye(tokens)
    values = 2 * width + begin
    weight[:, values : values + dim] = 0.0
    attention.c_proj.weight[begin : begin + dim] = 0.0
    for number, (source, target) in enumerate(moves.items()):
        weight[source, values + number] = float(times)
        attention.c_proj.weight[begin + number, target] = 1.0
    if member_to is not None:
        weight[member, values + len(moves)] = float(times)
        attention.c_proj.weight[begin + len(moves), member_to] = 1.0


def trials_of(plan: Planted, count: int) -> list[Trial]:
    """Return pairs of texts that differ in the word at ``plan.index``, and so in the count by one."""
    rng = random.Random(plan.seed + 1)
    found = []
    for number in range(count):
        flags = [rng.random() < 0.5 for _ in range(WORDS)]
        if plan.how != "relay":
            flags[plan.index] = False  # the smaller of two counts only waits for both when they rise
        words = [_word(rng, flag) for flag in flags]
        changed = list(words)
        changed[plan.index] = _word(rng, not flags[plan.index])
        base, source = _text(words), _text(changed)
        offsets = [(i, i + 1) for i in range(len(base))]
        spans = [(item(k), item(k) + 1) for k in range(WORDS)]
        places = tuple(places_of(spans, offsets, plan.index))
        right = sum(flags), sum(flags) + (1 if not flags[plan.index] else -1)
        kind = "remove" if flags[plan.index] else "add"
        found.append(Trial(number, kind, base, source, places, *right, before=-1))
    return found


def answers() -> Answers:
    """Return the number tokens of these models."""
    return Answers(tuple(range(NUMBERS)), space=False)


def truth(plan: Planted) -> set[tuple[str, int, int, int]]:
    """Return component, layer, head (-1 for none) and position of every cell through which the whole effect passes.

    For two relays only the cells that both share: of each relay alone the effect is none or all, see `Planted`.
    """
    cue, word = length() - 1, item(plan.index)
    found = {("residual", layer, -1, word) for layer in range(plan.early)}
    found |= {("residual", layer, -1, cue) for layer in range(plan.late, plan.layers)}
    if len(plan.relays) == 2:
        found.add(("attention", plan.late, -1, cue))
        return found
    relay = plan.relays[0]
    found |= {("residual", layer, -1, relay) for layer in range(plan.early, plan.late)}
    for layer, head, position in ((plan.early, plan.heads[0], relay), (plan.late, plan.heads[1], cue)):
        found |= {("attention", layer, -1, position), ("head", layer, head, position)}
    return found


def _word(rng: random.Random, member: bool) -> int:
    return FIRST_WORD + (rng.randrange(MEMBERS) if member else MEMBERS + rng.randrange(OTHERS))


def _text(words: Sequence[int]) -> tuple[int, ...]:
    question, separator, end, last = range(NUMBERS, NUMBERS + 4)
    text = [question]
    for word in words:
        text += [word, separator]
    return (*text[:-1], end, end, end, last)
