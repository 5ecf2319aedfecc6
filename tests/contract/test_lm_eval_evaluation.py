"""What lmx relies on where lm_eval's evaluator, its requests and its caches meet models. A failure says what breaks."""

import inspect

import pytest

from lmx_plugins.evaluation import origin
from tests.unit.lm_eval_tasks import NAME, make_task


def test_the_evaluator_takes_what_models_are_told():
    import lm_eval.evaluator as evaluator

    simple = inspect.signature(evaluator.simple_evaluate).parameters
    for name in ("torch_random_seed", "gen_kwargs", "use_cache", "limit", "samples"):
        assert name in simple, f"simple_evaluate has no {name}: models are no longer told of it in time."
    assert simple["torch_random_seed"].default == 1234, "the default seed of sampled texts changes with lm_eval's."
    assert {"lm", "task_dict", "samples", "limit"} <= set(inspect.signature(evaluator.evaluate).parameters)


def test_a_model_is_made_within_the_evaluation_and_before_the_tasks():
    import lm_eval.evaluator as evaluator

    source = inspect.getsource(inspect.unwrap(evaluator.simple_evaluate))
    made, tasks, run = (source.find(part) for part in ("create_from_arg", "task_manager.load", "results = evaluate("))
    assert 0 < made < tasks < run, "mistakes in --gen_kwargs are no longer found before weights are loaded."


def test_the_samples_of_an_evaluation_are_passed_by_name():
    import lm_eval.evaluator as evaluator

    source = inspect.getsource(inspect.unwrap(evaluator.simple_evaluate))
    assert "samples=samples" in source[source.find("results = evaluate(") :], "--samples are not put in order."


def test_requests_are_numbered_by_place_and_documents_taken_in_order():
    """Why a request's document is `sorted(samples)[doc_id]`."""
    task = make_task()
    task.build_all_requests(samples=[4, 1], rank=0, world_size=1)
    assert [(one.doc_id, one.doc["number"]) for one in task.instances] == [(0, 1), (1, 4)], (
        "lm_eval numbers the documents of --samples in another way: texts would draw other documents' random numbers."
    )
    assert [origin(one).document for one in task.instances] == [1, 4]
    assert [one.task_name for one in task.instances] == [NAME] * 2
    task.build_all_requests(rank=1, world_size=2, limit=5)
    assert [origin(one).document for one in task.instances] == [one.doc["number"] for one in task.instances] == [1, 3]


def test_unordered_samples_are_still_logged_under_wrong_numbers():
    import lm_eval.evaluator as evaluator

    source = inspect.getsource(inspect.unwrap(evaluator.evaluate))
    assert "indices[doc_id] if indices else doc_id" in source, (
        "lm_eval numbers logged samples in another way: look whether --samples must still be put in order."
    )


def test_the_request_cache_is_a_switch_of_the_task():
    from lm_eval.api.task import Task

    names = set(inspect.signature(Task.build_all_requests).parameters)
    missing = {"samples", "cache_requests", "rewrite_requests_cache"} - names
    assert not missing, f"build_all_requests takes no {missing}: cached requests of another run are not noticed."


@pytest.mark.parametrize("name", ["fewshot_rnd", "sampler"])
def test_the_generators_of_few_shot_examples(name):
    import random

    task = make_task()
    task.set_config("num_fewshot", 1)
    task.set_fewshot_seed(7)
    found = getattr(task, name, None)
    assert isinstance(getattr(found, "rnd", found), random.Random), (
        f"a task's {name} is another thing: cached requests with few-shot examples are refused although they are right."
    )


def test_the_cache_of_responses_hangs_on_the_hook():
    from lm_eval.api.model import CacheHook, CachingLM

    assert CacheHook(None).dbdict is None
    assert "set_cache_hook(" in inspect.getsource(CachingLM.__init__), "lmx's models cannot refuse --use_cache."
    assert "dbdict" in inspect.getsource(CacheHook)


def test_hf_tokenizes_a_prompt_by_the_beginning_of_text_and_truncation():
    from lm_eval.models.huggingface import HFLM

    source = inspect.getsource(HFLM.tok_batch_encode)
    for part in ('getattr(self.tokenizer, "bos_token", None)', "self.add_bos_token", "truncation=truncation"):
        assert part in source, f"HFLM writes from other prompts ({part} is gone): texts differ from hf's."


def test_an_answer_begins_behind_the_last_end_of_a_reasoning():
    from lm_eval.models.utils import postprocess_generated_text

    assert postprocess_generated_text("a\n\nb</t>c</t>\n\nd\n\ne", ["\n\n"], "</t>") == "d"
    assert postprocess_generated_text("a\n\nb", ["\n\n"], "</t>") == "a"
