"""Likelihoods of the diffusion head: the one forward against a loop, the estimate against full enumeration."""

import itertools
import logging
import math
import random

import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import AutoModelForCausalLM

from lmx_files.errors import UserError
from lmx_models.decoding.diffusion.wedlm_likelihood import wedlm_likelihood
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.step_model import StepModel
from lmx_models.harness.likelihoods import LikelihoodConfig, _batches, left_to_right
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.wedlm import WeDLM
from lmx_models.zoo import catalogue
from tests.unit.decoding.decoding_tools import VOCABULARY, random_model

MASK = VOCABULARY - 1
TEXTS = [([5, 9, 2], [7, 1, 30, 30]), ([8], [4]), ([6] * 9, [3, 3, 8, 1, 4, 9, 11, 13]), ([], [21, 2])]
SMALL = {"pretrained": "tiny-wedlm", "device": "cpu", "batch_size": 3, "self_check": False}
PAIRS = [("Goal:", " measure it"), ("How many animals", " are there? Six"), ("", "Goal: a plan"), ("x", "y")]


@pytest.fixture(scope="module", params=["llama", "qwen2", "qwen3"])
def model(request):
    made = random_model(request.param)
    made.lm_head.weight.data.mul_(4)
    return made


@torch.inference_mode()
def hidden_log_p(model, prompt, tokens, masked):
    """Log-probabilities of the masked tokens given the others, by a plain forward in WeDLM's order."""
    order = [i for i in range(len(tokens)) if i not in masked] + masked
    ids = [*prompt, *(MASK if i in masked else tokens[i] for i in order)]
    n = len(ids)
    logits = model(
        torch.tensor([ids]),
        position_ids=torch.tensor([[*range(len(prompt)), *(len(prompt) + i for i in order)]]),
        attention_mask=torch.ones(1, 1, n, n).tril().bool(),
        use_cache=False,
    ).logits[0, n - len(masked) :]
    logits[:, MASK] = -math.inf
    log_p = torch.log_softmax(logits.double(), dim=-1)
    return [float(log_p[j, tokens[i]]) for j, i in enumerate(masked)]


@torch.inference_mode()
def at_mask(model, before):
    """Logits of a mask behind some tokens, without the mask's own."""
    row = model(torch.tensor([[*before, MASK]]), use_cache=False).logits[0, -1]
    row[MASK] = -math.inf
    return row


def test_one_forward_equals_the_loop(model):
    """One text at a time and one token at a time: everything before it, then one mask."""
    ours = left_to_right(model, TEXTS, MASK)
    assert [left_to_right(model, [text], MASK)[0][0] for text in TEXTS] == pytest.approx([p for p, _ in ours], rel=1e-6)
    for (context, tokens), (value, greedy) in zip(TEXTS, ours, strict=True):
        loop, best = 0.0, []
        for i in range(len(tokens)):
            row = at_mask(model, [*context, *tokens[:i]])
            loop += float(torch.log_softmax(row.double(), dim=-1)[tokens[i]])
            best.append(int(row.argmax()) == tokens[i])
        assert value == pytest.approx(loop, rel=1e-6)
        assert greedy == all(best)


def test_the_greedy_text_is_called_greedy(model):
    tokens = []
    for _ in range(5):
        tokens.append(int(at_mask(model, [5, 9, *tokens]).argmax()))
    other = [*tokens[:-1], (tokens[-1] + 1) % MASK]
    assert [greedy for _, greedy in left_to_right(model, [([5, 9], tokens), ([5, 9], other)], MASK)] == [True, False]


def estimate(model, prompt, tokens, samples, seed=0):
    job = Job(0, lambda: wedlm_likelihood(prompt, tokens, samples, random.Random(seed), MASK, "m"))
    (finished,) = Scheduler({"m": StepModel(model, 1)}, 1).run([job])
    return finished.generation.extra["log_likelihood"]


def enumerated(model, prompt, tokens):
    """The exact bound: the mean over the number of masks of the mean over their sets."""
    total, n = 0.0, len(tokens)
    for count in range(1, n + 1):
        sets = list(itertools.combinations(range(n), count))
        sums = [n / count * sum(hidden_log_p(model, prompt, tokens, list(masked))) for masked in sets]
        total += sum(sums) / len(sets) / n
    return total


@pytest.mark.parametrize("length", [1, 2, 8])
def test_the_estimate_converges_to_the_exact_expectation(model, length):
    tokens = [7, 1, 30, 30, 12, 4, 9, 2][:length]
    exact = enumerated(model, [5, 9], tokens)
    assert estimate(model, [5, 9], tokens, samples=2**length) == pytest.approx(exact, rel=1e-5)  # enumerates
    if length < 8:
        return
    few = [estimate(model, [5, 9], tokens, 16, seed) for seed in range(16)]
    mean, spread = sum(few) / len(few), torch.tensor(few).std().item()
    assert spread > 0
    assert abs(mean - exact) < 4 * spread / math.sqrt(len(few)) + 1e-6 * abs(exact)


def pairs(task="some_task", kind="loglikelihood"):
    arguments = PAIRS if kind == "loglikelihood" else [(context + text,) for context, text in PAIRS]
    return [Instance(kind, {}, one, i, (task, i, 1)) for i, one in enumerate(arguments)]


