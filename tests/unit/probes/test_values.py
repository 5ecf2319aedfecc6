"""Hidden states, heads and scores against a direct computation in float64."""

from __future__ import annotations

import copy
import math
from dataclasses import replace

import pytest
import torch

from lmx_models.core import distributions
from lmx_probes import heads, models, scores
from lmx_probes.entropy.measure import compare_states
from lmx_probes.heads import Head
from lmx_probes.reader import Reader, Text
from tests.unit.probes.tiny_models import build, tokenizer

KINDS = ("tied", "untied", "softcap", "scaled")
PADDING = 38


@pytest.fixture(scope="module")
def words():
    return tokenizer()


@pytest.fixture(scope="module", params=KINDS)
def probe(request, words):
    model = build(request.param, models.vocabulary_of(words) + PADDING)
    return models.probe(model, words, request.param)


def texts(vocabulary: int, count: int = 9) -> list[Text]:
    generator = torch.Generator().manual_seed(3)
    shared = torch.randint(0, vocabulary, (40,), generator=generator).tolist()
    made = []
    for i in range(count):
        own = torch.randint(0, vocabulary, (3 + 5 * i,), generator=generator).tolist()
        tokens = (shared if i % 3 else shared[:20]) + own
        made.append(Text(tokens, range(len(tokens) - 1) if i % 2 else range(len(tokens) - 4, len(tokens) - 1)))
    return made


