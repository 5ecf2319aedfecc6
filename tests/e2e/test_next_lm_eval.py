"""A short end-to-end set for a line of lm_eval beside the pinned one: `make test-next` runs it on the newest 0.5."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TASKS = [
    "constraint_tiny", "category_counting_tiny", "category_counting_membership", "category_counting_partitioned",
    "lmx_math_mini",
]  # fmt: skip
MODELS = {
    "ar": "pretrained=tiny-base",
    "guided": "pretrained=tiny-base,oracle=tiny-oracle",
}
pytestmark = pytest.mark.full  # `make test-next` names this file, so it runs there at any rate
VERSION = importlib.metadata.version("lm_eval")


def start(folder, *command):
    """Run one of the commands beside Python; return what it printed."""
    program, *arguments = command
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "Traceback" not in done.stderr, done.stderr[-4000:]
    return done.stdout


def results_of(folder):
    (file,) = folder.rglob("results_*.json")
    return json.loads(file.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Evaluate `ar` by `lm_eval` and `guided` by `lmx run`, both on a group of all tasks; return the two folders."""
    home = tmp_path_factory.mktemp("next")
    (home / "tasks").mkdir()
    (home / "tasks" / "all.yaml").write_text(json.dumps({"group": "all_of_them", "task": TASKS}))
    common = ["--tasks", "all_of_them", "--include_path", "tasks", "--limit", "2", "--log_samples"]
    common += ["--gen_kwargs", "max_gen_toks=48"]
    for model, program in (("ar", ["lm_eval", "run"]), ("guided", ["lmx", "run"])):
        start(home, *program, "--model", model, "--model_args", MODELS[model], *common, "--output_path", model)
    return home


@pytest.mark.parametrize("model", MODELS)
def test_every_task_has_its_values_and_tables(runs, model):
    results = results_of(runs / model)
    assert results["lm_eval_version"] == VERSION
    by_task = {name.rsplit("::", 1)[-1]: values for name, values in results["results"].items()}
    assert set(TASKS) <= set(by_task)
    for task, table in (("constraint_tiny", "by_domain"), ("category_counting_tiny", "by_count")):
        assert isinstance(by_task[task][f"{table},none"], list)
        assert by_task[task][f"{table}_stderr,none"] == "N/A"
    assert isinstance(by_task["lmx_math_mini"]["math_equal_stderr,none"], float)
    directions = {name.rsplit("::", 1)[-1]: known for name, known in results["higher_is_better"].items()}
    assert directions["constraint_tiny"]["n_tokens"] is None
    assert directions["constraint_tiny"]["solved"] is True
    assert results["config"]["decoding"]["method"] == model


@pytest.mark.parametrize("model", MODELS)
def test_rescoring_changes_nothing(runs, model):
    printed = start(runs, "lmx", "rescore", model, "-o", f"again_{model}", "--include-path", "tasks")
    rows = [line for line in printed.splitlines() if line.split()[-2:-1] == ["of"]]
    assert len(rows) > 40
    assert [row for row in rows if not row.endswith(" 0 of 2")] == []


def test_both_runs_are_compared_by_the_tasks_names(runs):
    printed = start(runs, "lmx", "compare", "ar", "guided")
    for task in TASKS:
        assert f"\n{task} " in printed
    assert "only in" not in printed


def test_documents_asked_for_are_logged_as_themselves(runs):
    asked = json.dumps({"category_counting_tiny": [5, 2]})
    more = ["--tasks", "category_counting_tiny", "--samples", asked, "--log_samples", "--output_path", "asked"]
    start(runs, "lmx", "run", "--model", "scripted", *more)
    (file,) = (runs / "asked").rglob("samples_*.jsonl")
    samples = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [sample["doc_id"] for sample in samples] == [2, 5]
    from lmx_tasks.category_counting.utils import HERE, load_items

    items = load_items(HERE / "data" / "tiny.jsonl")
    assert [sample["doc"]["prompt"] for sample in samples] == [items[2]["prompt"], items[5]["prompt"]]


def test_plugins_and_their_tasks_are_found(runs):
    assert "broken" not in start(runs, "lmx", "plugins")
    listed = start(runs, "lm_eval", "ls", "tasks")
    for task in TASKS:
        assert f"|{task} " in listed
