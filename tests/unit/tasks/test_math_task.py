"""The MATH tasks through lm_eval itself: data, prompts, slices, breakdowns, and damaged files."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import lmx_tasks
from lmx_files.errors import UserError
from lmx_metrics.golden import TracedText
from lmx_metrics.math.notation.answer import extract
from lmx_tasks.math import data, utils

TASKS = Path(lmx_tasks.__file__).parent / "math"
ROW = {"problem": "What is 2+3?", "level": "Level 1", "type": "Algebra", "solution": "It is $\\boxed{5}$."}


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LMX_DATA_DIR", raising=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Thirty-five problems, one of each subject and level, under the names of both data sets."""
    rows = [
        {**ROW, "type": subject, "level": f"Level {level}", "solution": f"$\\boxed{{{level}}}$"}
        for subject in data.SUBJECTS.values()
        for level in range(1, 6)
    ]
    write(tmp_path / "lmx_math" / "test.jsonl.gz", rows)
    renamed = [
        {
            "problem": r["problem"],
            "solution": r["solution"],
            "answer": "?",
            "subject": r["type"],
            "level": int(r["level"][-1]),
        }
        for r in rows
    ]
    write(tmp_path / "lmx_math500" / "test.jsonl", renamed)
    return tmp_path


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def manager(**metadata: Any) -> Any:
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(TASKS), include_defaults=False, metadata=metadata)


def evaluate(answers: list[Any], tasks: list[str], **metadata: Any) -> dict[str, Any]:
    """Run tasks with a model that gives `answers` in turn, and return lm_eval's results."""
    from lm_eval.api.model import LM
    from lm_eval.evaluator import simple_evaluate

    class Model(LM):
        tokenizer_name = "fake"

        def generate_until(self, requests: Any, disable_tqdm: bool = False) -> list[Any]:
            return [answers[n % len(answers)] for n in range(len(requests))]

        def loglikelihood(self, requests: Any) -> Any:
            raise NotImplementedError

        loglikelihood_rolling = loglikelihood

    results = simple_evaluate(
        model=Model(), tasks=tasks, task_manager=manager(**metadata), bootstrap_iters=10, log_samples=True
    )
    assert results is not None
    return results


def traced(text: str, finish: str) -> TracedText:
    out = TracedText(text)
    out.trace = SimpleNamespace(tokens=[1], finish=finish, extra={})
    return out


def test_the_shipped_problems_cover_all_subjects_and_levels() -> None:
    rows = data.from_file(TASKS / "data" / "mini.jsonl")
    assert len(rows) >= 40
    assert {(row["type"], row["level"]) for row in rows} == {
        (s, n) for s in data.SUBJECTS.values() for n in data.LEVELS
    }
    assert len({row["problem"] for row in rows}) == len(rows)
    assert all(extract(row["solution"]) == row["answer"] for row in rows)


def test_the_worked_examples_are_no_problems_of_the_test() -> None:
    examples = data.from_file(TASKS / "data" / "examples.jsonl")
    assert len(examples) == 4
    assert not {row["problem"] for row in examples} & {
        row["problem"] for row in data.from_file(TASKS / "data" / "mini.jsonl")
    }
    assert all("The final answer is" in row["solution"] for row in examples)


def test_gold_solutions_are_right_by_every_metric() -> None:
    rows = data.from_file(TASKS / "data" / "mini.jsonl")
    values = evaluate([row["solution"] for row in rows], ["lmx_math_mini"])["results"]["lmx_math_mini"]
    assert values["math_equal,none"] == values["exact_match,none"] == values["parse_rate,none"] == 1
    assert "truncated,none" not in values, "a plain text does not tell why it ended"


def test_the_trace_and_the_breakdowns_reach_the_results(folder: Path) -> None:
    answers = [traced("\\boxed{1}", "eos"), traced("well", "length"), *[traced("\\boxed{0}", "eos")] * 3]
    values = evaluate(answers, ["lmx_math"], data_dir=str(folder))["results"]["lmx_math"]
    assert values["math_equal,none"] == values["truncated,none"] == pytest.approx(0.2)
    assert values["parse_rate,none"] == pytest.approx(0.8)
    assert values["math_equal_stderr,none"] == pytest.approx((0.16 / 34) ** 0.5)
    levels = json.loads(json.dumps(values["by_level,none"]))
    assert [(row["domain"], row["n"], row["math_equal"], row["truncated"]) for row in levels[:3]] == [
        ("Level 1", 7, 1.0, 0.0),
        ("Level 2", 7, 0.0, 1.0),
        ("Level 3", 7, 0.0, 0.0),
    ]
    subjects = json.loads(json.dumps(values["by_subject,none"]))
    assert [row["domain"] for row in subjects] == sorted(data.SUBJECTS.values())
    assert all(row["n"] == 5 and row["math_equal"] == pytest.approx(0.2) for row in subjects)
    assert subjects[0]["math_equal_stderr"] == pytest.approx(0.2)


