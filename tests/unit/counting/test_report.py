"""`lmx counting report`: tables that fit the answers, baselines beside them, and files that programs read."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from typer.testing import CliRunner

from lmx_analysis import sections
from lmx_analysis.counting import baselines, load, output, tables
from lmx_cli.main import app
from lmx_files.errors import UserError
from lmx_tasks.category_counting.variants import questions
from tests.unit.counting.made_run import Model, documents, write_run


@pytest.fixture(scope="module")
def asked():
    docs = documents(120)
    for number, doc in enumerate(docs["category_counting"]):
        doc["source"] = "model" if number % 3 == 0 else "systematic"
    return docs


@pytest.fixture(scope="module")
def run(asked, tmp_path_factory):
    tasks = {**asked, "category_counting_partitioned": questions.partitioned(asked["category_counting"])}
    model = Model(missed=0.1, miscounts=0.2, silent=0.1)

    def answer(doc):
        return doc["answer"] if doc.get("variant") == "partitioned" else model.answer(doc)

    return write_run(tmp_path_factory.mktemp("run"), tasks, answer)


def of(made, name, task="category_counting", items="all"):
    return [row for row in made[name] if row["task"] == task and row["items"] == items]


def test_tables_count_the_answers(run, asked):
    found = load.load([run])
    made = output.make(found)
    table = found.of("count")[0].table
    (head,) = of(made, "overall")
    assert head["accuracy"] == pytest.approx((table["answer"] == table["gold"]).mean())
    assert head["parse_rate"] == pytest.approx(1 - table["answer"].isna().mean())
    for name in ("by_category", "by_count", "by_length"):
        rows = of(made, name)
        assert sum(row["n"] for row in rows) == 120
        assert sum(row["n"] * row["accuracy"] for row in rows) == pytest.approx(120 * head["accuracy"])
        assert all(row["low"] - 1e-9 <= row["accuracy"] <= row["high"] + 1e-9 for row in rows)
    assert sum(row["share"] for row in of(made, "responses")) == pytest.approx(1)
    assert sum(row["right_share"] for row in of(made, "responses")) == pytest.approx(1)
    assert sum(row["share"] for row in of(made, "errors")) == pytest.approx(1)
    assert sum(row["times"] for row in of(made, "confusion")) == 120
    right = [row["times"] for row in of(made, "confusion") if row["answer"] == row["count"]]
    assert sum(right) == table["right"].sum()
    shares = {row["pattern"]: row["share"] for row in of(made, "errors")}
    assert shares["one too few"] + shares["one too many"] > 0.1
    (parts,) = of(made, "parts", "category_counting_partitioned")
    assert parts["total_right"] == parts["parts_right"] == parts["total_is_sum_of_parts"] == 1


def test_sources_stand_apart(run):
    made = output.make(load.load([run]))
    alone = {items: of(made, "overall", items=items)[0]["n"] for items in ("all", "model", "systematic")}
    assert alone == {"all": 120, "model": 40, "systematic": 80}
    assert {row["items"] for row in made["split_kinds"]} == {"all", "model", "systematic"}
    assert {row["items"] for row in made["overall"] if row["task"] == "category_counting_all"} == {"all"}


def test_baselines_are_of_the_same_questions():
    table = pd.DataFrame({"gold": [0, 0, 3, 3, 3, 2], "length": [5, 5, 5, 6, 6, 6]})
    made = {name: list(right) for name, right in baselines.of_numbers(table, "count").items()}
    assert made["majority"] == [0, 0, 1, 1, 1, 0]
    assert made["from_length"] == [1, 1, 0, 1, 1, 0]
    assert made["always_zero"] == [1, 1, 0, 0, 0, 0]
    assert pd.isna(baselines.of_numbers(table, "all")["from_length"]).all()
    words = pd.DataFrame({"member": [True, False, False]})
    assert list(baselines.of_membership(words)["majority"]) == [0, 1, 1]


def test_every_wrong_answer_has_one_pattern():
    table = pd.DataFrame({"gold": [3, 3, 3, 3, 3, 3, 3, 0], "length": 7, "answer": [3, 0, 7, 2, 4, 1, 9, None]})
    table["right"] = table["answer"] == table["gold"]
    found = {row["pattern"]: row["times"] for row in tables.patterns(table)}
    assert found == dict.fromkeys(found, 1)
    assert len(found) == 8


def test_the_command_writes_what_it_says(asked, tmp_path):
    two = {task: asked[task] for task in ("category_counting", "category_counting_membership")}
    run = write_run(tmp_path / "run", two, Model(missed=0.1, miscounts=0.2, silent=0.1).answer)
    done = CliRunner().invoke(app, ["counting", "report", str(run), "-o", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    assert "The error split" in done.stdout
    assert "always zero" in done.stdout
    folder = tmp_path / "out"
    results = json.loads((folder / "benchmark_results.json").read_text())
    assert results["tasks"]["category_counting"]["total"] == 120
    assert set(results["tasks"]["category_counting"]["by_count"]) == {str(count) for count in range(9)}
    examples = json.loads((folder / "examples.json").read_text())
    counted = [each for each in examples if each["task"] == "category_counting"]
    assert sum(each["correct"] for each in counted) == results["tasks"]["category_counting"]["correct"]
    assert all(each["predicted"] is not None for each in counted if each["correct"])
    answers = pd.read_parquet(folder / "category_counting_answers.parquet")
    assert {"own", "kind"} <= set(answers.columns)
    section = sections.read_section(folder / sections.FILE)
    assert section.title == "Counting: hf made"
    assert {"split.png", "category_counting_by_count.png"} <= {picture.file for picture in section.pictures}
    assert all((folder / picture.file).read_bytes().startswith(b"\x89PNG") for picture in section.pictures)
    again = CliRunner().invoke(app, ["counting", "report", str(run), "-o", str(folder), "--no-plots"])
    assert again.exit_code == 0
    assert sections.read_section(folder / sections.FILE).pictures == []


def test_any_counting_run_is_read_alone(asked, tmp_path):
    for task, docs in asked.items():
        folder = write_run(tmp_path / task, {task: docs}, Model().answer)
        made = output.write(tmp_path / f"{task}_report", load.load([folder]), plots=False)
        assert made["membership" if task.endswith("membership") else "overall"][0]["accuracy"] == 1


def test_the_newest_run_of_a_task_counts_and_models_are_not_mixed(asked, tmp_path):
    write_run(tmp_path, asked, Model(silent=1.0).answer, stamp=1)
    write_run(tmp_path, {"category_counting": asked["category_counting"]}, Model().answer, stamp=2, shots=2)
    found = load.load([tmp_path])
    assert found.of("count")[0].table["right"].all()
    assert "ran more than once" in found.notes[0]
    assert any("different numbers of examples" in note for note in found.notes)
    write_run(tmp_path, asked, Model().answer, model="another", stamp=3)
    write_run(tmp_path, {"category_counting": asked["category_counting"]}, Model().answer, stamp=4)
    with pytest.raises(UserError, match="runs of several models"):
        load.load([tmp_path])


def test_an_answer_that_is_read_differently_now_is_told(asked, tmp_path):
    folder = write_run(tmp_path, {"category_counting": asked["category_counting"][:4]}, Model().answer)
    (path,) = folder.glob("samples_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    for sample in samples:
        sample |= {"accuracy": 0.0, "metrics": ["accuracy"]}
    path.write_text("".join(json.dumps(sample) + "\n" for sample in samples))
    assert load.load([folder]).notes == [
        "category_counting: 4 of 4 answers are read differently now: score anew with lmx rescore"
    ]


def test_what_is_no_counting_run_is_one_line(tmp_path, asked):
    with pytest.raises(UserError, match=r"there is no folder or results file"):
        load.load([tmp_path / "none"])
    other = write_run(tmp_path / "other", {"constraint50": [{"prompt": "x"}]}, lambda _: "x")
    with pytest.raises(UserError, match="no category_counting task among constraint50"):
        load.load([other])
    bad = write_run(tmp_path / "bad", {"category_counting": [{"prompt": "x"}]}, lambda _: "x")
    with pytest.raises(UserError, match="not a counting question"):
        load.load([bad])
    silent = write_run(tmp_path / "silent", {"category_counting": asked["category_counting"]}, Model().answer)
    next(silent.glob("samples_*")).unlink()
    with pytest.raises(UserError, match="--log_samples"):
        load.load([silent])


def test_a_report_and_a_set_do_not_write_over_each_other(asked, tmp_path, monkeypatch):
    """`counting` is the report's default folder, and a name that one would give a set."""
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "run", {"category_counting": asked["category_counting"]}, Model().answer)
    for command in (["generate", "-o", "counting", "--n", "20"], ["prune", "counting", "-o", "pruned"]):
        if command[0] == "prune":
            assert CliRunner().invoke(app, ["counting", "validate", "counting", "--no-plots"]).exit_code == 0
        assert CliRunner().invoke(app, ["counting", *command]).exit_code == 0
    before = (tmp_path / "counting" / "examples.json").read_bytes()
    for folder in ("counting", "pruned"):
        done = CliRunner().invoke(app, ["counting", "report", "run", "--no-plots", "-o", folder])
        assert isinstance(done.exception, UserError)
        assert f"{folder} holds a set of counting questions" in str(done.exception)
    assert (tmp_path / "counting" / "examples.json").read_bytes() == before
    for _ in range(2):  # a report takes a report's place
        assert CliRunner().invoke(app, ["counting", "report", "run", "--no-plots", "-o", "told"]).exit_code == 0
    with pytest.raises(UserError, match="told holds what 'lmx counting report' wrote"):
        CliRunner().invoke(app, ["counting", "generate", "-o", "told"], catch_exceptions=False, standalone_mode=False)


