"""Guided decoding with a base or an oracle on a server, on mock models: the same texts as with both at hand."""

import dataclasses
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_models.core.base import Generate, Reply
from lmx_models.core.driver import drive, made_up
from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.guided.bounds import entropy_bounds, least_entropy
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.policies import POLICIES, PolicyConfig
from lmx_models.decoding.guided.remote import Remote
from lmx_models.decoding.guided.signals import SIGNALS, entropy, margin, top_p
from lmx_models.servers.codecs import PieceCodec, TokenizerCodec
from lmx_models.servers.remote_model import logprobs_of
from tests.unit.decoding.decoding_tools import EOS, VOCABULARY, stopping, text_of

PROMPT = [3, 1, 4]
MODELS = {"base": made_up("base"), "oracle": made_up("oracle")}
POLICY = {"margin": 0.2, "top_p": 0.5}


class Servers:
    """Answers `Generate` from functions of the whole history, as a server would; counts what it was asked."""

    def __init__(self, models, most=VOCABULARY, sees_end=True):
        self.models, self.most, self.sees_end, self.requests = models, most, sees_end, []

    def __call__(self, request: Generate) -> Reply:
        self.requests.append(request)
        tokens, top, ended = [], [], False
        rng = torch.Generator().manual_seed(request.seed or 0)
        while len(tokens) < request.n and not ended:
            logits = self.models[request.model]([*request.prompt, *request.tokens, *tokens])
            logp = torch.log_softmax(logits, dim=-1)
            top.append(sorted(logp.tolist(), reverse=True)[: min(request.top, self.most)])
            if request.sampling.temperature:
                token = int(
                    torch.multinomial(torch.softmax(logits / request.sampling.temperature, -1), 1, generator=rng)
                )
            else:
                token = int(logits.argmax())
            ended = token == EOS
            if not ended or self.sees_end:
                tokens.append(token)
        return Reply(tokens, ended, [*top, top[-1]] if request.top else None, 3, len(tokens), 0.5, 2)


def drive_with(decoding, servers, models=MODELS):
    """As `drive`, for decoders that also ask servers."""

    def only_feeds():
        ask = next(decoding)
        while True:
            answer = servers(ask) if isinstance(ask, Generate) else (yield ask)
            try:
                ask = decoding.send(answer)
            except StopIteration as end:
                return end.value

    inner = only_feeds()
    try:
        first = next(inner)
    except StopIteration as end:
        return end.value

    def resumed():
        answer = yield first
        while True:
            try:
                feed = inner.send(answer)
            except StopIteration as end:
                return end.value
            answer = yield feed

    return drive(resumed(), models)[0]


def write(config, policy, remotes=None, servers=None, seed=0, temperature=0.0, stop=None, models=MODELS):
    decoding = guided(
        PROMPT,
        config,
        POLICIES[policy.policy](policy),
        Sampling(temperature),
        stop or stopping(),
        stream(seed, "sample"),
        stream(seed, "policy"),
        **(remotes or {}),
    )
    return drive_with(decoding, servers or Servers(models), models)


def policies():
    for name in POLICIES:
        if name not in ("varentropy", "quantile"):
            yield PolicyConfig(name, threshold=POLICY.get(name, 1.5), prob=0.3, every=3, step_size=4)


REMOTES = {
    "oracle": lambda **k: {"remote_oracle": Remote(EOS)},
    "base": lambda **k: {"remote_base": Remote(EOS, **k)},
    "both": lambda **k: {"remote_oracle": Remote(EOS), "remote_base": Remote(EOS, **k)},
}


