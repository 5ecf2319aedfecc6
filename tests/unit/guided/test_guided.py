"""Guided decoding on mock models: identities, budgets, accounting, and what each model has been fed."""

import dataclasses
import itertools
from types import SimpleNamespace

import pytest

from lmx_files.errors import UserError
from lmx_models.core.driver import drive, made_up
from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import Translation, guided
from lmx_models.decoding.guided.policies import POLICIES, Point, PolicyConfig
from tests.unit.decoding.decoding_tools import EOS, stopping, text_of

INF = float("inf")
PROMPT = [3, 1, 4]
MODELS = {"base": made_up("base"), "oracle": made_up("oracle")}


DEFAULT, RAMP = GuidedConfig(), PolicyConfig()


def run(config=DEFAULT, policy=RAMP, temperature=0.0, seed=0, models=MODELS, stop=None, **kwargs):
    decoding = guided(
        PROMPT,
        config,
        POLICIES[policy.policy](policy) if isinstance(policy, PolicyConfig) else policy,
        Sampling(temperature),
        stop or stopping(),
        stream(seed, "sample"),
        stream(seed, "policy"),
        **kwargs,
    )
    return drive(decoding, models)


def plain(model: str, temperature=0.0, seed=0):
    decoding = autoregressive(PROMPT, model, Sampling(temperature), stopping(), stream(seed, "sample"))
    return drive(decoding, MODELS)[0]


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(5))
def test_without_budget_it_is_the_base(temperature, seed):
    for config in (GuidedConfig(c=0), GuidedConfig(k=0), GuidedConfig(max_oracle_tokens=0)):
        generation, fed = run(config, temperature=temperature, seed=seed)
        assert generation.tokens == plain("base", temperature, seed).tokens
        assert fed["oracle"] == 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("policy", POLICIES)
def test_without_limit_it_is_the_oracle(policy, temperature):
    config = GuidedConfig(c=INF, k=INF, oracle_temperature=temperature)
    generation, fed = run(config, PolicyConfig(policy, threshold=1.0), temperature=0.7)
    assert generation.tokens == plain("oracle", temperature).tokens
    assert fed["base"] == 0


@pytest.mark.parametrize("policy", [p for p in POLICIES if p not in ("never",)])
@pytest.mark.parametrize("seed", range(3))
def test_every_token_is_what_its_source_says_given_the_whole_text(policy, seed):
    """The cache path (only unseen tokens are fed) equals a full recompute at every token."""
    threshold = {"margin": 0.2, "top_p": 0.5}.get(policy, 1.5)
    config = GuidedConfig(c=5, k=4)
    generation, fed = run(config, PolicyConfig(policy, threshold=threshold, prob=0.3, every=3), seed=seed)
    assert [s.start for s in generation.segments] == [0, *(s.end for s in generation.segments[:-1])]
    assert generation.segments[-1].end == len(generation.tokens)
    for segment in generation.segments:
        for i in range(segment.start, segment.end):
            expected = int(MODELS[segment.source]([*PROMPT, *generation.tokens[:i]]).argmax())
            assert generation.tokens[i] == expected
    # A switch feeds only what the other model has not seen.
    assert max(fed.values()) <= len(PROMPT) + len(generation.tokens)
    if policy not in ("ramp", "ramp_spaced", "random"):  # those may by chance never fire on a short text
        assert any(segment.source == "oracle" for segment in generation.segments)


@pytest.mark.parametrize("c", [1, 2, 3])
def test_budgets(c):
    generation, _ = run(GuidedConfig(c=c, k=4), PolicyConfig("always"), seed=1)
    consultations = generation.extra["consultations"]
    assert len(consultations) == c
    assert [one["tokens"] for one in consultations] == [4] * c
    generation, _ = run(GuidedConfig(c=INF, k=4, max_oracle_tokens=6), PolicyConfig("always"), seed=1)
    assert [one["tokens"] for one in generation.extra["consultations"]] == [4, 2]


def test_end_of_text_from_either_model_ends_the_text_and_nothing_fires_after_it():
    ends = {"base": made_up("base", end_bias=-99), "oracle": made_up("oracle", end_bias=99)}
    generation, _ = run(GuidedConfig(k=4), PolicyConfig("fixed", every=3), models=ends)
    assert generation.finish == "eos"
    assert len(generation.tokens) == 4
    assert generation.tokens[-1] == EOS
    assert generation.segments[-1].source == "oracle"
    ends = {"base": made_up("base", end_bias=99), "oracle": made_up("oracle", end_bias=-99)}
    generation, fed = run(GuidedConfig(k=4), PolicyConfig("fixed", every=3), models=ends)
    assert (generation.tokens, generation.finish, fed["oracle"]) == ([EOS], "eos", 0)


