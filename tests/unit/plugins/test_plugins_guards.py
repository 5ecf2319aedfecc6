"""User mistakes under plain lm_eval: one line, found early, and never an exit status of 0."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from lmx_files.errors import UserError
from lmx_plugins import guards


@pytest.fixture(autouse=True)
def _nothing_lost():
    guards.lost.clear()
    yield
    guards.lost.clear()


@pytest.mark.parametrize("path", ["new", "new/er/deep", "results.json", "deep/results.json", "."])
def test_writable_paths_pass_and_leave_nothing_behind(tmp_path, path):
    guards.check_output_path(tmp_path / path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["file/out", "file/deep/er/out", "file", "file/results.json"])
def test_a_file_in_the_way(tmp_path, path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"output_path '.*file is a file, not a folder.*--output_path"):
        guards.check_output_path(tmp_path / path)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that even root cannot write to")
def test_a_file_system_that_takes_no_files():
    with pytest.raises(UserError, match="'/proc/lmx/out'"):
        guards.check_output_path("/proc/lmx/out")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        guards.check_output_path(tmp_path / "out")


class Tracker:
    """Saves as lm_eval's tracker does: into a sub-folder, and without raising."""

    def __init__(self, output_path=None, token=""):
        self.output_path, self.token, self.fails = output_path, token, False

    def save_results_aggregated(self, results, samples=None):
        self._save("results_1.json", json.dumps(results)[: 3 if self.fails == "truncated" else None])

    def save_results_samples(self, task_name, samples):
        text = "".join(json.dumps(s) + "\n" for s in samples)
        self._save(f"samples_{task_name}_1.jsonl", text[: {"truncated": 3, "torn": -4}.get(self.fails)])

    def _save(self, name, text):
        if self.fails is not True:
            folder = Path(self.output_path) / "model"
            folder.mkdir(parents=True, exist_ok=True)
            with (folder / name).open("a") as file:
                file.write(text)


@pytest.fixture
def tracker_class():
    class Guarded(Tracker):
        pass

    guards.guard_output_path(SimpleNamespace(EvaluationTracker=Guarded))
    return Guarded


def test_output_path_is_checked_when_the_tracker_is_made(tracker_class, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError):
        tracker_class(output_path=str(tmp_path / "file"))
    assert tracker_class(token="t").token == "t"
    assert tracker_class(str(tmp_path / "new"), "t").token == "t"


@pytest.mark.parametrize(("fails", "lost"), [(False, []), (True, ["the results", "the samples of t"])])
def test_lost_results_are_noticed(tracker_class, tmp_path, fails, lost):
    tracker = tracker_class(output_path=str(tmp_path))
    tracker.fails = fails
    tracker.save_results_aggregated(results={"a": 1}, samples=None)
    tracker.save_results_samples(task_name="t", samples=[{"a": 1}, {"a": 2}])
    tracker.save_results_samples("t", [{"a": 1}])  # a second time into the same file
    assert guards.lost == ([*lost, "the samples of t"] if lost else [])


def test_truncated_results_are_noticed(tracker_class, tmp_path):
    tracker = tracker_class(output_path=str(tmp_path))
    tracker.fails = "truncated"
    tracker.save_results_aggregated({"a": 1})
    tracker.save_results_samples("t", [{"a": 1}, {"a": 2}])
    assert guards.lost == ["the results", "the samples of t"]


def test_samples_whose_last_line_is_cut_are_noticed(tracker_class, tmp_path):
    tracker = tracker_class(output_path=str(tmp_path))
    tracker.fails = "torn"
    tracker.save_results_samples("t", [{"a": 1}, {"a": 2}])
    assert guards.lost == ["the samples of t"]


def test_no_output_path_saves_nothing_and_loses_nothing(tracker_class):
    tracker = tracker_class()
    tracker.fails = True
    tracker.save_results_aggregated({"a": 1})
    assert guards.lost == []


def test_the_command_fails_after_it_has_done_all_it_can():
    done = []
    command = type("HarnessCLI", (), {"execute": lambda self, args: done.append(args)})
    guards.fail_on_lost_results(SimpleNamespace(HarnessCLI=command))
    command().execute("args")
    guards.lost.append("the results")
    with pytest.raises(UserError, match="the results could not be saved"):
        command().execute("args")
    assert done == ["args", "args"]


RAISE = """
import sys
from lmx_plugins import guards
from lmx_files.errors import UserError
sys.excepthook = lambda kind, error, trace: print("the old hook", file=sys.stderr)
guards.install_excepthook(None); guards.install_excepthook(None)
raise {error}
"""


def fail(error, **env):
    command = [sys.executable, "-c", RAISE.format(error=error)]
    root = str(Path(__file__).parents[3])
    environment = os.environ | {"PYTHONPATH": root} | env
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def test_user_errors_take_one_line():
    done = fail("UserError('no\\nsuch thing')")
    assert (done.stderr, done.returncode) == ("lmx: error: no such thing\n", 1)


def test_other_errors_go_to_the_hook_that_was_there():
    done = fail("ValueError('x')")
    assert (done.stderr, done.returncode) == ("the old hook\n", 1)


def test_traceback_on_request():
    assert fail("UserError('x')", LMX_TRACEBACK="1").stderr == "the old hook\n"


def test_a_plugin_model_without_pretrained_names_its_results_folder():
    import lm_eval.loggers.evaluation_tracker as module

    def folder(source, arguments):
        tracker = module.GeneralConfigTracker()
        tracker.log_experiment_args(source, arguments, None, None, False)
        return tracker.model_name_sanitized

    assert folder("scripted", {}) == "scripted"
    assert folder("guided", {"pretrained": "a/b"}) == "a__b"
    assert folder("dummy", {}) != "dummy"  # lm_eval's own model: as lm_eval does