@pytest.mark.parametrize("sees_end", [True, False], ids=["end id", "no end id"])
@pytest.mark.parametrize("where", REMOTES)
@pytest.mark.parametrize("policy", list(policies()), ids=lambda policy: policy.policy)
def test_where_the_models_are_changes_no_text(policy, where, sees_end):
    for seed in range(3):
        for config in (
            GuidedConfig(c=5, k=4),
            GuidedConfig(c=3, k=4, discard=2),
            GuidedConfig(c=99, max_oracle_tokens=7),
        ):
            expected = write(config, policy, seed=seed)
            for ahead in (1, 3, 16):
                remotes = REMOTES[where](ahead=ahead, top=VOCABULARY)
                generation = write(config, policy, remotes, Servers(MODELS, sees_end=sees_end), seed)
                assert generation.tokens == expected.tokens
                assert generation.segments == expected.segments
                assert generation.finish == expected.finish
                ours = [(one["at"], one["tokens"]) for one in generation.extra["consultations"]]
                assert ours == [(one["at"], one["tokens"]) for one in expected.extra["consultations"]]


@pytest.mark.parametrize("where", REMOTES)
def test_limits_stop_strings_and_handing_back(where):
    endless = {name: made_up(name, end_bias=-99) for name in MODELS}
    letter = text_of(write(GuidedConfig(), PolicyConfig("fixed", every=3), models=endless).tokens)[9]
    for config, stop in (
        (GuidedConfig(c=math.inf, k=math.inf), stopping(17)),
        (GuidedConfig(c=4, k=30), stopping(25)),
        (GuidedConfig(k=4), stopping(40, (letter,))),
        (GuidedConfig(k=20, handback="newline"), stopping()),
    ):
        expected = write(config, PolicyConfig("fixed", every=3), stop=stop, models=endless)
        remotes = REMOTES[where]()
        generation = write(config, PolicyConfig("fixed", every=3), remotes, Servers(endless), stop=stop, models=endless)
        assert (generation.tokens, generation.finish) == (expected.tokens, expected.finish)
    config = GuidedConfig(k=20, handback="confident", oracle_confidence=0.5)
    expected = write(config, PolicyConfig("always"), models=endless)
    confident = {**REMOTES[where](), "remote_oracle": Remote(EOS, top=2)} if where != "base" else REMOTES[where]()
    generation = write(config, PolicyConfig("always"), confident, Servers(endless), models=endless)
    assert generation.tokens == expected.tokens
    assert len({one["tokens"] for one in generation.extra["consultations"]}) > 1


def test_the_base_is_asked_ahead_and_only_what_is_needed_is_thrown_away():
    endless = {name: made_up(name, end_bias=-99) for name in MODELS}
    servers = Servers(endless)
    policy = PolicyConfig("fixed", every=5)
    generation = write(GuidedConfig(c=3, k=2), policy, REMOTES["both"](ahead=5), servers, models=endless)
    asked = [(one.model, one.n, len(one.tokens)) for one in servers.requests]
    # With the budget spent, the rest is asked for in one go.
    assert asked[:6] == [
        ("base", 5, 0),
        ("oracle", 2, 5),
        ("base", 5, 7),
        ("oracle", 2, 12),
        ("base", 5, 14),
        ("oracle", 2, 19),
    ]
    assert asked[6:] == [("base", 19, 21)]
    calls = generation.extra["servers"]
    assert calls["oracle"] == {
        "calls": 3, "retries": 3, "prompt": 0, "prompt_tokens": 9, "completion_tokens": 6, "latency": [0.5] * 3
    }  # fmt: skip
    assert calls["base"]["prompt"] == 3


def test_sampling_on_a_server_has_a_seed_of_its_own_for_each_request():
    servers = Servers(MODELS)
    policy = PolicyConfig("fixed", every=3)
    first = write(GuidedConfig(k=2), policy, REMOTES["both"](ahead=3), servers, temperature=1.0)
    seeds = [one.seed for one in servers.requests if one.model == "base"]
    assert None not in seeds
    assert len(set(seeds)) == len(seeds)
    assert {one.seed for one in servers.requests if one.model == "oracle"} == {None}  # greedy
    again = write(GuidedConfig(k=2), policy, REMOTES["both"](ahead=3), temperature=1.0)
    assert again.tokens == first.tokens
    other = write(GuidedConfig(k=2), policy, REMOTES["both"](ahead=3), temperature=1.0, seed=1)
    assert other.tokens != first.tokens


