"""constraint50 through lm_eval itself: prompts, loading, scoring with a trace, repeats, damaged data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lmx_tasks
from lmx_files.errors import UserError
from lmx_metrics import format_score, structure
from lmx_metrics.aggregation import average, by_domain, domain_rows
from lmx_metrics.golden import TracedText
from lmx_metrics.structure import DEFAULT_SPEC as SPEC
from lmx_tasks.constraint50 import utils

TASKS = Path(lmx_tasks.__file__).parent / "constraint50"
GOOD = (
    "Goal\nFind out why.\nControls\n- One.\n- Two.\nReadout\n- Three.\n- Four.\n"
    "Analysis\n- Five.\n- Six.\nPitfalls\n- Seven.\n- Eight.\n<END>"
)


def traced(text: str, finish: str = "eos", n: int = 60) -> TracedText:
    out = TracedText(text)
    out.trace = SimpleNamespace(tokens=list(range(n)), finish=finish, extra={})
    return out


def manager(**metadata: Any) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS), include_defaults=False, metadata=metadata)


def evaluate(answer: Callable[[int], str], task: str = "constraint50", **options: Any) -> dict[str, Any]:
    """Run a task with a model whose nth answer is `answer(n)`, and return lm_eval's results."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate

    class Model(LM):
        tokenizer_name = "fake"
        asked: list[tuple[str, dict[str, Any]]]

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[str]:
            self.asked = [request.args for request in requests]
            return [answer(n) for n in range(len(requests))]

        def apply_chat_template(self, chat_history: Any, add_generation_prompt: bool = True) -> str:
            return "".join(f"[{m['role']}]{m['content']}" for m in chat_history) + "[assistant]"

        def loglikelihood(self, requests: Any) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    model = Model()
    results = simple_evaluate(
        model=model, tasks=[task], task_manager=manager(), bootstrap_iters=10, log_samples=True, **options
    )
    assert results is not None
    return {**results, "asked": model.asked}


def test_the_prompts() -> None:
    rows = utils.load_jsonl(TASKS / "prompts.jsonl", utils.FIELDS)
    assert len(rows) == 50
    assert len({row["prompt"] for row in rows}) == 50
    assert len({row["domain"] for row in rows}) == 20
    for row in rows:
        assert 60 <= len(row["prompt"]) <= 220
        assert row["prompt"].endswith(".")
        assert utils.doc_to_text(row).endswith("\n\n" + utils.SEGMENT)


def test_the_segment_names_what_is_judged() -> None:
    assert ", ".join(SPEC.headings) in utils.SEGMENT
    assert f"under {SPEC.max_tokens} tokens" in utils.SEGMENT
    assert utils.SEGMENT.endswith(f"The last line is exactly {SPEC.end_marker}")
    assert (SPEC.goal_sentences, SPEC.bullets) == ((1, 2), (2, 4))
    assert "one or two sentences" in utils.SEGMENT
    assert "two to four bullets" in utils.SEGMENT


@pytest.mark.parametrize(
    ("name", "limit", "repeats"),
    [
        ("constraint50", 256, 1),
        ("constraint50_long", 512, 1),
        ("constraint50_repeats", 256, 5),
        ("constraint50_seed", 256, 1),
        ("constraint50_z0", 256, 1),
    ],
)
def test_lm_eval_loads_the_task(name: str, limit: int, repeats: int) -> None:
    task = manager().load([name])["tasks"][name]
    settings = {"until": [], "max_gen_toks": limit, "do_sample": True, "temperature": 0.7, "top_p": 0.95}
    assert task.config.generation_kwargs == settings
    assert task.config.repeats == repeats
    version = 1.0 if name in ("constraint50_seed", "constraint50_z0") else 2.0
    assert task.config.metadata["version"] == task.VERSION == version
    assert len(task.eval_docs) == 50


def test_the_tag_finds_all_variants() -> None:
    names = {f"constraint50{kind}" for kind in ("", "_long", "_repeats", "_seed", "_z0")}
    assert set(manager().load(["lmx"])["tasks"]) == names


def test_every_metric_is_declared_with_its_direction() -> None:
    task = manager().load(["constraint50"])["tasks"]["constraint50"]
    doc = {"id": "a", "domain": "b", "prompt": "c"}
    assert set(task.aggregation()) == set(utils.process_results(doc, [[GOOD, GOOD]]))
    direction = task.higher_is_better()
    assert direction["all_strict"] is True
    assert direction["chars_after_marker"] is direction["truncated_before_marker"] is False
    assert direction["n_tokens"] is None


