"""superni and its loss through lm_eval itself: prompts, few-shot examples, scores, breakdowns, damaged files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import lmx_tasks
from lmx_files.errors import UserError
from lmx_metrics import overlap
from lmx_plugins.evaluation.token_counts import Counted
from lmx_tasks import instructions
from lmx_tasks.superni import data

TASKS = Path(lmx_tasks.__file__).parent / "superni"
ROW = {
    "Task": "task1_x",
    "Definition": ["Answer the question"],
    "Categories": ["Word Analogy"],
    "Positive Examples": [{"input": "up", "output": "down"}, {"input": "in?", "output": "out!"}],
    "Instances": [
        {"id": "x-1", "input": " left ", "output": ["right"]},
        {"id": "x-2", "input": "hot:", "output": ["cold", "icy"]},
        {"id": "x-3", "input": "да", "output": ["нет"]},
    ],
}
OTHER = {**ROW, "Task": "task2_y", "Categories": ["Title Generation"], "Positive Examples": []}
OTHER["Instances"] = [{"id": "y-1", "input": "a note", "output": ["Note"]}]


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LMX_DATA_DIR", raising=False)


def folder_of(tmp_path: Path, *rows: Any) -> str:
    (tmp_path / "superni").mkdir(exist_ok=True)
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    (tmp_path / "superni" / "test.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(tmp_path)


class Asked:
    """A model that answers with a function of the request and keeps the requests."""

    def __new__(cls, answer: Any, chat: bool = False) -> Any:
        from lm_eval.api.model import LM

        class Model(LM):
            tokenizer_name = "fake"

            def __init__(self) -> None:
                super().__init__()
                self.requests: list[Any] = []

            def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[Any]:
                self.requests += requests
                return [answer(request) for request in requests]

            loglikelihood = generate_until

            def loglikelihood_rolling(self, requests: Any) -> Any:
                raise NotImplementedError

            def apply_chat_template(self, messages: Any, add_generation_prompt: bool = True) -> str:
                return "".join(f"<{each['role']}>{each['content']}" for each in messages) + "<assistant>\n"

            def chat_template(self, name: Any = False) -> str:
                return "fake"

        return Model()


def evaluate(model: Any, task: str, metadata: dict[str, Any], **options: Any) -> dict[str, Any]:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(TASKS), include_defaults=False, metadata=metadata)
    found = simple_evaluate(model=model, tasks=[task], task_manager=manager, bootstrap_iters=0, **options)
    assert found is not None
    return found


def test_the_prompt_is_the_published_one(tmp_path: Path) -> None:
    model = Asked(lambda request: "right")
    evaluate(model, "superni", {"data_dir": folder_of(tmp_path, ROW)})
    prompts = [request.args[0] for request in model.requests]
    assert prompts[0] == "Answer the question.\n\nInput: left.\n\nOutput:"
    assert prompts[1] == "Answer the question.\n\nInput: hot:\n\nOutput:", "a mark of punctuation ends it already"


@pytest.mark.parametrize(("task", "options"), [("superni", {"num_fewshot": 2}), ("superni_2shot", {})])
def test_examples_are_the_tasks_own_positive_ones(tmp_path: Path, task: str, options: dict[str, Any]) -> None:
    model = Asked(lambda request: "right")
    found = evaluate(model, task, {"data_dir": folder_of(tmp_path, ROW)}, **options)
    assert model.requests[0].args[0] == (
        "Answer the question.\n\nInput: up.\n Output: down.\n\nInput: in?\n Output: out!\n\nInput: left.\n\nOutput:"
    )
    assert found["n-shot"][task] == 2


def test_more_examples_than_a_task_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--num_fewshot 3: task task1_x has 2 positive examples"):
        evaluate(Asked(lambda request: ""), "superni", {"data_dir": folder_of(tmp_path, ROW)}, num_fewshot=3)


@pytest.mark.parametrize("multiturn", [False, True])
def test_a_chat_template_gets_it_all_in_one_message(tmp_path: Path, multiturn: bool) -> None:
    model = Asked(lambda request: "right")
    place = {"data_dir": folder_of(tmp_path, ROW)}
    evaluate(model, "superni", place, num_fewshot=1, apply_chat_template=True, fewshot_as_multiturn=multiturn)
    assert model.requests[0].args[0] == (
        "<user>Answer the question.\n\nInput: up.\n Output: down.\n\nInput: left.\n\nOutput:<assistant>\n"
    )


def test_scores_breakdowns_and_unscorable_rows(tmp_path: Path) -> None:
    answers = {"x-1": "It is right", "x-2": "Icy.", "x-3": "нет", "y-1": ""}
    model = Asked(lambda request: answers[request.doc["id"]])
    found = evaluate(model, "superni", {"data_dir": folder_of(tmp_path, ROW, OTHER)}, log_samples=True)
    values = found["results"]["superni"]
    assert values["exact_match,none"] == pytest.approx(100 / 3), "of three rows: the Russian one has no part"
    assert values["rougeL,none"] == pytest.approx((50 + 100 + 0) / 3)
    assert values["exact_match_unicode,none"] == 50
    assert values["unscorable,none"] == 1
    first, second = values["by_task,none"]
    assert (first["domain"], first["n"], first["rougeL_n"], first["unscorable"]) == ("task1_x", 3, 2, 1)
    assert second["rougeL"] == 0
    assert [row["domain"] for row in values["by_category,none"]] == ["Title Generation", "Word Analogy"]
    russian = next(sample for sample in found["samples"]["superni"] if sample["doc"]["id"] == "x-3")
    assert "rougeL" not in russian
    assert russian["unscorable"] == 1


@pytest.mark.parametrize("chat", [False, True])
def test_the_loss_is_under_the_prompt_of_generation_and_positive(tmp_path: Path, chat: bool) -> None:
    place, options = {"data_dir": folder_of(tmp_path, ROW)}, {"num_fewshot": 1, "apply_chat_template": chat}
    written = Asked(lambda request: "right")
    evaluate(written, "superni", place, **options)
    scored = Asked(lambda request: (-6.0, False))
    scored._encode_pair = lambda context, continuation: (list(context), list(continuation))
    found = evaluate(scored, "superni_loss", place, log_samples=True, **options)
    assert [r.args[0] for r in scored.requests] == [r.args[0] for r in written.requests]
    start = "" if chat else " "
    assert [r.args[1] for r in scored.requests] == [f"{start}right", f"{start}cold", f"{start}нет"]
    expected = [6 / len(r.args[1]) for r in scored.requests]
    assert [sample["loss"] for sample in found["samples"]["superni_loss"]] == pytest.approx(expected)
    assert found["results"]["superni_loss"]["loss,none"] == pytest.approx(sum(expected) / 3)
    assert found["higher_is_better"]["superni_loss"]["loss"] is False


def test_a_model_that_counts_no_tokens_has_no_loss(tmp_path: Path) -> None:
    model = Asked(lambda request: (-6.0, False))
    with pytest.raises(UserError, match=r"document x-1: the loss is a mean over tokens"):
        evaluate(model, "superni_loss", {"data_dir": folder_of(tmp_path, ROW)})
    assert "loglikelihood" not in vars(model), "the model is left as it was"


def test_a_blank_first_reference_has_no_loss(tmp_path: Path) -> None:
    row = {**ROW, "Instances": [*ROW["Instances"], {"id": "x-4", "input": "a", "output": [" ", "b"]}]}
    from lmx_tasks.superni import utils

    place = folder_of(tmp_path, row)
    assert len(utils.load(place)["test"]) == 4
    assert len(utils.load_loss(place)["test"]) == 3


def test_counted_is_the_same_number() -> None:
    value = Counted(-2.5, 3)
    assert (value, value.tokens, json.dumps(value), f"{value}") == (-2.5, 3, "-2.5", "-2.5")
    assert instructions.process_loss({"id": "a", "task": "t", "category": "c"}, [(value, True)])["loss"] == 2.5 / 3


def test_tasks_and_instances_can_be_chosen(tmp_path: Path) -> None:
    rows = data.tasks(folder_of(tmp_path, ROW, OTHER))
    assert [doc["id"] for doc in data.documents(rows, instances=1)] == ["x-1", "y-1"]
    assert [doc["id"] for doc in data.documents(rows, ["task2_y"])] == ["y-1"]
    with pytest.raises(UserError, match="did you mean 'task2_y'"):
        data.documents(rows, "task2_z")
    with pytest.raises(UserError, match="--metadata instances=0 must be a whole number of at least 1"):
        data.documents(rows, instances=0)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{**ROW, "Definition": [""]}], "line 1: task task1_x: it has no definition"),
        ([{k: v for k, v in ROW.items() if k != "Definition"}], "it has no definition"),
        ([ROW, ROW], "line 2: task 'task1_x' stands on line 1 already"),
        ([ROW, {**OTHER, "Instances": ROW["Instances"]}], "instance 'x-1' stands in task1_x and again in task2_y"),
        ([{**ROW, "Instances": None}], "field 'Instances' must be a list of objects, not None"),
        ([{**ROW, "Positive Examples": ["a"]}], "positive example: must be an object"),
        ([{"Definition": ["a"]}], "line 1: field 'Task' is missing"),
        (['{"Task": "cut'], "line 1: not valid JSON at character"),
        (["[1]"], "expected a JSON object"),
        ([], "is empty"),
    ],
)
def test_a_damaged_file_names_line_and_field(tmp_path: Path, rows: list[Any], told: str) -> None:
    with pytest.raises(UserError) as caught:
        data.documents(data.tasks(folder_of(tmp_path, *rows)))
    assert told in str(caught.value)


def test_without_data_the_command_is_named() -> None:
    with pytest.raises(UserError, match=r"lmx data prepare superni SOURCE -o FOLDER"):
        data.tasks(None)


def test_data_that_changed_since_they_were_prepared_are_refused(tmp_path: Path) -> None:
    from lmx_tasks.prepare import prepare

    source = tmp_path / "source.jsonl"
    source.write_text(json.dumps(ROW) + "\n", encoding="utf-8")
    prepare("superni", str(source), tmp_path / "ready")
    assert len(data.documents(data.tasks(str(tmp_path / "ready")))) == 3
    (tmp_path / "ready/superni/test.jsonl.gz").write_bytes(b"other")
    with pytest.raises(UserError, match="is not the file that"):
        data.tasks(str(tmp_path / "ready"))


def test_the_shipped_tasks_score_against_themselves() -> None:
    docs = data.documents(data.mini(None))
    assert len(docs) == 25
    assert len({doc["task"] for doc in docs}) == 6
    assert all(len(doc["examples"]) >= 2 for doc in docs)
    assert all(overlap.score(doc["references"][0], doc["references"])["rougeL"] == pytest.approx(100) for doc in docs)
