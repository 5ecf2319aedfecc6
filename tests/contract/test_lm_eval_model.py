"""What lmx's models rely on in lm_eval. A failure says what stops working in lmx."""

import inspect
import pickle

import pytest

from lmx_models.core.completion import Completion
from tests.contract.lines import IS_0_4, IS_0_5, task_of


def test_models_are_created_from_a_string_or_an_object():
    from lm_eval.api.model import LM

    for name, first in (("create_from_arg_string", "arg_string"), ("create_from_arg_obj", "arg_dict")):
        names = list(inspect.signature(getattr(LM, name)).parameters)
        assert names == [first, "additional_config"], (
            f"LM.{name} takes {names}: lmx's models receive their arguments differently."
        )


def test_both_ways_of_creating_pass_the_same_arguments():
    from lm_eval.api.model import LM

    class Model(LM):
        def __init__(self, **arguments):
            self.arguments = arguments

        loglikelihood = loglikelihood_rolling = generate_until = None

    extra = {"batch_size": 4, "device": None}
    by_string = Model.create_from_arg_string("c=20,policy=ramp", extra).arguments
    by_object = Model.create_from_arg_obj({"c": 20, "policy": "ramp"}, extra).arguments
    assert by_string == by_object == {"c": 20, "policy": "ramp", "batch_size": 4}, (
        "lm_eval parses or passes model arguments differently: lmx's models see other values or a None."
    )


def test_string_subclasses_survive_the_first_filter():
    from lm_eval.filters.selection import TakeFirstFilter

    class Completion(str):
        trace = None

    answer = Completion("text")
    (kept,) = TakeFirstFilter().apply([[answer]], [{}])
    kept = kept[0] if IS_0_5 else kept
    assert kept is answer, (
        "take_first copies the response: a Completion loses its trace, and termination can no longer be judged."
    )


def test_string_subclasses_reach_process_results():
    from datasets import Dataset

    class Completion(str):
        trace = None

    seen = []
    task = task_of(
        {
            "task": "contract",
            "custom_dataset": lambda **_: {"test": Dataset.from_list([{"q": "a"}])},
            "test_split": "test",
            "output_type": "generate_until",
            "doc_to_text": "{{q}}",
            "doc_to_target": "{{q}}",
            "generation_kwargs": {"until": []},
            "process_results": lambda doc, results: seen.extend(results) or {"m": 1.0},
            "metric_list": [{"metric": "m", "aggregation": "mean", "higher_is_better": True}],
        }
    )
    task.build_all_requests(rank=0, world_size=1)
    (request,) = task.instances
    assert request.args[1]["until"] == [], "lm_eval adds stop strings to until: []: decoders are cut short."
    answer = Completion("text")
    request.resps.append(answer)
    task.apply_filters()
    kept = list(request.filtered_resps.values())
    task.process_results({"q": "a"}, kept[0] if IS_0_5 else kept)
    assert seen[0] is answer, "process_results gets a copy of the response: metrics cannot read a trace."


def test_model_info_is_merged_into_the_results():
    from lm_eval import evaluator

    source = inspect.getsource(evaluator.simple_evaluate)
    assert "get_model_info()" in source, "lm.get_model_info is not called: decoding statistics are not saved."
    asked = source.find("get_model_info()")
    assert source.find("evaluate(") < asked, "get_model_info is called before the run: it has no statistics yet."
    assert 'results["config"]' in source or "config" in source[asked - 400 : asked + 400], (
        "get_model_info is not merged into results['config'] any more."
    )


def test_a_request_is_made_in_one_form_for_both_lines():
    from lm_eval.api.instance import Instance

    made = Instance("generate_until", {}, ("a", {}), idx=0, metadata=("t", 3, 2), task_name="t", doc_id=3)
    assert (made.task_name, made.doc_id, made.repeats, made.idx, made.args) == ("t", 3, 2, 0, ("a", {}))


def test_a_rolling_likelihoods_text_is_its_last_argument():
    from datasets import Dataset

    task = task_of(
        {
            "task": "contract",
            "custom_dataset": lambda **_: {"test": Dataset.from_list([{"q": "all of it"}])},
            "test_split": "test",
            "output_type": "loglikelihood_rolling",
            "doc_to_text": "",
            "doc_to_target": "{{q}}",
            "metric_list": [{"metric": "word_perplexity"}],
        }
    )
    task.build_all_requests(rank=0, world_size=1)
    assert task.instances[0].args == (("all of it",) if IS_0_4 else ("", "all of it"))


@pytest.mark.parametrize("name", ["loglikelihood", "loglikelihood_rolling", "generate_until"])
def test_request_methods(name):
    from lm_eval.api.model import LM

    names = list(inspect.signature(getattr(LM, name)).parameters)
    assert names[:2] == ["self", "requests"], f"LM.{name} takes {names}: lmx's models must follow."


def test_a_gold_answer_is_given_the_type_of_the_models_answer():
    """lm_eval scores with its own metrics by calling ``type(result)(gold)``."""
    gold = Completion("gold")
    assert (gold, getattr(gold, "trace", None)) == ("gold", None)
    assert pickle.loads(pickle.dumps(gold)) == "gold"