def test_the_limit_cuts_the_oracle_too():
    endless = {name: made_up(name, end_bias=-99) for name in MODELS}
    generation, _ = run(GuidedConfig(c=INF, k=INF), PolicyConfig("always"), models=endless)
    assert (len(generation.tokens), generation.finish) == (40, "length")
    generation, _ = run(GuidedConfig(k=30), PolicyConfig("fixed", every=20), models=endless)
    assert (len(generation.tokens), generation.finish) == (40, "length")


ENDLESS = {name: made_up(name, end_bias=-99) for name in MODELS}


@pytest.mark.parametrize("policy", ["ramp", "ramp_spaced"])
def test_between_draws_the_base_writes_a_step(policy):
    config = PolicyConfig(policy, step_size=5)
    generation, _ = run(GuidedConfig(c=99, k=3), config, seed=3, stop=stopping(200), models=ENDLESS)
    whole = [one for one in generation.segments if one.end < 200]
    assert {(one.end - one.start) % (5 if one.source == "base" else 3) for one in whole} == {0}
    follow = [a.source == b.source == "oracle" for a, b in itertools.pairwise(whole)]
    assert any(follow) == (policy == "ramp")
    asked = [one["at"] for one in generation.extra["consultations"]]
    assert asked == [one.start for one in generation.segments if one.source == "oracle"]  # a segment for each


def asks_again(policy: str, **settings) -> bool:
    """Tell whether consultations of a text follow each other without a base token between them."""
    config = PolicyConfig(policy, threshold={"margin": 1.0, "top_p": 1.0}.get(policy, 0.01), **settings)
    generation, _ = run(GuidedConfig(c=99, k=3), config, stop=stopping(120), models=ENDLESS)
    asked = [one["at"] for one in generation.extra["consultations"]]
    assert len(asked) > 1
    return any(b - a == 3 for a, b in itertools.pairwise(asked))


def test_which_policies_consult_again_at_once():
    again = ["ramp", "entropy", "varentropy", "margin", "top_p", "quantile", "always"]
    assert [policy for policy in POLICIES if policy not in ("never", "step_boundary") and asks_again(policy)] == again
    assert not any(asks_again(policy, every=1, prob=1.0) for policy in ("fixed", "random"))


def test_after_an_oracle_that_writes_nothing_the_base_writes_a_step():
    policy = POLICIES["ramp"](PolicyConfig("ramp", step_size=4))
    rng = SimpleNamespace(random=lambda: 0.0)  # every draw fires
    points = [Point(i, 100, "", None, False, rng) for i in range(9)]
    assert [policy(point) for point in points] == [True, False, False, False, True, False, False, False, True]


def test_ramp_draws_with_the_published_probability():
    """u < 0.3 + 0.7 i / max: over many texts, how often the first draw fires, and how often one past half way."""
    texts = [run(GuidedConfig(c=1), seed=s, models=ENDLESS)[0].extra["consultations"] for s in range(300)]
    asked = [one[0]["at"] if one else None for one in texts]
    assert abs(asked.count(0) / 300 - 0.3) < 0.08  # three standard errors
    # c=1 and step 10: fires at 20 if neither 0 nor 10 did: .7 * (1 - .475) * .65
    assert abs(asked.count(20) / 300 - 0.7 * 0.525 * 0.65) < 0.08


def test_handback_at_a_new_line_and_when_confident():
    line = ord("Z") - ord("A")
    stop = stopping()
    object.__setattr__(stop, "decode", lambda tokens: text_of(tokens).replace("Z", "\n"))
    endless = {name: made_up(name, end_bias=-99) for name in MODELS}
    generation, _ = run(GuidedConfig(c=1, k=INF, handback="newline"), PolicyConfig("always"), models=endless, stop=stop)
    segment = generation.segments[0]
    written = generation.tokens[segment.start : segment.end]
    assert line not in written[:-1]
    assert written[-1] == line or segment.end == 40
    always_sure = GuidedConfig(c=1, k=9, handback="confident", oracle_confidence=0.0)
    assert run(always_sure, PolicyConfig("always"))[0].segments[0].end == 1
    never_sure = GuidedConfig(c=1, k=9, handback="confident", oracle_confidence=1.0)
    assert run(never_sure, PolicyConfig("always"), models=endless)[0].segments[0].end == 9