@pytest.mark.parametrize("ll", ["mask", "mc"])
def test_batch_size_and_order_do_not_change_likelihoods(ll):
    lm = WeDLM(ll=ll, mc_samples=8, **SMALL)
    expected = lm.loglikelihood(pairs(), disable_tqdm=True)
    alone = WeDLM(ll=ll, mc_samples=8, **{**SMALL, "batch_size": 1})
    backwards = alone.loglikelihood(pairs()[::-1], disable_tqdm=True)[::-1]
    for (a, greedy), (b, other) in zip(expected, backwards, strict=True):
        assert a == pytest.approx(b, rel=1e-5)
        assert greedy == other
    assert len({value for value, _ in expected}) == len(PAIRS)


def test_ar_is_lm_eval_s_own():
    ar = AutoregressiveLM(**SMALL)
    lm = WeDLM(**SMALL)
    assert lm.likelihood.ll == "ar"
    assert lm.loglikelihood(pairs(), disable_tqdm=True) == ar.loglikelihood(pairs(), disable_tqdm=True)
    rolling = pairs(kind="loglikelihood_rolling")
    assert lm.loglikelihood_rolling(rolling, True) == ar.loglikelihood_rolling(rolling, True)


def test_rolling_likelihoods_take_the_head_that_was_asked_for():
    lm = WeDLM(ll="mask", max_length=12, **SMALL)
    instance = Instance(
        "loglikelihood_rolling", {}, ("Goal: measure the growth of plants in dry sand",), 0, ("t", 0, 1)
    )
    (value,) = lm.loglikelihood_rolling([instance], disable_tqdm=True)
    ids = lm.tok_encode(instance.args[0])
    assert len(ids) > 12
    # lm_eval's windows: the first 12 tokens after the prefix (which has no room), the rest with what precedes it.
    rest = ids[12:]
    windows = [([], ids[:12]), (ids[-12 : -len(rest)], rest)]
    assert value == pytest.approx(sum(p for p, _ in left_to_right(lm.model, windows, lm.mask_id)), rel=1e-5)


def test_results_say_which_likelihood_it_is(caplog):
    described = {}
    for ll in ("ar", "mask", "mc"):
        lm = WeDLM(ll=ll, mc_samples=4, **SMALL)
        with caplog.at_level(logging.WARNING):
            caplog.clear()
            lm.loglikelihood(pairs(), disable_tqdm=True)
            lm.loglikelihood_rolling(pairs(kind="loglikelihood_rolling"), disable_tqdm=True)
        told = [record.getMessage() for record in caplog.records if "likelihoods are" in record.getMessage()]
        assert len(told) == 1
        assert f"ll={ll}" in told[0]
        described[ll] = lm.get_model_info()["decoding"]["loglikelihood"]
        assert described[ll]["ll"] == ll
    assert described["mc"]["samples"] == 4
    assert described["mc"]["seed"] == 1234
    assert described["mask"]["mask_id"] == described["mc"]["mask_id"] == 5


def test_the_journal_never_mixes_likelihoods(tmp_path):
    values = {}
    for settings in ({"ll": "ar"}, {"ll": "mask"}, {"ll": "mc", "mc_samples": 4}, {"ll": "mc", "mc_samples": 6}):
        lm = WeDLM(journal=str(tmp_path), **settings, **SMALL)
        values[str(settings)] = lm.loglikelihood(pairs(), disable_tqdm=True)
        lm.journal.journal.close()
    assert len({str(value) for value in values.values()}) == 4
    again = WeDLM(journal=str(tmp_path), ll="mask", **SMALL)
    assert again.loglikelihood(pairs(), disable_tqdm=True) == values["{'ll': 'mask'}"]


@pytest.mark.parametrize(
    ("bad", "message"), [({"ll": "elbo"}, "unknown ll 'elbo'"), ({"mc_samples": 0}, "mc_samples=0")]
)
def test_bad_settings(bad, message):
    with pytest.raises(UserError, match=message):
        LikelihoodConfig(**bad)


def test_batches_stay_small():
    texts = [([1] * 10, [2] * 1500), ([1] * 10, [2] * 1100), *[([1] * 10, [2] * 4)] * 7, ([1] * 9000, [2] * 4)]
    order = [9, *range(9)]
    batches = list(_batches(order, texts, rows=4))
    assert batches == [[9], [0], [1], [2, 3, 4, 5], [6, 7, 8]]


def test_a_model_with_sliding_windows_is_refused():
    with pytest.raises(UserError, match=r"ll=mask needs full attention.*5 tokens.*ll=mc"):
        left_to_right(random_model("gemma2"), TEXTS, MASK)


def test_eager_attention_gives_the_same():
    folder = catalogue.resolve("tiny-wedlm").pretrained
    texts = [(context, tokens) for context, tokens in TEXTS if context]
    one, other = (
        left_to_right(AutoModelForCausalLM.from_pretrained(folder, attn_implementation=name).eval(), texts, 5)
        for name in ("sdpa", "eager")
    )
    assert [p for p, _ in one] == pytest.approx([p for p, _ in other], rel=1e-5)
