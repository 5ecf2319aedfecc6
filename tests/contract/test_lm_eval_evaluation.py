"""What lmx relies on where lm_eval's evaluator, its requests and its caches meet models. A failure says what breaks."""

import importlib.metadata as metadata
import inspect
import re

import pytest
from datasets import Dataset

from lmx_plugins.evaluation.asked import numbers_by_place, origin
from tests.contract.lines import IS_0_4, task_of

NAME = "numbers"


def make_task(**settings):
    rows = [{"number": str(i), "prompt": f"Say {i}."} for i in range(6)]
    return task_of(
        {
            "task": NAME,
            "custom_dataset": lambda **_: {"test": Dataset.from_list(rows)},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{prompt}}",
            "doc_to_target": "n{{number}}",
            "generation_kwargs": {"until": [], "max_gen_toks": 4},
            "process_results": lambda doc, results: {"number": float(doc["number"])},
            "metric_list": [{"metric": "number", "aggregation": "mean", "higher_is_better": None}],
            "num_fewshot": 0,
            **settings,
        }
    )


def evaluate(task, **arguments):
    import lm_eval.evaluator as evaluator
    from lm_eval.api.registry import get_model

    return evaluator.evaluate(
        get_model("scripted")(text="a"), {"tasks": {task.config.task: task}}, bootstrap_iters=100, **arguments
    )


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
    made, tasks, run = (source.find(part) for part in ("create_from_arg", "task_manager.load", "= evaluate("))
    assert 0 < made < tasks < run, "mistakes in --gen_kwargs are no longer found before weights are loaded."


def test_the_samples_of_an_evaluation_are_passed_by_name():
    import lm_eval.evaluator as evaluator

    source = inspect.getsource(inspect.unwrap(evaluator.simple_evaluate))
    assert "samples=samples" in re.split(r"results(?:: EvalResults)? = evaluate\(", source)[1], (
        "--samples are not put in order."
    )


def test_how_requests_are_numbered_and_documents_taken_in_order():
    """0.4: by the place among the documents asked for. 0.5: by the document."""
    task = make_task()
    task.build_all_requests(samples=[4, 1], rank=0, world_size=1)
    numbered = [(0, "1"), (1, "4")] if IS_0_4 else [(1, "1"), (4, "4")]
    assert [(one.doc_id, one.doc["number"]) for one in task.instances] == numbered, (
        "lm_eval numbers the documents of --samples in another way: texts would draw other documents' random numbers."
    )
    assert numbers_by_place() == IS_0_4
    assert [origin(one).document for one in task.instances] == [1, 4]
    assert [one.task_name for one in task.instances] == [NAME] * 2
    task.build_all_requests(rank=1, world_size=2, limit=5)
    documents = [int(one.doc["number"]) for one in task.instances]
    assert [origin(one).document for one in task.instances] == documents == [1, 3]


@pytest.mark.parametrize("asked", [[4, 1], [1, 4], [0, 1, 5], [5]])
def test_samples_are_logged_under_their_own_numbers(asked):
    """With our hooks; 0.5.0.dev1 alone looks a document's number up as a place and fails."""
    found = evaluate(make_task(), samples={NAME: asked})
    logged = [(one["doc_id"], int(one["doc"]["number"]), one["number"]) for one in found["samples"][NAME]]
    assert logged == [(n, n, float(n)) for n in sorted(asked)]


def test_unordered_samples_are_still_logged_under_wrong_numbers():
    import lm_eval.evaluator as evaluator
    import lm_eval.evaluator_utils as utils

    function = evaluator.evaluate if IS_0_4 else utils._build_logged_samples
    assert "indices[doc_id] if indices else doc_id" in inspect.getsource(inspect.unwrap(function)), (
        "lm_eval numbers logged samples in another way: look whether --samples must still be put in order."
    )


def test_what_is_bootstrapped():
    """0.4: a list of lm_eval's own aggregations. 0.5: whatever is not `mean`, unless it says that it is a table."""
    from lm_eval.api.metrics import mean, stderr_for_metric

    def table(values):
        return ({"n": len(values)},)

    def total(values):
        return float(sum(values))

    total.standard_error = lambda values: 0.25
    found = stderr_for_metric(mean, 10)([0.0, 1.0])
    assert found == pytest.approx(0.5)
    if IS_0_4:
        assert stderr_for_metric(table, 10) is stderr_for_metric(total, 10) is None
        assert stderr_for_metric.__module__ == "lm_eval.api.metrics", "the hook is not needed here."
    else:
        assert stderr_for_metric(table, 100_000)([0.0, 1.0]) == "N/A", "tables are bootstrapped: runs fail at the end."
        assert stderr_for_metric(total, 100_000)([0.0, 1.0]) == 0.25
        assert stderr_for_metric(table, 0) is stderr_for_metric(total, 0) is None
        assert inspect.unwrap(stderr_for_metric)(table, 10) is not None


def test_a_table_goes_through_a_whole_evaluation(capfd):
    def table(values):
        return ({"n": len(values)},)

    metrics = [{"metric": "number", "aggregation": table, "higher_is_better": True}]
    found = evaluate(make_task(metric_list=metrics), limit=3)["results"][NAME]
    assert (found["number,none"], found["number_stderr,none"]) == (({"n": 3},), "N/A")
    assert "ootstrapping" not in capfd.readouterr().out


def test_a_neutral_metric_is_called_neutral():
    from lmx_plugins.evaluation.asked import restore_directions

    found = evaluate(make_task(), limit=2)
    assert found["higher_is_better"][NAME]["number"] is (None if IS_0_4 else True), (
        "lm_eval keeps `higher_is_better: null` now, or no more: look at restore_directions."
    )
    restore_directions(found)
    assert found["higher_is_better"][NAME] == {"number": None}


@pytest.mark.parametrize("repeats", [1, 3])
def test_what_process_results_is_given(repeats):
    """0.4: the text, or a list of all texts as one item. 0.5: all texts."""
    from lmx_metrics.aggregation import texts_of_document

    seen = []
    kept = [{"name": "none", "filter": [{"function": "take_first_k", "k": repeats}]}] if repeats > 1 else None
    task = make_task(
        process_results=lambda doc, results: seen.append(results) or {"number": 1.0}, repeats=repeats, filter_list=kept
    )
    evaluate(task, limit=1)
    assert seen[0] == ([["a"] * 3] if IS_0_4 and repeats > 1 else ["a"] * repeats)
    assert texts_of_document(seen[0]) == ["a"] * repeats


def test_the_request_cache_is_a_switch_of_the_task():
    from lm_eval.api.task import Task

    names = set(inspect.signature(Task.build_all_requests).parameters)
    missing = {"samples", "cache_requests", "rewrite_requests_cache"} - names
    assert not missing, f"build_all_requests takes no {missing}: cached requests of another run are not noticed."


@pytest.mark.parametrize("name", ["fewshot_rnd", "sampler"])
def test_the_generators_of_few_shot_examples(name):
    import random

    task = make_task(num_fewshot=1, fewshot_split="test")
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
    """As in lmx's models. 0.5.0.dev1 has left 0.4 before that: a stop string in the reasoning still ends the text."""
    from lm_eval.models.utils import postprocess_generated_text

    answer = postprocess_generated_text("a\n\nb</t>c</t>\n\nd\n\ne", ["\n\n"], "</t>")
    assert answer == ("d" if metadata.version("lm_eval") != "0.5.0.dev1" else "a")
    assert postprocess_generated_text("a\n\nb", ["\n\n"], "</t>") == "a"