def test_the_segment_of_the_study_asks_for_what_its_score_wants() -> None:
    for heading in SPEC.headings:
        assert f"{heading}:" in utils.SEED_SEGMENT
        assert f"{heading}:" not in utils.SEGMENT
    rules = utils.SEGMENT.splitlines()[1:]
    assert utils.SEED_SEGMENT.splitlines()[1:] == rules  # the same rules, but for the headings
    assert rules[-2:] == utils.Z0_SEGMENT.splitlines()
    for example in utils.load_prompts()["examples"]:
        answer = utils.doc_to_target_seed(example)
        assert format_score.score(answer)["format_score_0_5"] == 5
        assert structure.score(answer)["all_strict"] == 1
        assert format_score.score(utils.doc_to_target(example))["format_score_0_5"] < 5


def test_the_study_s_layout_through_lm_eval() -> None:
    answer = GOOD.replace("\n", ":\n", 1)
    for heading in SPEC.headings[1:]:
        answer = answer.replace(f"\n{heading}\n", f"\n{heading}:\n")
    results = evaluate(lambda n: traced(answer if n else GOOD), task="constraint50_seed", limit=2, num_fewshot=1)
    values = results["results"]["constraint50_seed"]
    assert (values["format_score_0_5,none"], values["all_strict,none"]) == ((5 + 2) / 2, 1)
    assert "Readout:\n- " in results["asked"][0][0]


def test_without_a_layout_only_length_and_marker_count() -> None:
    answers = ["Warm water wakes seeds.\n<END>", "Warm water wakes seeds. <END>"]
    results = evaluate(lambda n: traced(answers[n], n=40), task="constraint50_z0", limit=2)
    values = results["results"]["constraint50_z0"]
    assert (values["all_strict,none"], values["end_marker_strict,none"], values["length_strict,none"]) == (0.5, 0.5, 1)
    assert not any(name.startswith(("headings", "layout_score", "format_")) for name in values)
    assert results["asked"][0][0].endswith(f".\n\n{utils.Z0_SEGMENT}")
    task = manager().load(["constraint50_z0"])["tasks"]["constraint50_z0"]
    doc = {"id": "a", "domain": "b", "prompt": "c"}
    assert set(task.aggregation()) == set(utils.process_results_z0(doc, [[GOOD, GOOD]]))


def test_the_trace_reaches_the_metrics() -> None:
    results = evaluate(lambda n: traced(GOOD) if n % 2 else traced("Goal\nToo long", "length", 256), limit=6)
    values = results["results"]["constraint50"]
    assert values["all_strict,none"] == values["stop_eos,none"] == values["stop_length,none"] == 0.5
    assert values["truncated_before_marker,none"] == 0.5
    assert values["n_tokens,none"] == 158
    assert values["tokens_estimated,none"] == values["stop_unknown,none"] == 0
    assert values["all_strict_stderr,none"] == pytest.approx(0.2236, abs=1e-4)
    rows = json.loads(json.dumps(values["by_domain,none"]))
    assert [(row["domain"], row["n"], row["all_loose"]) for row in rows] == [
        ("genomics", 3, pytest.approx(1 / 3)),
        ("proteomics", 3, pytest.approx(2 / 3)),
    ]
    sample = results["samples"]["constraint50"][1]
    assert sample["filtered_resps"] == [GOOD]
    assert sample["all_strict"] == 1.0


def test_the_table_has_one_short_row_for_all_domains() -> None:
    from lm_eval.utils import make_table

    table = make_table(evaluate(lambda n: GOOD if n % 3 else ""))
    lines = table.splitlines()
    assert len(lines) < 45
    assert max(map(len, lines)) < 150
    assert sum("over 20 domains" in line for line in lines) == 1


def test_repeats_are_averaged_by_prompt() -> None:
    # two prompts of five samples: the first passes 3 of 5, the second always
    results = evaluate(lambda n: traced(GOOD if n >= 5 or n < 3 else "no"), task="constraint50_repeats", limit=2)
    values = results["results"]["constraint50_repeats"]
    assert values["all_loose,none"] == pytest.approx(0.8)
    assert values["all_loose_stderr,none"] == pytest.approx(0.2)
    assert (values["reliable_loose,none"], values["reliable_strict,none"], values["any_loose,none"]) == (
        0.5,
        0.5,
        1,
    )
    assert values["stop_eos,none"] == 1
    assert values["sample_len"] == 2


@pytest.mark.parametrize("chat", [False, True])
def test_the_prompt_with_and_without_a_chat_template(chat: bool) -> None:
    [(prompt, settings)] = evaluate(lambda n: GOOD, limit=1, apply_chat_template=chat)["asked"]
    row = utils.load_jsonl(TASKS / "prompts.jsonl", utils.FIELDS)[0]
    text = utils.doc_to_text(row)
    assert prompt == (f"[user]{text}[assistant]" if chat else text)
    assert settings["until"] == []


