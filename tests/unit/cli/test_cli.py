"""The `lmx` command: light, and clear about mistakes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lmx_cli import models
from lmx_cli.main import main
from lmx_files.errors import UserError
from lmx_plugins import discovery, status, task_files
from lmx_plugins.discovery import Plugin

ROOT = Path(__file__).parents[3]
LIGHT = """
import sys
sys.argv = ["lmx", *{arguments!r}]
from lmx_cli.main import main
try:
    main()
finally:
    heavy = {{"torch", "transformers", "lm_eval", "datasets", "numpy"}}
    print(sorted(heavy & set(sys.modules)), file=sys.stderr)
"""


def lmx(*arguments):
    """Run the command in a process of its own, from the checkout."""
    code = LIGHT.format(arguments=arguments)
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)


@pytest.fixture
def run(monkeypatch, capsys):
    """Run the command in this process; return its exit status and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lmx", *arguments])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Two packages: one with a model and tasks, one whose model is broken."""
    (tmp_path / "lmx_test_cli" / "tasks").mkdir(parents=True)
    monkeypatch.syspath_prepend(str(tmp_path))
    found = (
        Plugin("models", "broken", "lmx_test_cli.gone:Model", "bad", "0.1"),
        Plugin("models", "fine", "json:JSONDecoder", "good", "2.0"),
        Plugin("tasks", "own", "lmx_test_cli.tasks", "good", "2.0"),
        Plugin("metrics", "shared_metric", "json:dumps", "good", "2.0"),
    )
    for module in (discovery, status):
        monkeypatch.setattr(module, "find_plugins", lambda: found)
    discovery.all_task_folders.cache_clear()
    yield tmp_path / "lmx_test_cli" / "tasks"
    discovery.all_task_folders.cache_clear()


@pytest.mark.parametrize("arguments", [["--help"], ["plugins"], ["plugins", "--json"], ["ls"], ["--version"]])
def test_nothing_heavy_is_imported(arguments):
    done = lmx(*arguments)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["pluginz"], "unknown command 'pluginz': did you mean 'plugins'?"),
        (["models", "fetsh", "x"], "unknown command 'fetsh': did you mean 'fetch'?"),
        (["ls", "taks"], "unknown kind 'taks': did you mean 'tasks'?"),
        (["models", "fetch", "smollm2-135"], "did you mean 'smollm2-135m'?"),
    ],
)
def test_mistakes_are_one_line_with_the_nearest_name(run, arguments, says):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("lmx: error: ")
    assert says in err
    assert err.count("\n") == 1


def test_traceback_on_request(run, monkeypatch):
    monkeypatch.setenv("LMX_TRACEBACK", "1")
    with pytest.raises(UserError):
        run("pluginz")


def test_plugins_as_json(run, installed):
    code, out, _ = run("plugins", "--json")
    rows = {row["name"]: row for row in json.loads(out)}
    assert code == 0
    assert rows["fine"] == {
        "group": "lm_eval.models",
        "name": "fine",
        "target": "json:JSONDecoder",
        "distribution": "good",
        "version": "2.0",
        "status": "ok",
    }


def test_plugins_check_imports_and_fails_on_a_broken_one(run, installed):
    code, out, _ = run("plugins")
    assert (code, "ModuleNotFoundError" in out) == (0, False)
    code, out, _ = run("plugins", "--check")
    assert code == 1
    assert "ModuleNotFoundError" in out


def test_no_plugins(run, monkeypatch):
    monkeypatch.setattr(status, "find_plugins", lambda: ())
    assert run("plugins") == (0, "no plugins are installed\n", "")


def test_ls_reads_task_files_and_their_includes(run, installed):
    (installed / "_base").write_text("output_type: generate_until\nmetric_list:\n  - metric: own_metric\n")
    (installed / "a.yaml").write_text("include: _base\ntask: a\nprocess_results: !function utils.score\n")
    (installed / "sub").mkdir()
    (installed / "sub" / "b.yaml").write_text("include: ../_base\ntask: b\noutput_type: loglikelihood\n")
    (installed / "g.yaml").write_text("group: both\ntask: [a, b]\n")
    (installed / "loop.yaml").write_text("include: loop.yaml\ntask: loop\n")
    (installed / "broken.yaml").write_text("task: [")
    code, out, _ = run("ls", "tasks", "--json")
    rows = [(row["name"], row["kind"], row["output"]) for row in json.loads(out)]
    assert code == 0
    assert rows == [
        ("a", "task", "generate_until"),
        ("b", "task", "loglikelihood"),
        ("both", "group", ""),
    ]
    _, out, _ = run("ls", "metrics", "--json")
    assert [(row["name"], row["tasks"]) for row in json.loads(out)] == [
        ("own_metric", "a, b"),
        ("shared_metric", ""),
    ]
    _, out, _ = run("ls", "--json")
    assert {row["section"] for row in json.loads(out)} == {"tasks", "models", "metrics"}
    _, out, _ = run("ls")
    assert "both" in out
    assert "fine" in out


def test_a_function_tag_is_not_imported(installed):
    (installed / "t.yaml").write_text("task: t\ndoc_to_text: !function no_such_module.f\n")
    assert [task.name for task in task_files.task_files()] == ["t"]


def test_models_list_and_path(run, monkeypatch, tmp_path):
    from lmx_models.zoo import catalogue

    entries = [
        catalogue.ModelEntry("here", "d", "s", 1, "cached", "MIT"),
        catalogue.ModelEntry("far", "d", "s", None, "hub", "MIT"),
    ]
    monkeypatch.setattr(catalogue, "list_models", lambda: entries)
    monkeypatch.setattr(catalogue, "fetch", lambda name: tmp_path / name)
    assert [row["name"] for row in json.loads(run("models", "--json")[1])] == ["here", "far"]
    assert "cached" in run("models")[1]
    assert run("models", "path", "here") == (0, f"{tmp_path / 'here'}\n", "")
    assert run("models", "fetch", "far") == (0, f"{tmp_path / 'far'}\n", "")
    code, _, err = run("models", "path", "far")
    assert code == 2
    assert "lmx models fetch far" in err


def test_models_are_known_without_torch():
    done = lmx("models")
    assert done.returncode == 0
    assert "torch" not in done.stderr.splitlines()[-1]
    assert models.build  # the commands are built without importing the zoo


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("compare", "--refernce", "x"), "No such option: --refernce (Possible options: --reference)"),
        (("compare",), "Missing argument 'runs'"),
        (("rescore", "a"), "Missing option '--output' / '-o'"),
        (("compare", "a", "--bootstrap", "x\x1b[31m"), "Invalid value for '--bootstrap'"),
        (("report", "a", "-o"), "Option '-o' requires an argument"),
    ],
)
def test_slips_in_a_command_line_are_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"lmx: error: {message}")
    assert " --help" in err


def test_no_command_at_all_is_answered_with_help(run):
    code, out, _ = run()
    assert code == 2
    assert "Usage: " in out