def test_the_groups_hold_the_same_problems_as_the_whole(folder: Path) -> None:
    results = evaluate(["\\boxed{1}"], ["lmx_math_subjects", "lmx_math_levels"], data_dir=str(folder))
    counts = {name: len(samples) for name, samples in results["samples"].items()}
    assert counts == {f"lmx_math_{s}": 5 for s in data.SUBJECTS} | {f"lmx_math_level_{n}": 7 for n in range(1, 6)}
    for group in ("lmx_math_subjects", "lmx_math_levels"):
        assert results["groups"][group]["math_equal,none"] == pytest.approx(0.2)
    assert results["results"]["lmx_math_level_1"]["math_equal,none"] == 1
    for name, samples in results["samples"].items():
        slices = {sample["doc"]["type"] for sample in samples}, {sample["doc"]["level"] for sample in samples}
        assert 1 in map(len, slices), name


def test_math500_reads_its_own_field_names(folder: Path) -> None:
    docs = list(manager(data_dir=str(folder)).load(["lmx_math500"])["tasks"]["lmx_math500"].eval_docs)
    assert Counter(doc["level"] for doc in docs) == dict.fromkeys(data.LEVELS, 7)
    assert docs[6] == {
        **ROW,
        "type": "Counting & Probability",
        "level": "Level 2",
        "solution": "$\\boxed{2}$",
        "answer": "2",
    }


def test_zero_shot_asks_for_a_box_and_few_shot_shows_four(folder: Path) -> None:
    zero = evaluate(["x"], ["lmx_math"], data_dir=str(folder))["samples"]["lmx_math"][0]["arguments"][0]
    assert zero[0].startswith("What is 2+3?\n\n")
    assert zero[0].endswith("\\boxed{}.")
    assert zero[1]["until"] == []
    few = evaluate(["x"], ["lmx_math_4shot"], data_dir=str(folder))["samples"]["lmx_math_4shot"][0]["arguments"][0]
    assert few[0].count("Problem:\n") == few[0].count("Solution:") == 5
    assert few[0].count("The final answer is $") == 4
    assert few[0].endswith("Problem:\nWhat is 2+3?\n\nSolution:")
    assert few[1]["until"] == ["\nProblem:"]


def test_several_samples_are_averaged_by_problem() -> None:
    doc = {**ROW, "answer": "5"}
    values = utils.process_results(doc, [["\\boxed{5}", "\\boxed{10/2}", "5", "\\boxed{6}"]])
    assert values["math_equal"] == 0.5
    assert values["exact_match"] == 0.25
    assert values["parse_rate"] == 0.75
    assert values["by_level"] == {"domain": "Level 1", "math_equal": 0.5, "exact_match": 0.25, "parse_rate": 0.75}


def test_every_metric_is_declared() -> None:
    task = manager().load(["lmx_math_mini"])["tasks"]["lmx_math_mini"]
    values = utils.process_results({**ROW, "answer": "5"}, [traced("\\boxed{5}", "eos")])
    assert set(task.aggregation()) == set(values)
    assert task.VERSION == 2.0


