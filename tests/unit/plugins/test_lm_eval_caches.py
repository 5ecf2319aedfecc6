"""lm_eval's two caches: requests that are not those of this run are found, and cached responses are refused."""

import lm_eval.caching.cache as request_cache
import pytest
from lm_eval.api.model import CachingLM
from lm_eval.models.huggingface import HFLM

from lmx_files.errors import UserError
from lmx_models.guided.model import GuidedLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.scripted import ScriptedLM
from tests.unit.tasks.lm_eval_tasks import NAME, evaluate, make_task

FAST = {"device": "cpu", "batch_size": 4, "self_check": False}
CACHED = {"cache_requests": True}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(request_cache, "PATH", str(tmp_path / "requests"))
    return tmp_path / "requests"


@pytest.fixture(scope="module")
def lm():
    return AutoregressiveLM(pretrained="tiny-base", **FAST)


def texts(found) -> list[str]:
    return [str(one["resps"][0][0]) for one in found["samples"][NAME]]


def test_the_same_run_may_take_its_requests_from_the_cache(lm, own_cache):
    first = texts(evaluate(lm, make_task(), limit=3, **CACHED))
    assert list(own_cache.iterdir())
    assert texts(evaluate(lm, make_task(), limit=3, **CACHED)) == first
    assert texts(evaluate(lm, make_task(), limit=3)) == first


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ({}, {"temperature": 0.1}, "document 0: other arguments: .*'temperature': 0.9.* instead of .*0.1"),
        ({}, {"max_gen_toks": 4}, "document 0: other arguments"),
        ({"prompts": ["a", "b", "c"]}, {"prompts": ["a", "x", "c"]}, "document 1: other doc"),
        ({}, {"repeats": 2}, "document 0: other repeats"),
    ],
)
def test_requests_of_another_run_are_refused(lm, before, after, message):
    evaluate(lm, make_task(**before), **CACHED)
    with pytest.raises(UserError, match=f"task {NAME}: requests that lm_eval took from its cache.*{message}") as error:
        evaluate(lm, make_task(**after), **CACHED)
    assert "\n" not in str(error.value)
    assert "--cache_requests" in str(error.value)
    refreshed = evaluate(lm, make_task(**after), cache_requests=True, rewrite_requests_cache=True)
    assert texts(refreshed) == texts(evaluate(lm, make_task(**after)))


def test_other_documents_are_refused(lm):
    evaluate(lm, make_task(), samples={NAME: [0, 1]}, **CACHED)
    with pytest.raises(UserError, match="document 0: other doc"):
        evaluate(lm, make_task(), samples={NAME: [3, 4]}, **CACHED)
    with pytest.raises(UserError, match="2 requests instead of 6"):
        evaluate(lm, make_task(), **CACHED)
    with pytest.raises(UserError, match="2 requests instead of 6"):
        evaluate(ScriptedLM(), make_task(), **CACHED)


def test_another_template_is_refused(lm, monkeypatch):
    """lm_eval's key has the tokenizer's name, which may stand for another template by now."""
    monkeypatch.setattr(AutoregressiveLM, "apply_chat_template", lambda self, chat, **_: f"<{chat[-1]['content']}>")
    evaluate(lm, make_task(), apply_chat_template=True, **CACHED)
    monkeypatch.setattr(AutoregressiveLM, "apply_chat_template", lambda self, chat, **_: f"[{chat[-1]['content']}]")
    with pytest.raises(UserError, match="document 0: other arguments"):
        evaluate(lm, make_task(), apply_chat_template=True, **CACHED)


def test_few_shot_examples_are_drawn_as_without_the_cache(lm):
    def few_shot():
        task = make_task()
        task.set_config("num_fewshot", 1)
        task.set_fewshot_seed(7)
        return task

    def prompts(found):
        return [one["arguments"][0][0] for one in found["samples"][NAME]]

    expected = prompts(evaluate(lm, few_shot()))
    assert prompts(evaluate(lm, few_shot(), **CACHED)) == expected
    assert prompts(evaluate(lm, few_shot(), **CACHED)) == expected


def test_an_oracle_of_another_family_sees_the_chats_again(monkeypatch):
    """It is asked in its own template, so a model must see each chat although the prompts come from the cache."""
    monkeypatch.setattr(HFLM, "apply_chat_template", lambda self, chat, *_, **__: chat[-1]["content"])

    def run():
        lm = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", **FAST)
        lm.token_level = False
        found = texts(evaluate(lm, make_task(), limit=3, apply_chat_template=True, **CACHED))
        return found, len(lm._chats)

    first = run()
    assert first[1] >= 3
    assert run() == (first[0], 3)


@pytest.mark.parametrize("make", [lambda: AutoregressiveLM(pretrained="tiny-base", **FAST), ScriptedLM])
def test_cached_responses_are_refused(make, tmp_path):
    with pytest.raises(UserError, match="--use_cache: lm_eval's cache of responses knows neither") as error:
        CachingLM(make(), str(tmp_path / "responses.db"))
    assert "LMX_JOURNAL" in str(error.value)


@pytest.mark.parametrize(("name", "arguments"), [("ar", "pretrained=tiny-base,temperature=0.9"), ("scripted", "")])
def test_cached_responses_are_refused_before_a_model_is_loaded(name, arguments, tmp_path, monkeypatch):
    import lm_eval.evaluator as evaluator

    import lmx_models.harness.decoder_lm as decoder_lm

    monkeypatch.setattr(decoder_lm.catalogue, "resolve", lambda *_, **__: pytest.fail("looked for weights"))
    with pytest.raises(UserError, match=r"--use_cache .*answers: lm_eval's cache"):
        evaluator.simple_evaluate(
            name, arguments, tasks=[make_task()], use_cache=str(tmp_path / "answers"), limit=1, device="cpu"
        )