def direct(probe, text: Text) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits of the model itself in float64, padding rows cut off, and the scores by their definitions."""
    double = copy.deepcopy(probe.model).double()
    with torch.inference_mode():
        z = double(input_ids=torch.tensor([list(text.tokens)])).logits[0, list(text.wanted), : probe.head.vocabulary]
    log_p = torch.log_softmax(z, -1)
    p = log_p.exp()
    target = torch.tensor([text.tokens[i + 1] for i in text.wanted])
    h = -(p * log_p).sum(-1)
    own = log_p.gather(1, target[:, None])[:, 0]
    top = p.topk(2).values
    return z, {
        "entropy": h,
        "varentropy": (p * (log_p + h[:, None]) ** 2).sum(-1),
        "surprisal": -own,
        "probability": own.exp(),
        "rank": (log_p > own[:, None]).sum(-1) + 1,
        "margin": top[:, 0] - top[:, 1],
        "top_probability": top[:, 0],
        "top_token": z.argmax(-1),
    }


@pytest.mark.parametrize("rows", [1, 16])
def test_scores_are_those_of_float64_whatever_the_batch(probe, rows, monkeypatch):
    monkeypatch.setattr(heads, "CHUNK_BYTES", 4 * probe.head.vocabulary * 7)  # seven positions a chunk
    given = texts(probe.head.vocabulary)
    reader = Reader(probe, rows)
    seen = set()
    for number, hidden in reader.read(given):
        seen.add(number)
        targets = torch.tensor([given[number].tokens[i + 1] for i in given[number].wanted])
        found, top = scores.score(probe.head, hidden, targets, k=3)
        expected = direct(probe, given[number])[1]
        for name, values in expected.items():
            assert torch.allclose(found[name].double(), values.double(), atol=1e-5, rtol=1e-5), (name, number)
        assert top is not None
        assert (top.tokens[:, 0] == expected["top_token"]).all()
    assert seen == set(range(len(given)))
    assert reader.fed < sum(len(text.tokens) for text in given) - 6 * 20  # shared beginnings went through once


def test_padding_rows_are_masked(probe):
    assert probe.head.padding == PADDING
    with torch.no_grad():
        rows = probe.model.get_output_embeddings().weight.clone()
    loud = copy.deepcopy(probe.model)
    with torch.no_grad():
        loud.get_output_embeddings().weight[-PADDING:] = 50 * rows[:PADDING]
    again = models.probe(loud, probe.tokenizer, "loud")
    (_, a), (_, b) = (next(iter(Reader(p).read(texts(100, 1)))) for p in (probe, again))
    targets = torch.zeros(len(a), dtype=torch.long)
    assert torch.equal(
        scores.score(probe.head, a, targets)[0]["entropy"], scores.score(again.head, b, targets)[0]["entropy"]
    )


def test_divergences_from_stored_states_are_those_of_float64(words, tmp_path):
    size = models.vocabulary_of(words)
    a, b = (models.probe(build(kind, size + PADDING), words, kind) for kind in ("tied", "softcap"))
    text = texts(size)[7]
    (_, x), (_, y) = (next(iter(Reader(p).read([text]))) for p in (a, b))
    for probe, name in ((a, "a"), (b, "b")):
        probe.head.save(tmp_path / name)
    first, second = (Head.read(tmp_path / name) for name in "ab")
    targets = torch.tensor([text.tokens[i + 1] for i in text.wanted])
    found = compare_states(first, second, x, y, targets)
    (za, _), (zb, _) = direct(a, text), direct(b, text)
    la, lb = torch.log_softmax(za, -1), torch.log_softmax(zb, -1)
    mix = torch.logaddexp(la, lb) - math.log(2)
    expected = {
        "kl_ab": (la.exp() * (la - lb)).sum(-1),
        "kl_ba": (lb.exp() * (lb - la)).sum(-1),
        "js": 0.5 * (la.exp() * (la - mix)).sum(-1) + 0.5 * (lb.exp() * (lb - mix)).sum(-1),
    }
    for name, values in expected.items():
        assert (found[name] - values).abs().max() < 1e-6 * max(1.0, float(values.max())), name
    assert (found["same_top"] == (za.argmax(-1) == zb.argmax(-1))).all()
    itself = compare_states(first, first, x, x, targets)
    for name in ("kl_ab", "kl_ba", "js"):
        assert itself[name].abs().max() <= 1e-12
    nearly = compare_states(first, replace(first, scale=1 + 1e-7), x, x, targets)
    assert min(float(nearly[name].min()) for name in ("kl_ab", "kl_ba", "js")) >= -1e-7


def test_a_uniform_model_has_the_entropy_log_v():
    head = Head(torch.zeros(1000, 8))
    found, _ = scores.score(head, torch.randn(5, 8), torch.arange(5))
    assert torch.allclose(found["entropy"], torch.full((5,), math.log(1000), dtype=torch.float64), atol=1e-9)
    assert found["varentropy"].abs().max() < 1e-12
    assert (found["rank"] == 1).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_logits_that_are_no_numbers_are_named(bad):
    logits = torch.randn(4, 10)
    logits[2, 3] = bad
    with pytest.raises(scores.NotFiniteError) as raised:
        scores.token_scores(logits, torch.zeros(4, dtype=torch.long))
    assert raised.value.position == 2
    many = torch.zeros(40, 70_000)  # in a slice that is not the first
    many[33, 69_999] = bad
    with pytest.raises(scores.NotFiniteError) as raised:
        scores.token_scores(many, torch.zeros(40, dtype=torch.long))
    assert raised.value.position == 33


@pytest.mark.parametrize("vocabulary", [2, 3, 100, 255, 256, 257, 300, 512, 5003])
@pytest.mark.parametrize("kind", ["plain", "flat", "equal", "spike"])
def test_scores_over_vocabularies_of_any_size(vocabulary, kind, monkeypatch):
    """Likeliest tokens in any block of the search, equal ones too, rows in slices that do not divide their number."""
    monkeypatch.setattr(distributions, "CACHED_BYTES", 4 * vocabulary * 3)
    generator = torch.Generator().manual_seed(vocabulary)
    z = torch.randn(11, vocabulary, generator=generator) * {"plain": 3.0, "flat": 0.01}.get(kind, 1.0)
    if kind == "equal":
        z = z.round()
    if kind == "spike":
        z = z * 0 - 5
        z[range(11), torch.randint(0, vocabulary, (11,), generator=generator)] = 0
    targets = torch.randint(0, vocabulary, (11,), generator=generator)
    found = scores.token_scores(z, targets)
    log_p = torch.log_softmax(z.double(), -1)
    p, own = log_p.exp(), log_p.gather(1, targets[:, None])
    h = -(p * log_p).sum(-1)
    best, second = p.topk(2, -1).values.T
    expected = {
        "entropy": h, "varentropy": (p * (log_p + h[:, None]) ** 2).sum(-1), "surprisal": -own[:, 0],
        "probability": own[:, 0].exp(), "margin": best - second, "top_probability": best,
    }  # fmt: skip
    for name, values in expected.items():
        assert (found[name] - values).abs().max() < 2e-6, name
    assert found["rank"].tolist() == [int((row > row[t]).sum()) + 1 for row, t in zip(z, targets, strict=True)]
    assert found["top_token"].tolist() == [row.tolist().index(float(row.max())) for row in z]


def test_large_logits_lose_nothing():
    z = torch.randn(20, 5000, generator=torch.Generator().manual_seed(0)) * 30 + 400
    found = scores.token_scores(z, torch.arange(20))
    log_p = torch.log_softmax(z.double(), -1)
    assert (found["entropy"] + (log_p.exp() * log_p).sum(-1)).abs().max() < 1e-5


def test_a_head_that_is_more_than_a_matrix_is_refused(words):
    model = build("untied", models.vocabulary_of(words))
    model.lm_head.register_forward_hook(lambda _m, _a, out: out + out.abs().sqrt())
    with pytest.raises(Exception, match="head of LlamaForCausalLM is not"):
        models.probe(model, words, "odd")


def test_a_beginning_of_which_nothing_is_wanted_goes_through_alone(probe):
    given = [Text([*range(40), 50 + i, 60 + i], [40]) for i in range(3)]
    found = dict(Reader(probe).read(given))
    for i, text in enumerate(given):
        z = direct(probe, text)[0]
        assert (probe.head.logits(found[i]).double() - z).abs().max() < 1e-4
