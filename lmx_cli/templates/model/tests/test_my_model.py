"""The model through lm_eval: it is found by name, writes, stops, scores, and refuses what it does not know."""

from __future__ import annotations

import math
from typing import Any

import lm_eval
import pytest
from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.tasks import TaskManager
from lmx_files.errors import UserError

from my_model.model import MyModelLM


@pytest.fixture(scope="module")
def model() -> MyModelLM:
    return MyModelLM()


def request(kind: str, *arguments: Any) -> Instance:
    # The task and the document's number by name for lm_eval 0.5, in `metadata` for 0.4.
    return Instance(kind, {}, arguments, idx=0, metadata=("a_task", 0, 1), task_name="a_task", doc_id=0)


def write(model: MyModelLM, prompt: str, **gen_kwargs: Any) -> Any:
    gen_kwargs = {"until": [], "max_gen_toks": 12, **gen_kwargs}
    return model.generate_until([request("generate_until", prompt, gen_kwargs)])[0]


def likelihood(model: MyModelLM, context: str, continuation: str) -> tuple[float, bool]:
    return model.loglikelihood([request("loglikelihood", context, continuation)])[0]


def test_lm_eval_finds_it_by_name() -> None:
    assert get_model("my_model") is MyModelLM


def test_texts_carry_their_trace(model: MyModelLM) -> None:
    text = write(model, "the d")
    assert text == "on the the t"
    assert (text.trace.finish, len(text.trace.tokens), text.trace.forwards) == ("length", 12, 12)


def test_it_stops_at_a_string_and_at_the_end_of_text(model: MyModelLM) -> None:
    stopped = write(model, "the d", until=["the"])
    assert (stopped, stopped.trace.finish) == ("on ", "stop")
    ended = write(model, "?")
    assert (ended, ended.trace.finish) == ("", "eos")


def test_likelihoods_are_probabilities_and_agree_with_greedy_texts(model: MyModelLM) -> None:
    ascii_letters = sum(math.exp(likelihood(model, "a", chr(code))[0]) for code in range(128))
    # The other 128 bytes and the end of text were never seen after "a", which stands in the corpus 7 times.
    assert ascii_letters == pytest.approx(1 - 129 / (7 + 257))
    assert likelihood(model, "the d", "on the")[1]
    assert not likelihood(model, "the d", "ons")[1]
    whole = model.loglikelihood_rolling([request("loglikelihood_rolling", "the")])[0]
    assert whole == pytest.approx(likelihood(model, "", "t")[0] + likelihood(model, "t", "he")[0])


def test_a_run_of_a_task() -> None:
    run = lm_eval.simple_evaluate(
        "my_model",
        tasks=["constraint_tiny"],
        limit=2,
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
    )
    assert run["results"]["constraint_tiny"]["n_tokens,none"] == 192  # the task's limit: "the the the" never ends
    assert run["config"]["decoding"]["texts"] == 2


def test_mistakes(model: MyModelLM) -> None:
    with pytest.raises(UserError, match="did you mean 'corpus'"):
        MyModelLM(corpos="a.txt")
    with pytest.raises(UserError, match="cannot read corpus=nowhere"):
        MyModelLM(corpus="nowhere.txt")
    with pytest.raises(UserError, match="is greedy; set"):
        write(model, "the", do_sample=True)