ROW = {"id": "a", "domain": "b", "prompt": "c"}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (json.dumps(ROW)[:-9], "line 1: not valid JSON at character"),
        (json.dumps(ROW) + "\n" + json.dumps(ROW), "line 2: id 'a' was used on line 1"),
        (json.dumps({**ROW, "id": ""}), "line 1: field 'id' must be text that is not empty, not ''"),
        (json.dumps({**ROW, "prompt": 3}), "line 1: field 'prompt' must be text that is not empty, not 3"),
        ('\n{"id": "a", "text": "b"}', "line 2: field 'domain' is missing. Found: id, text"),
        ("{}", "line 1: field 'id' is missing. Found: nothing"),
        ("[1]", "line 1: expected a JSON object with id, domain, prompt, got list"),
        ("[" * 100_000, "line 1: not valid JSON"),
        ("", "is empty"),
        ("\n \n", "is empty"),
        (
            json.dumps(ROW).encode() + b"\n" + '{"id": "\xe9"}'.encode("latin-1"),
            "line 2: not UTF-8 at byte 9",
        ),
    ],
)
def test_a_damaged_file_gives_one_line(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "constraint50" / "prompts.jsonl"
    path.parent.mkdir()
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(UserError) as error:
        manager(data_dir=str(tmp_path)).load(["constraint50"])
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_another_data_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(**metadata: Any) -> int:
        return len(utils.load_prompts(version=1.0, **metadata)["test"])

    folder = tmp_path / "constraint50"
    with pytest.raises(UserError, match=r"data_dir: there is no folder .*holds constraint50/prompts\.jsonl"):
        count(data_dir=str(tmp_path / "absent"))
    with pytest.raises(UserError, match=r"cannot read .*prompts\.jsonl: No such file"):
        count(data_dir=str(tmp_path))
    with pytest.raises(UserError, match="must be the path of a folder, not 3"):
        count(data_dir=3)
    monkeypatch.setenv("LMX_DATA_DIR", str(tmp_path))
    assert count() == 50  # the folder holds other tasks' data
    folder.mkdir()
    with pytest.raises(UserError, match="cannot read"):
        count()
    (folder / "prompts.jsonl").write_text(json.dumps({**ROW, "source": "more fields are fine"}), encoding="utf-8")
    assert count() == count(data_dir=str(tmp_path)) == 1
    monkeypatch.setenv("LMX_DATA_DIR", str(tmp_path / "absent"))
    with pytest.raises(UserError, match="LMX_DATA_DIR: there is no folder"):
        count()
    assert count(data_dir=str(tmp_path)) == 1  # what is asked for comes first


def test_aggregation_helpers() -> None:
    table = by_domain([{"domain": "b", "x": 1}, {"domain": "a", "x": 0}, {"domain": "b", "x": 0}])
    assert table == ({"domain": "a", "n": 1, "x": 0.0}, {"domain": "b", "n": 2, "x": 0.5})
    assert str(table) == "x 0.00 to 0.50 over 2 domains"
    assert str(by_domain([])) == "no domains"
    assert average([{"x": 1.0}, {"x": 2.0}]) == {"x": 1.5}
    with pytest.raises(ValueError, match="no samples"):
        average([])


def test_the_worked_examples_pass_every_constraint_and_are_no_prompts_of_the_test():
    splits = utils.load_prompts()
    prompts = set(splits["test"]["prompt"])
    for example in splits["examples"]:
        scores = structure.score(utils.doc_to_target(example))
        assert scores["all_strict"] == 1
        assert example["prompt"] not in prompts


def test_breakdowns_take_the_metrics_of_all_rows():
    """Whichever comes first: a metric that only some texts have (their end is known, say) is a mean over those."""
    items = [
        {"domain": "a", "m": 1.0},
        {"domain": "a", "m": 0.0, "late": 1.0},
        {"domain": "b", "late": 0.0},
        {"domain": "a", "m": 1.0, "late": None},
    ]
    first, second = domain_rows(items, stderr=True)
    assert first == {"domain": "a", "n": 3, "m": pytest.approx(2 / 3), "m_stderr": pytest.approx(1 / 3), "late": 1.0,
                     "late_n": 1}  # fmt: skip
    assert second == {"domain": "b", "n": 1, "late": 0.0}
    assert [row["n"] for row in domain_rows(items[::-1])] == [3, 1]
    assert "0.00 to 1.00" in str(by_domain([{"domain": d, "m": v} for d, v in (("a", 0.0), ("b", 1.0))]))


def test_unanimous_cells_have_no_standard_error():
    (row,) = domain_rows([{"domain": "a", "m": 1.0}] * 3, stderr=True)
    assert row == {"domain": "a", "n": 3, "m": 1.0}


def test_average_does_not_depend_on_which_sample_comes_first():
    rows = [{"m": 1.0}, {"m": 0.0, "truncated": 1.0}]
    assert average(rows) == average(rows[::-1]) == {"m": 0.5}