def test_discard_throws_away_base_tokens_only_and_counts_them():
    endless = {name: made_up(name, end_bias=-99) for name in MODELS}
    config = GuidedConfig(c=3, k=4, discard=2)
    generation, _ = run(config, PolicyConfig("fixed", every=5), models=endless)
    assert generation.dropped == 6
    assert [(s.source, s.end - s.start) for s in generation.segments[:4]] == [
        ("base", 3),
        ("oracle", 4),
        ("base", 3),
        ("oracle", 4),
    ]
    assert [one["asked_at"] - one["at"] for one in generation.extra["consultations"]] == [2, 2, 2]
    for segment in generation.segments:
        for i in range(segment.start, segment.end):
            assert generation.tokens[i] == int(endless[segment.source]([*PROMPT, *generation.tokens[:i]]).argmax())
    # More than there is: never past the oracle's own tokens.
    generation, _ = run(GuidedConfig(c=3, k=4, discard=50), PolicyConfig("fixed", every=5), models=endless)
    assert generation.dropped == 15


def test_record_logs_the_signal_at_every_base_token():
    generation, _ = run(GuidedConfig(c=2, k=3, record="entropy"), PolicyConfig("fixed", every=4))
    base = [i for s in generation.segments if s.source == "base" for i in range(s.start, s.end)]
    assert [position for position, _ in generation.extra["signal"]["values"]] == base


def test_another_tokenizer_hands_over_whole_characters():
    """The oracle speaks bytes with its own ids; its 'é' is two tokens, and k=3 cuts it in half."""
    script = "caf\u00e9 ol\u00e9!".encode()
    offset = 2

    def oracle(history):
        import torch

        written = bytes(token - offset for token in history[1:])
        out = torch.zeros(300)
        rest = script[len(written) :] if script.startswith(written) else b""
        out[rest[0] + offset if rest else 1] = 5.0
        return out

    translation = Translation(
        prompt=(0,),
        encode=lambda text: [byte + offset for byte in text.encode()],
        decode=lambda tokens: bytes(token - offset for token in tokens if token >= offset).decode("utf-8", "replace"),
        eos=frozenset({1}),
        to_base=lambda text: [ord(character) for character in text],
        base_eos=EOS,
        max_length=200,
    )
    stop = stopping()
    object.__setattr__(stop, "decode", lambda tokens: "".join(chr(token) for token in tokens if token != EOS))
    generation, _ = run(
        GuidedConfig(c=INF, k=4),
        PolicyConfig("always"),
        models={**MODELS, "oracle": oracle},
        stop=stop,
        translation=translation,
    )
    # Four bytes are 'caf' and half an 'é': only whole characters are handed over, and the next call begins there.
    assert stop.text(generation.tokens) == "caf\u00e9 ol\u00e9!"
    assert [one["tokens"] for one in generation.extra["consultations"]][:2] == [3, 3]
    assert generation.finish == "eos"
    # Four tokens a consultation count as four against the oracle's budget, though they are three of the base's.
    generation, _ = run(
        GuidedConfig(c=INF, k=4, max_oracle_tokens=6),
        PolicyConfig("always"),
        models={"base": made_up("base", end_bias=-99), "oracle": oracle},
        stop=stop,
        translation=translation,
    )
    assert [one["oracle_tokens"] for one in generation.extra["consultations"]] == [4, 2]
    assert [one["tokens"] for one in generation.extra["consultations"]] == [3, 1]
    # An oracle whose context is full is not asked; the base goes on alone.
    full = dataclasses.replace(translation, max_length=1)
    generation, fed = run(GuidedConfig(c=3, k=4), PolicyConfig("always"), models=MODELS, stop=stop, translation=full)
    assert fed["oracle"] == 0
    assert {segment.source for segment in generation.segments} == {"base"}


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"c": -1}, "c=-1"),
        ({"k": -3}, "k=-3"),
        ({"k": 1.5}, "k=1.5"),
        ({"c": float("nan")}, "c=nan"),
        ({"handback": "newlin"}, "did you mean 'newline'"),
        ({"record": "entropie"}, "did you mean 'entropy'"),
        ({"discard": INF}, "discard=inf"),
    ],
)
def test_bad_settings(bad, message):
    with pytest.raises(UserError, match=message):
        GuidedConfig(**bad)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"policy": "entropi"}, "did you mean 'entropy'"),
        ({"policy": "entropy"}, "threshold="),
        ({"policy": "quantile"}, "calibration="),
        ({"every": 0}, "every=0"),
        ({"prob": 2}, "prob=2"),
        ({"share": 1.0}, "share=1.0"),
    ],
)
def test_bad_policies(bad, message):
    with pytest.raises(UserError, match=message):
        PolicyConfig(**bad)