def test_signals_from_the_top_are_bounds_and_marked_in_the_trace():
    config = GuidedConfig(c=3, k=2, record="entropy")
    policy = PolicyConfig("entropy", threshold=1.0)
    exact = write(GuidedConfig(c=0, record="entropy"), policy).extra["signal"]
    remote = {"remote_base": Remote(EOS, top=5, vocabulary=VOCABULARY)}
    bounded = write(GuidedConfig(c=0, record="entropy"), policy, remote).extra["signal"]
    assert bounded["truncated"] == 5
    for (_, truth), (_, low), high in zip(exact["values"], bounded["values"], bounded["upper"], strict=True):
        assert low - 1e-5 <= truth <= high + 1e-5
        assert low < high
    asked = write(config, policy, remote).extra["consultations"]
    assert asked
    assert all(one["truncated"] == 5 and one["entropy"][0] < one["entropy"][1] for one in asked)
    of_top = GuidedConfig(c=0, record="margin")  # the margin needs no more than the top
    exact_margin, read = (write(of_top, policy, one).extra["signal"]["values"] for one in ({}, remote))
    assert [value for _, value in read] == pytest.approx([value for _, value in exact_margin], abs=2e-6)


def test_a_server_without_log_probabilities_is_told():
    remote = {"remote_base": Remote(EOS, top=5)}

    class Silent(Servers):
        def __call__(self, request):
            reply = super().__call__(request)
            return Reply(reply.tokens, reply.ended)

    with pytest.raises(UserError, match="no log-probabilities, which the policy reads"):
        write(GuidedConfig(), PolicyConfig("entropy", threshold=1.0), remote, Silent(MODELS))


def test_a_server_that_gives_nothing_ends_the_text():
    generation = write(GuidedConfig(c=0), PolicyConfig(), REMOTES["base"](), lambda request: Reply([], False))
    assert (generation.tokens, generation.finish) == ([EOS], "eos")


@given(st.lists(st.floats(-12, 6), min_size=3, max_size=40), st.integers(1, 38))
def test_bounds_hold_the_entropy_of_every_distribution(logits, k):
    logp = torch.log_softmax(torch.tensor(logits, dtype=torch.float64), dim=-1)
    top = sorted(logp.tolist(), reverse=True)[:k]
    low, high = entropy_bounds(top, len(logits))
    truth = float(-(logp.exp() * logp).sum())
    assert low - 1e-9 <= truth <= high + 1e-9
    least = least_entropy(top, len(logits))
    assert float(least.exp().sum()) == pytest.approx(1.0)
    assert least.shape[0] <= len(logits) + 1
    assert entropy(least) == pytest.approx(low, abs=1e-5)
    assert top_p(least) == pytest.approx(top_p(logp), rel=1e-5)
    if k >= 2:
        assert margin(least) == pytest.approx(margin(logp), abs=1e-6)


def test_bounds_are_reached():
    # Six tokens; the top one has 1/2. The rest on as few as may be: one more of 1/2; evenly: five of 1/10.
    low, high = entropy_bounds([math.log(0.5)], 6)
    assert low == pytest.approx(math.log(2))
    assert high == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(10))
    assert entropy_bounds([math.log(0.5), math.log(0.5)], 2) == pytest.approx((math.log(2), math.log(2)))
    assert entropy_bounds([0.0], 50) == pytest.approx((0.0, 0.0))
    # Rounded up by the server, the top may have more than everything.
    assert entropy_bounds([math.log(0.6), math.log(0.42)], 50)[0] >= 0
    assert set(SIGNALS) == {"entropy", "varentropy", "margin", "top_p"}  # a new signal needs a thought about its top


