"""The decoders on SmolLM2 and real prompts: what they write is what the stock model writes, to the token.

The stock model is a copy of its own, loaded and run by lm_eval and transformers alone; the engine never touches it.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from lmx_models.core.completion import Completion
from lmx_models.core.sampling import Sampling, sample, stream
from lmx_models.guided.model import GuidedLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.zoo import catalogue
from lmx_tasks.constraint50 import utils

pytestmark = [pytest.mark.slow, pytest.mark.full]

MODEL = "smollm2-135m"
PROMPTS = 20
TOKENS = 32
SEED = 1234
SETTINGS: dict[str, Any] = {"device": "cpu", "dtype": "float32", "batch_size": 16}


@pytest.fixture(scope="module")
def models() -> SimpleNamespace:
    """`hf`: lm_eval's own model. `guided` and `ar`: ours, on one other copy of the weights."""
    guided = GuidedLM(pretrained=MODEL, oracle=MODEL, seed=SEED, **SETTINGS)
    ar = AutoregressiveLM(pretrained=guided.model, tokenizer=guided.tokenizer, seed=SEED, batch_size=16)
    hf = HFLM(pretrained=catalogue.resolve(MODEL).pretrained, **SETTINGS)
    assert hf.model is not guided.model
    return SimpleNamespace(hf=hf, ar=ar, guided=guided)


@pytest.fixture(scope="module")
def contexts(models) -> list[str]:
    """The first prompts of constraint50 in the model's chat template."""
    docs = utils.load_prompts()["test"].select(range(PROMPTS))
    chats = [[{"role": "user", "content": utils.doc_to_text(doc)}] for doc in docs]
    return [models.hf.apply_chat_template(chat) for chat in chats]


def write(lm, contexts: list[str], **gen_kwargs: Any) -> list[Any]:
    """Write texts as constraint50 would ask for them, greedily unless `gen_kwargs` say otherwise."""
    gen_kwargs = {"until": [], "max_gen_toks": TOKENS, "do_sample": False, **gen_kwargs}
    requests = [
        Instance("generate_until", {}, (context, dict(gen_kwargs)), 0, ("constraint50", i, 1))
        for i, context in enumerate(contexts)
    ]
    return lm.generate_until(requests, disable_tqdm=True)


def tokens(texts: list[Completion]) -> list[list[int]]:
    return [text.trace.tokens for text in texts]


@pytest.fixture(scope="module")
def greedy(models, contexts) -> list[Completion]:
    """What `--model ar` writes with 16 rows."""
    return write(models.ar, contexts)


def test_ar_writes_what_lm_eval_writes(models, contexts, greedy):
    assert write(models.hf, contexts) == [str(text) for text in greedy]
    assert len(set(greedy)) == PROMPTS, "different prompts, different answers"
    assert all(len(text.split()) > TOKENS / 4 for text in greedy), "words, not noise"


def test_ar_writes_the_tokens_of_generate(models, contexts, greedy):
    for context, text in list(zip(contexts, greedy, strict=True))[:3]:
        prompt = torch.tensor([models.hf.tok_encode(context)])
        written = models.hf.model.generate(
            prompt, attention_mask=torch.ones_like(prompt), do_sample=False, max_new_tokens=TOKENS
        )
        assert written[0, prompt.shape[1] :].tolist() == text.trace.tokens


@pytest.mark.parametrize(("rows", "prompts"), [(4, PROMPTS), (1, 5)])
def test_batch_size_does_not_change_the_text(models, contexts, greedy, monkeypatch, rows, prompts):
    monkeypatch.setattr(models.ar, "batch_size_per_gpu", rows)
    assert models.ar.batch_size == rows
    assert tokens(write(models.ar, contexts[:prompts])) == tokens(greedy[:prompts])


@pytest.mark.parametrize(("c", "k", "source"), [(0, 10, "base"), ("inf", "inf", "oracle")])
def test_guided_without_a_choice_is_plain_decoding(models, contexts, greedy, c, k, source):
    texts = write(models.guided, contexts[:8], c=c, k=k)
    assert tokens(texts) == tokens(greedy[:8])
    assert {segment.source for text in texts for segment in text.trace.segments} == {source}


@pytest.mark.parametrize("sampling", [Sampling(0.0), Sampling(0.7, top_p=0.95)], ids=["greedy", "sampled"])
def test_guided_equals_a_full_recompute(models, contexts, sampling):
    """Each token again from one forward of the stock model over the whole text, drawn as its source draws.

    The oracle is greedy; the base draws from the text's own random stream. So with a sampled base a text is full of
    tokens that the oracle would not have written, and a cache that kept or lost one of them would show.
    """
    settings = {"do_sample": sampling.temperature > 0, "temperature": sampling.temperature, "top_p": sampling.top_p}
    # A ramp that asks again at once may write a short text with the oracle alone.
    texts = write(models.guided, contexts[:5], policy="ramp_spaced", c=20, k=10, **settings)
    unlike_oracle = 0
    for doc_id, (context, text) in enumerate(zip(contexts, texts, strict=False)):
        prompt = models.hf.tok_encode(context)
        with torch.inference_mode():
            logits = models.hf.model(torch.tensor([prompt + text.trace.tokens])).logits[0, len(prompt) - 1 :]
        rng = stream(SEED, "constraint50", doc_id, 0, 0, "sample")
        again = []
        for segment in text.trace.segments:
            for at in range(segment.start, segment.end):
                rule = sampling if segment.source == "base" else Sampling(0.0)
                again.append(sample(logits[at], rule, rng))
                unlike_oracle += again[-1] != int(logits[at].argmax())
        assert again == text.trace.tokens
    consulted = [ask["tokens"] for text in texts for ask in text.trace.extra["consultations"]]
    assert len(consulted) > len(texts), "texts go back and forth"
    assert max(consulted) == 10
    assert all(text.trace.by_source().keys() == {"base", "oracle"} for text in texts)
    assert (unlike_oracle > 0) == (sampling.temperature > 0)
