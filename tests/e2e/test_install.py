"""lmx and a third-party plugin, installed from their wheels and used from an empty folder as a user would."""

import json
import shutil

import pytest

from tests.e2e.environments import ROOT, Environment, build_wheel

pytestmark = [pytest.mark.slow, pytest.mark.full]

SEES = """
import lm_eval.models
from lm_eval.api.registry import model_registry
from lm_eval.tasks import TaskManager
tasks = TaskManager(include_defaults=False).all_tasks
print([name in model_registry for name in ("hf", "guided", "echo")])
print([name in tasks for name in ("constraint50", "backwards")])
"""
EVERYTHING = "[True, True, True]\n[True, True]\n"
LM_EVAL_ONLY = "[True, False, False]\n[False, False]\n"


@pytest.fixture(scope="module")
def wheels(tmp_path_factory):
    target = tmp_path_factory.mktemp("wheels")
    sources = {"lmx": ROOT, "example": ROOT / "tests/plugin_pkg", "broken": ROOT / "tests/plugin_pkg_broken"}
    return {name: build_wheel(source, target) for name, source in sources.items()}


@pytest.fixture(scope="module")
def installed(wheels, tmp_path_factory):
    """An environment with lmx, a good plugin package and a broken one."""
    env = Environment.create(tmp_path_factory.mktemp("installed"))
    env.install(*wheels.values())
    return env


def test_lm_eval_lists_our_tasks_and_theirs(installed):
    done = installed.run("lm_eval", "ls", "tasks")
    assert done.returncode == 0, done.stderr
    for task in ("constraint50", "backwards", "hellaswag"):
        assert f"|{task} " in done.stdout.replace("| ", "|"), f"{task} is not listed"
    assert "'broken-tasks' of lmx-broken 0.0.1 cannot be loaded" in done.stderr
    assert "Traceback" not in done.stderr


def test_their_model_task_and_metric_give_a_result(installed):
    done = installed.run("lm_eval", "--model", "echo", "--tasks", "backwards", "--output_path", "out", "--log_samples")
    assert done.returncode == 0, done.stderr
    (results,) = installed.work.glob("out/*/results_*.json")
    scores = json.loads(results.read_text())["results"]["backwards"]
    assert scores["exact_match,none"] == 0.75
    assert scores["vowel_share,none"] == pytest.approx(0.5375)
    assert json.loads(results.read_text())["higher_is_better"]["backwards"]["vowel_share"] is True
    assert len(next(installed.work.glob("out/*/samples_*.jsonl")).read_text().splitlines()) == 4
    for name in ("'gone'", "'misspelt'", "'hf'"):
        assert f"left out models plugin {name} of lmx-broken 0.0.1" in done.stderr
    assert "'broken' of" not in done.stderr, "a broken plugin that nobody asked for was imported"


def test_broken_model_that_is_asked_for_is_one_clear_line(installed):
    done = installed.run("python", "-m", "lm_eval", "--model", "broken", "--tasks", "backwards")
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("lmx: error:")]
    assert "'broken' of lmx-broken 0.0.1" in line
    assert "the engine is missing a bolt" in line
    assert "pip uninstall lmx-broken" in line


def test_unwritable_output_is_found_before_anything_is_loaded(installed):
    (installed.work / "file").write_text("")
    done = installed.run("lm_eval", "--model", "broken", "--tasks", "backwards", "--output_path", "file/out")
    assert done.returncode != 0
    assert done.stderr.splitlines()[-1].startswith("lmx: error: results cannot be written to output_path 'file/out'")
    assert "Traceback" not in done.stderr
    assert "bolt" not in done.stderr


def test_lmx_plugins_lists_without_importing(installed):
    rows = {row["name"]: row for row in json.loads(installed.run("lmx", "plugins", "--json").stdout)}
    assert rows["echo"]["distribution"] == "lmx-example"
    assert rows["echo"]["version"] == "1.2.3"
    assert rows["vowel_share"]["group"] == "lm_eval.metrics"
    assert rows["hf"]["status"] == "shadowed by built-in"
    assert rows["broken"]["status"] == "ok"
    checked = installed.run("lmx", "plugins", "--check", "--json")
    assert checked.returncode == 1
    rows = {row["name"]: row for row in json.loads(checked.stdout)}
    assert "missing a bolt" in rows["broken"]["status"]
    assert rows["echo"]["status"] == "ok"


def test_no_autoload(installed):
    assert installed.python(SEES).stdout == EVERYTHING
    assert installed.python(SEES, LMX_NO_AUTOLOAD="1").stdout == LM_EVAL_ONLY


def test_child_processes_of_accelerate_see_plugins(installed):
    (installed.work / "sees.py").write_text(SEES)
    launch = ["python", "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "1", "sees.py"]
    assert installed.run(*launch).stdout == EVERYTHING


def test_editable_install(wheels, tmp_path):
    env = Environment.create(tmp_path)
    env.install(wheels["example"])
    assert env.python(SEES).stdout == LM_EVAL_ONLY
    env.install("-e", ROOT)
    assert env.python(SEES).stdout == EVERYTHING
    done = env.run("python", "-m", "lm_eval", "--model", "echo", "--tasks", "backwards", "--limit", "1")
    assert done.returncode == 0, done.stderr
    assert "vowel_share" in done.stdout


def test_python_starts_cleanly_without_and_with_half_of_lmx(wheels, tmp_path):
    env = Environment.create(tmp_path)
    env.install(wheels["lmx"], wheels["example"])
    shutil.rmtree(env.site / "lmx_plugins")
    half = env.python(SEES)
    assert (half.stdout, half.returncode) == (LM_EVAL_ONLY, 0)
    assert "lmx" not in half.stderr
    env.uninstall("lmx-eval")
    assert not list(env.site.glob("hatch_autorun*"))
    gone = env.run("python", "-c", "import sys; print([f for f in sys.meta_path if 'Lm' in type(f).__name__])")
    assert (gone.stdout, gone.stderr, gone.returncode) == ("[]\n", "", 0)
