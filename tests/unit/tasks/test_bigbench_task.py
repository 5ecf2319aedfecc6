"""bigbench_lmx through lm_eval itself: BIG-bench's layout of an example, references, choices, damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lmx_tasks
from lmx_files.errors import UserError
from lmx_tasks.bigbench import data, utils

TASKS = Path(lmx_tasks.__file__).parent / "bigbench"
CHOICE = {
    "task_path": "games/colours",
    "description": "Name the colour",
    "keywords": ["common sense", "short"],
    "examples": [
        {"input": "Grass?", "target_scores": {"green": 1, "red": 0}},
        {"input": "A flag?", "target_scores": {"red": 0.5, "blue": 0.5, "mud": 0.25}},
    ],
}
TEXT = {
    "task_path": "translate",
    "description": "not shown",
    "task_prefix": "Translate each word:\n",
    "keywords": [],
    "example_input_prefix": "\nEN: ",
    "example_output_prefix": "\nRU: ",
    "examples": [
        {"input": "no", "target": "нет"},
        {"input": "yes", "target": ["да", "ага"]},
        {"input": "", "target": "x"},
    ],
}


def rows(*tasks: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [(f"f, line {number}", task) for number, task in enumerate(tasks, start=1)]


def test_the_layout_is_bigbenchs() -> None:
    grass, flag = data.documents(rows(CHOICE))
    assert utils.doc_to_text(grass) == "Name the colour.\n\nQ: Grass?\n  choice: green\n  choice: red\nA:"
    assert grass["references"] == ["green"]
    assert flag["references"] == ["red", "blue"], "all choices that score highest"
    assert (flag["task"], flag["category"], flag["id"]) == ("games/colours", "common sense", "games/colours/2")
    no, yes, empty = data.documents(rows(TEXT))
    assert utils.doc_to_text(no) == "Translate each word:\n\nEN: no\nRU:"
    assert (no["references"], yes["references"], no["category"]) == (["нет"], ["да", "ага"], "none")
    assert empty["question"] == "EN: \nRU:"


@pytest.mark.parametrize("off", [False, "false"])
def test_choices_are_listed_unless_the_task_says_not(off: Any) -> None:
    first = data.documents(rows({**CHOICE, "append_choices_to_input": off}))[0]
    assert first["question"] == "Q: Grass?\nA:"
    named = data.documents(rows({**CHOICE, "choice_prefix": "\n* ", "append_choices_to_input": "true"}))[0]
    assert named["question"] == "Q: Grass?\n* green\n* red\nA:"


def test_a_target_goes_before_the_scores() -> None:
    example = {**CHOICE["examples"][0], "target": "emerald"}
    assert data.documents(rows({**CHOICE, "examples": [example]}))[0]["references"] == ["emerald"]


def test_choices_by_likelihood() -> None:
    grass, flag = data.documents(rows(CHOICE))
    right = utils.process_choice(grass, [(-1.0, True), (-2.0, False)])
    assert (right["acc"], right["acc_norm"], right["multiple_choice_grade"]) == (100, 100, 100)
    split = utils.process_choice(grass, [(-2.5, False), (-2.0, False)])
    assert (split["acc"], split["acc_norm"]) == (0, 100), "green has five bytes: -0.5 a byte, red -0.67"
    mud = utils.process_choice(flag, [(-2.0, False), (-3.0, False), (-1.0, False)])
    assert (mud["acc"], mud["multiple_choice_grade"]) == (0, 25)
    blue = utils.process_choice(flag, [(-2.0, False), (-1.0, False), (-3.0, False)])
    assert (blue["acc"], blue["multiple_choice_grade"]) == (100, 50), "one of the best counts as right"
    assert utils.best_choice(flag) == 0
    assert blue["by_task"]["domain"] == "games/colours"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"description": " "}, "line 1: task games/colours: it has no definition"),
        ({"examples": {}}, "field 'examples' must be a list of objects"),
        ({"examples": [{"input": 1, "target": "a"}]}, "example 1: field 'input' must be text, not 1"),
        ({"examples": [{"input": "a"}]}, "example 1: field 'target' is missing"),
        ({"examples": [{"input": "a", "target": []}]}, "example 1: field 'target' must be a text or a list"),
        ({"examples": [{"input": "a", "target_scores": {}}]}, "example 1: field 'target_scores' must give"),
        ({"examples": [{"input": "a", "target_scores": {"b": "1"}}]}, "'target_scores' must give each choice a number"),
        ({"append_choices_to_input": "maybe"}, "append_choices_to_input='maybe' is not a true/false value"),
    ],
)
def test_a_damaged_task_is_named(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        data.documents(rows({**CHOICE, **changes}))
    assert told in str(caught.value)


def test_texts_alone_offer_no_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMX_DATA_DIR", str(tmp_path))
    (tmp_path / "bigbench").mkdir()
    (tmp_path / "bigbench" / "test.jsonl").write_text(json.dumps(TEXT) + "\n")
    assert len(utils.load()["test"]) == 3
    with pytest.raises(UserError, match="none of the tasks offers choices"):
        utils.load_choice()


def test_the_shipped_tasks_run_in_both_forms() -> None:
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    class Gold(LM):
        tokenizer_name = "fake"

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            return [request.doc["references"][-1] for request in requests]

        def loglikelihood(self, requests: Any, disable_tqdm: bool = False) -> list[Any]:
            best = [request.doc["choices"][utils.best_choice(request.doc)] for request in requests]
            return [
                (-1.0 if request.args[1] == f" {right}" else -900.0, False)
                for request, right in zip(requests, best, strict=True)
            ]

        def loglikelihood_rolling(self, requests: Any) -> Any:
            raise NotImplementedError

    manager = TaskManager(include_path=str(TASKS), include_defaults=False)
    found = simple_evaluate(
        model=Gold(), tasks=["bigbench_mini", "bigbench_mini_choice"], task_manager=manager, bootstrap_iters=0
    )
    assert found is not None
    values = found["results"]["bigbench_mini"]
    assert (values["rougeL,none"], values["exact_match_unicode,none"], values["unscorable,none"]) == (100, 100, 3)
    assert values["sample_len"] == 18
    assert found["results"]["bigbench_mini_choice"]["acc,none"] == 100


def test_the_list_of_tasks_is_bigbench_lite() -> None:
    names = [line for line in (TASKS / "tasks.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(names) == len(set(names)) == 24
