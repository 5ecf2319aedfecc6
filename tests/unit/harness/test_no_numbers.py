"""Logits and likelihoods that are no numbers: refused in one line, whoever meets them, and never kept."""

from __future__ import annotations

import math

import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import AutoModelForCausalLM, AutoTokenizer

from lmx_files.errors import UserError
from lmx_models.core.base import Feed
from lmx_models.core.distributions import NotFiniteError
from lmx_models.engine.self_check import check
from lmx_models.engine.step_model import StepModel
from lmx_models.guided.model import GuidedLM
from lmx_models.harness.finite import is_likelihood
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.trying import texts_of
from lmx_models.zoo import catalogue

GOOD, BAD = "Plan a", "Plan a party"
HERE = {"device": "cpu", "self_check": False}


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    """Return a function that saves a shipped model which cannot read one word."""

    def make(name: str, value: float = math.nan):
        folder = tmp_path_factory.mktemp(name) / "damaged"
        source = catalogue.resolve(name).pretrained
        model, words = AutoModelForCausalLM.from_pretrained(source), AutoTokenizer.from_pretrained(source)
        with torch.no_grad():
            model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
            model.config.tie_word_embeddings = False
            model.get_input_embeddings().weight[words.encode(" party")[-1]] = value
        model.save_pretrained(folder)
        words.save_pretrained(folder)
        return str(folder)

    return make


def scored(context: str, text: str, i: int) -> Instance:
    return Instance("loglikelihood", {}, (context, text), 0, ("a_task", i, 1), task_name="a_task", doc_id=i)


@pytest.mark.parametrize("more", [{}, {"temperature": 0.8, "do_sample": True}, {"temperature": 0.8, "top_p": 0.9}])
def test_a_text_of_no_numbers_is_named_and_others_are_kept(damaged, tmp_path, more):
    lm = AutoregressiveLM(pretrained=damaged("tiny-base"), journal=str(tmp_path), batch_size=1, **HERE)
    with pytest.raises(UserError, match=r"'ar' are NaN or infinite in the text of document 1 of a_task, near .* 0:"):
        texts_of(lm, [GOOD + " nice", BAD], max_gen_toks=2, **more)
    assert texts_of(lm, [GOOD + " nice"], max_gen_toks=2, **more)


def test_the_model_that_fails_is_named_among_several(damaged):
    lm = GuidedLM(pretrained="tiny-base", oracle=damaged("tiny-oracle"), policy="random", share=0.9, c=4, k=2, **HERE)
    with pytest.raises(UserError, match="logits of model 'oracle' are NaN"):
        texts_of(lm, [BAD], max_gen_toks=8)


def test_likelihoods_of_no_number_are_refused_and_not_journaled(damaged, tmp_path):
    folder = damaged("tiny-base")
    lm = AutoregressiveLM(pretrained=folder, journal=str(tmp_path), **HERE)
    asked = [scored(GOOD, " nice", 0), scored(BAD, " nice", 1)]
    for _ in range(2):
        with pytest.raises(UserError, match=r"log-likelihood of document 1 of a_task is nan.*float32"):
            lm.loglikelihood(asked, disable_tqdm=True)
    assert "NaN" not in "".join(path.read_text("utf-8") for path in tmp_path.rglob("*.jsonl"))
    [(nats, _greedy)] = lm.loglikelihood(asked[:1], disable_tqdm=True)
    assert math.isfinite(nats)
    whole = [Instance("loglikelihood_rolling", {}, (BAD + " now",), 0, ("a_task", 0, 1), task_name="a_task", doc_id=0)]
    with pytest.raises(UserError, match="log-likelihood of document 0 of a_task is nan"):
        AutoregressiveLM(pretrained=folder, **HERE).loglikelihood_rolling(whole, disable_tqdm=True)


def test_estimates_of_no_number_are_refused(damaged):
    lm = MaskedDiffusionLM(pretrained=damaged("tiny-mdlm"), ll="mc", mc_samples=4, **HERE)
    with pytest.raises(UserError, match="NaN or infinite in the likelihood of the text 'Plan a party"):
        lm.loglikelihood([scored(BAD, " nice", 0)], disable_tqdm=True)


def test_a_model_of_no_numbers_is_refused_when_it_is_loaded():
    model = AutoModelForCausalLM.from_pretrained(catalogue.resolve("tiny-base").pretrained)
    with torch.no_grad():
        model.model.norm.weight.fill_(math.nan)
    with pytest.raises(UserError, match="broken: logits are NaN or infinite"):
        check(model, "broken")


def test_minus_infinity_is_a_number():
    assert is_likelihood((-math.inf, False))
    assert is_likelihood(-1.5)
    assert not is_likelihood((math.nan, True))
    assert not is_likelihood(math.inf)


class Fixed(StepModel):
    """Gives logits that were made up."""

    def __init__(self, model, logits):
        super().__init__(model, 2)
        self.made = logits

    def outputs(self, tokens, positions, wanted):
        super().outputs(tokens, positions, wanted)
        return self.made[: len(wanted)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_the_engine_says_whose_logits_they_are(value):
    model = AutoModelForCausalLM.from_pretrained(catalogue.resolve("tiny-base").pretrained)
    logits = torch.zeros(3, 8)
    logits[:, 1] = -math.inf  # a token that cannot be
    step = Fixed(model, logits)
    for key in "ab":
        step.open(key)
    feeds = [("a", Feed("", [3, 4, 5], logits=2)), ("b", Feed("", [3, 4], logits=1))]
    assert len(step.step(feeds)[0]) == 2
    for key in "ab":
        step.cache.lengths[step.row(key)] = 0
    logits[1, 6] = value
    with pytest.raises(NotFiniteError) as raised:
        step.step(feeds)
    assert (raised.value.key, raised.value.position) == ("a", 2)
