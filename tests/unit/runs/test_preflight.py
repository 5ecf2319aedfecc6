"""Slips in names are found before anything heavy is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from lmx_files.errors import UserError, unknown
from lmx_runs import preflight


def test_an_unknown_model_is_one_line_with_the_nearest():
    with pytest.raises(UserError, match=r"unknown --model 'guidd': did you mean 'guided'\?") as caught:
        preflight.check_model("guidd")
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize("name", ["ar", "guided", "hf", "vllm", "local-completions", "scripted"])
def test_models_of_lm_eval_and_of_plugins_pass(name):
    preflight.check_model(name)


@pytest.mark.parametrize(
    ("name", "near"), [("constrain50", "constraint50"), ("gsm9k", "gsm8k"), ("hellaswagg", "hellaswag")]
)
def test_an_unknown_task_is_one_line_with_the_nearest(name, near):
    with pytest.raises(UserError, match=f"unknown task {name!r}: did you mean '{near}'") as caught:
        preflight.check_tasks(["constraint50", name])
    assert len(str(caught.value)) < 250


# Declared in a file, as a group, as a tag, in a template without a suffix, with characters that are rare in names.
KNOWN = [
    "gsm8k",
    "mmlu",
    "leaderboard",
    "acp_bench",
    "bertaqa",
    "truthfulqa-multi",
    "darijammlu_arabic_language_(general)",
]


@pytest.mark.parametrize(
    "names",
    [["constraint50"], ["lmx"], ["lmx_math_part"], KNOWN, ["mmlu_*"], ["*_math_part"], ["gsm8?"], ["gsm[89]k", "*"]],
)
def test_known_tasks_and_patterns_pass(names):
    preflight.check_tasks(names)


@pytest.mark.parametrize("name", ["constrain_t*", "*_no_such_task", "gsm?9k", "gsm[9]q", "x\x1b[31mr", "none[", "a,b"])
def test_patterns_that_nothing_fits_are_found_at_once(name):
    with pytest.raises(UserError, match="unknown task"):
        preflight.check_tasks([name])


def test_files_and_folders_that_are_not_there(tmp_path):
    (tmp_path / "a.yaml").write_text("task: a\n")
    preflight.check_tasks([str(tmp_path / "a.yaml"), str(tmp_path / "*.yaml"), str(tmp_path)])
    for name in ("b.yaml", "b*.yaml"):
        with pytest.raises(UserError, match=r"--tasks .*/b.*yaml: there is no such file"):
            preflight.check_tasks([str(tmp_path / name)])
    with pytest.raises(UserError, match=r"--include_path .*/none: there is no such folder"):
        preflight.check_tasks(["constraint50"], [tmp_path / "none"])


def test_tasks_of_an_included_folder_pass(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: my_own_task\ntag: my_own_tag\noutput_type: generate_until\n")
    with pytest.raises(UserError):
        preflight.check_tasks(["my_own_task"])
    preflight.check_tasks(["my_own_task", "my_own_tag"], [tmp_path])


def test_nothing_heavy_is_imported_for_a_slip():
    code = (
        "import sys\nfrom lmx_cli.main import main\nsys.argv = 'lmx run --model guidd --tasks constraint50'.split()\n"
        "try:\n    main()\nfinally:\n    print({'torch', 'transformers', 'datasets'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip(), done.stderr.count("\n")) == (2, "set()", 1)


def test_long_lists_are_not_printed(monkeypatch):
    names = [f"setting_{number}" for number in range(60)]
    short = str(unknown("setting", "setting_7x", names, "See: lmx ls settings ar"))
    assert short.startswith("unknown setting 'setting_7x': did you mean 'setting_7', ")
    assert short.endswith("? See: lmx ls settings ar")
    assert "LMX_VALID=all" in str(unknown("setting", "nothing like it", names))
    monkeypatch.setenv("LMX_VALID", "all")
    assert "setting_59" in str(unknown("setting", "x", names))


def test_a_long_value_is_cut():
    assert len(str(unknown("task", "x" * 10_000, ["a", "b"]))) < 300