def test_log_probabilities_are_read_in_both_forms():
    old = {"logprobs": {"tokens": ["a", "b"], "top_logprobs": [{"a": -0.1, "c": -3.0}, {"d": -2.0, "b": -0.5}]}}
    assert logprobs_of(old) == (["a", "b"], [[-0.1, -3.0], [-0.5, -2.0]])
    content = [{"token": "a", "top_logprobs": [{"token": "c", "logprob": -3.0}, {"token": "a", "logprob": -0.1}]}]
    assert logprobs_of({"logprobs": {"content": content}}) == (["a"], [[-0.1, -3.0]])
    for nothing in ({}, {"logprobs": None}, {"logprobs": {"tokens": ["a"], "top_logprobs": [None]}}):
        assert logprobs_of(nothing)[1] is None
    assert logprobs_of({"logprobs": {"tokens": ["a"], "top_logprobs": None}}) == (["a"], None)


def test_pieces_count_what_the_server_counts():
    codec = PieceCodec()
    cut = codec.tokens("Hi there", ["Hi", " there"], 2, False)
    assert [codec.text([one]) for one in cut] == ["Hi", " there"]
    whole = codec.tokens("Hi there", None, 3, False)
    assert len(whole) == 3
    assert codec.text(whole) == "Hi there"
    unfit = codec.tokens("Hi there", ["Hi", "?"], 2, False)
    assert unfit == codec.tokens("Hi there", None, 2, False)
    assert codec.tokens("", None, 1, False) == []
    # The end of the text is counted by servers, and shown by some.
    for end in ("", "</s>"):
        assert codec.tokens("Hi there", ["Hi", " there", end], 3, True) == cut
    assert codec.tokens("Hi there", None, 3, True) == unfit
    other = PieceCodec()
    other.id_of("something else")
    moved = other.ids(codec.pieces([*cut, PieceCodec.END]), ended=True)
    assert moved[-1] == PieceCodec.END
    assert other.text(moved) == "Hi there"


class Bytes:
    """A tokenizer of bytes with a beginning-of-text token, as Llama's."""

    bos_token, bos_token_id = "<s>", 256

    def __len__(self):
        return 257

    def encode(self, text, add_special_tokens=True):
        return [256] * add_special_tokens + list(text.encode())

    def decode(self, ids, skip_special_tokens=True):
        special = "" if skip_special_tokens or 256 not in ids else "<s>"
        return special + bytes(one for one in ids if one < 256).decode(errors="replace")


def test_a_beginning_that_the_server_adds_itself_is_not_sent():
    codec = TokenizerCodec(Bytes())
    assert codec.text([256, 72, 105]) == "Hi"
    assert codec.text("<s>Hi") == "Hi"
    assert codec.tokens("caf\ufffd", None, 4, False) == list(b"caf")


def test_a_budget_counts_the_oracles_own_tokens_where_only_its_server_knows_them():
    """The server of another tokenizer counts two tokens for each of the base's."""

    class Double(Servers):
        def __call__(self, request: Generate) -> Reply:
            half = dataclasses.replace(request, n=max(1, request.n // 2))
            reply = super().__call__(half)
            return dataclasses.replace(reply, completion_tokens=2 * len(reply.tokens))

    endless = {name: made_up(name, end_bias=-99) for name in MODELS}
    spent = {}
    for text in (True, False):
        decoding = guided(
            PROMPT,
            GuidedConfig(c=float("inf"), k=4, max_oracle_tokens=10),
            POLICIES["fixed"](PolicyConfig("fixed", every=3)),
            Sampling(),
            stopping(),
            stream(1),
            stream(2),
            remote_oracle=Remote(EOS, text=text),
        )
        generation = drive_with(decoding, Double(endless) if text else Servers(endless), endless)
        spent[text] = [(one["tokens"], one["oracle_tokens"]) for one in generation.extra["consultations"]]
    assert spent == {True: [(2, 4), (2, 4), (1, 2)], False: [(4, 4), (4, 4), (2, 2)]}