def test_data_come_from_the_environment_variable(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMX_DATA_DIR", str(folder))
    assert len(utils.load_math()["test"]) == 35
    assert len(utils.load_math(subject="geometry")["test"]) == 5
    assert len(utils.load_mini()["test"]) == 42, "a folder without lmx_math_mini leaves the shipped problems"


def test_your_own_problems_take_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    write(tmp_path / "lmx_math_mini" / "mini.jsonl", [ROW])
    assert utils.load_mini(data_dir=str(tmp_path))["test"]["answer"] == ["5"]


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (b'{"problem": "p"', "line 2: not valid JSON at character 16. Is the line truncated?"),
        (b"\xff\xfe", "line 2: not UTF-8 at byte 1"),
        (b"[1]", "line 2: expected a JSON object"),
        (json.dumps({k: v for k, v in ROW.items() if k != "level"}).encode(), "line 2: field 'level' is missing"),
        (json.dumps(ROW | {"level": "Level 6"}).encode(), "line 2: field 'level' must be one of Level 1"),
        (json.dumps(ROW | {"level": True}).encode(), "line 2: field 'level' must be text"),
        (json.dumps(ROW | {"type": "Algebr"}).encode(), "line 2: field 'type' 'Algebr': did you mean 'Algebra'?"),
        (json.dumps(ROW | {"problem": " "}).encode(), "line 2: field 'problem' must be text that is not empty"),
        (json.dumps(ROW | {"solution": "It is 5."}).encode(), "line 2: field 'solution' holds no answer"),
        (json.dumps(ROW | {"solution": "$\\boxed{5$"}).encode(), "line 2: field 'solution' holds no answer"),
    ],
)
@pytest.mark.parametrize("name", ["test.jsonl", "test.jsonl.gz"])
def test_a_damaged_row_is_one_clear_error(tmp_path: Path, name: str, second: bytes, message: str) -> None:
    path = tmp_path / name
    raw = json.dumps(ROW).encode() + b"\n" + second + b"\n"
    path.write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    with pytest.raises(UserError) as error:
        data.from_file(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_an_archive_that_breaks_off_is_told(tmp_path: Path) -> None:
    path = tmp_path / "test.jsonl.gz"
    rows = [{**ROW, "problem": f"{n} {hash(str(n))}"} for n in range(2000)]
    write(path, rows)
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(UserError, match=r"test\.jsonl\.gz, line \d{3,}: not a whole gzip file"):
        data.from_file(path)
    path.write_bytes(b"no gzip")
    with pytest.raises(UserError, match="line 1: not a whole gzip file"):
        data.from_file(path)


def test_missing_and_empty_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "lmx_math").mkdir()
    with pytest.raises(UserError, match=r"cannot read .*lmx_math/test\.jsonl: No such file"):
        utils.load_math(data_dir=str(tmp_path))
    (tmp_path / "lmx_math" / "test.jsonl").write_text("\n")
    with pytest.raises(UserError, match="is empty"):
        utils.load_math(data_dir=str(tmp_path))
    with pytest.raises(UserError, match="there is no folder"):
        utils.load_500(data_dir=str(tmp_path / "none"))


def test_a_file_without_the_slice_is_told(tmp_path: Path) -> None:
    write(tmp_path / "lmx_math" / "test.jsonl", [ROW])
    with pytest.raises(UserError, match="none of the 1 problems is of Geometry"):
        utils.load_math(subject="geometry", data_dir=str(tmp_path))
    with pytest.raises(UserError, match="did you mean 'geometry'"):
        utils.load_math(subject="geometri", data_dir=str(tmp_path))


def test_the_hub_is_asked_for_the_slice_and_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(repository: str, config: str | None, split: str, revision: str | None) -> list[dict[str, Any]]:
        asked.append((repository, config, split, revision))
        return [{**ROW, "type": data.SUBJECTS.get(config or "", "Algebra")}]

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    assert len(utils.load_math(revision="abc")["test"]) == 7
    assert asked == [("EleutherAI/hendrycks_math", subject, "test", "abc") for subject in data.SUBJECTS]
    asked.clear()
    utils.load_math(subject="geometry")
    utils.load_500()
    assert asked == [
        ("EleutherAI/hendrycks_math", "geometry", "test", "21a5633873b6a120296cce3e2df9d5550074f4a3"),
        ("HuggingFaceH4/MATH-500", None, "test", "6e4ed1a2a79af7d8630a6b768ec859cb5af4d3be"),
    ]


def test_without_a_hub_the_error_names_the_mend(monkeypatch: pytest.MonkeyPatch) -> None:
    def load_dataset(*_args: Any, **_kwargs: Any) -> None:
        raise ConnectionError("no network\nand more")

    monkeypatch.setattr("datasets.load_dataset", load_dataset)
    with pytest.raises(UserError, match=r"cannot be read from the Hub \(no network\).*<folder>/lmx_math/test\.jsonl"):
        utils.load_math()
    with pytest.raises(UserError, match="revision must be"):
        utils.load_math(revision=7)