def changed(folder, change):
    """Write the samples of a run anew, each as `change` returns it (a list of rows)."""
    (path,) = folder.glob("samples_*.jsonl")
    samples = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for sample in samples for row in change(sample)))
    return load.load([folder])


@pytest.fixture
def counted(asked, tmp_path):
    return write_run(tmp_path / "run", {"category_counting": asked["category_counting"][:12]}, Model().answer)


def test_no_text_of_a_server_is_no_count(counted):
    """As a word, None would say that there are none."""
    (answers,) = changed(counted, lambda row: [row | {"filtered_resps": [None], "resps": [[None]]}]).tasks
    assert answers.table["answer"].isna().all()
    assert (answers.table["text"] == "").all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: [{key: value for key, value in row.items() if "resps" not in key}], "holds no answer"),
        (lambda row: [row | {"filtered_resps": [], "resps": []}], "holds no answer"),
        (lambda row: [row | {"doc": row["doc"] | {"count": 2.5}}], "count 2.5 is no whole number"),
        (lambda row: [row | {"doc": row["doc"] | {"count": "three"}}], "count 'three' is no whole number"),
        (lambda row: [row | {"doc": row["doc"] | {"length": float("inf")}}], "length inf is no whole number"),
        (lambda row: [row | {"doc": row["doc"] | ({"variant": "all"} if row["doc_id"] else {})}], "of another kind"),
    ],
)
def test_samples_that_would_give_a_wrong_number_are_refused(counted, change, message):
    with pytest.raises(UserError, match=message):
        changed(counted, change)


def test_of_several_filters_the_first_is_read_and_told(counted):
    found = changed(
        counted, lambda row: [row | {"filter": "strict"}, row | {"filter": "loose", "filtered_resps": ["9"]}]
    )
    assert found.tasks[0].table["right"].all()
    assert found.notes == [
        "category_counting: its texts passed several filters (strict, loose); read are those of the first"
    ]


def test_runs_of_the_same_task_by_two_models_are_refused(asked, tmp_path):
    """The newest alone would be read, as if the other were an older run of it."""
    for name in ("one", "another"):
        write_run(tmp_path / name, {"category_counting": asked["category_counting"]}, Model().answer, model=name)
    with pytest.raises(UserError, match=r"runs of several models \(hf another, hf one\)"):
        load.load([tmp_path])


def test_one_right_answer_for_all_is_told(tmp_path):
    docs = documents(12, counts=(3,), lengths=(8,))
    run = write_run(tmp_path, {"category_counting": docs["category_counting"]}, Model().answer)
    (said,) = output.conclusions(output.make(load.load([run])))
    assert said.endswith("all questions have one right answer, which a baseline cannot miss")
