"""What another user of the machine, or of a folder, can plant: models in a shared cache, repositories, unsafe tasks."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, ClassVar

import pytest

from lmx_files import manifest
from lmx_files.errors import UserError
from lmx_files.safety import git
from lmx_models.zoo import cache
from lmx_runs.rescore import scorers


@pytest.fixture
def cached(tmp_path, monkeypatch):
    """A converted model in a cache."""
    monkeypatch.setenv("LMX_CACHE", str(tmp_path / "cache"))

    def fill(part):
        for name in ("config.json", "model.safetensors"):
            (part / name).write_text(name)
        (part / cache.PROVENANCE).write_text(json.dumps({"files": cache.note_files(part)}))

    folder = cache.converted_folder("model", "0" * 64)
    assert cache.build_once(folder, fill) == folder
    return folder


def use(folder):
    return cache.build_once(folder, lambda _: pytest.fail("made again"))


def test_a_model_that_was_converted_here_is_used(cached):
    assert use(cached) == cached


@pytest.mark.parametrize("name", ["", "model.safetensors", ".."])
def test_a_model_of_another_user_is_not_used(cached, name, monkeypatch):
    if os.getuid() == 0:
        os.chown(cached / name, 4242, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 4242)
    with pytest.raises(UserError, match="belongs to another user"):
        use(cached)
    monkeypatch.setenv("LMX_CACHE_OWNER", "4242" if os.getuid() == 0 else str(cached.stat().st_uid))
    assert use(cached) == cached


@pytest.mark.parametrize("change", [
    lambda folder: (folder / "model.safetensors").write_text("other"),
    lambda folder: (folder / "more.safetensors").write_text("more"),
    lambda folder: (folder / "model.safetensors").unlink(),
    lambda folder: (folder / "model.safetensors").chmod(0o666),
    lambda folder: folder.chmod(0o777),
    lambda folder: folder.parent.chmod(0o777),
    lambda folder: (folder / "link.json").symlink_to("/etc/hostname"),
    lambda folder: (folder / cache.PROVENANCE).write_text('{"files": 5}'),
    lambda folder: (folder / cache.PROVENANCE).write_text("[]"),
])  # fmt: skip
def test_a_model_that_was_changed_or_can_be_is_not_used(cached, change):
    change(cached)
    with pytest.raises(UserError, match="is not used: "):
        use(cached)


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository, and a way to call git in it."""
    folder = tmp_path / "repository"
    folder.mkdir()
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "x")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "x@example.com")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")

    def call(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    call("init", "-q", "-b", "trunk")
    (folder / "a").write_text("1")
    (folder / "b").write_text("1")
    call("add", ".")
    call("commit", "-qm", "first")
    return folder, call


def as_git_says(call) -> dict:
    changed = call("status", "--porcelain", "--untracked-files=no").splitlines()
    head = call("rev-parse", "HEAD"), call("rev-parse", "--abbrev-ref", "HEAD")
    return {"commit": head[0], "branch": head[1], "changed_files": len(changed)}


def test_the_manifest_says_what_git_says(repository):
    folder, call = repository
    (folder / "below").mkdir()
    (folder / "new").write_text("untracked")
    for change in (
        lambda: None,
        lambda: (folder / "a").write_text("22"),
        lambda: call("rm", "-q", "--cached", "b"),
        lambda: call("pack-refs", "--all"),
        lambda: call("checkout", "-q", "-b", "feature/x"),
        lambda: call("checkout", "-q", "--detach"),
        lambda: call("update-index", "--split-index"),
    ):
        change()
        for place in (folder, folder / "below"):
            assert manifest.git_state(place) == as_git_says(call)
    call("worktree", "add", "-q", str(folder.parent / "other"), "trunk")
    assert manifest.git_state(folder.parent / "other")["branch"] == "trunk"


ATTACKS = {
    "fsmonitor": ("core.fsmonitor", "{run}"),
    "filter": ("filter.evil.clean", "{run}"),
    "process": ("filter.evil.process", "{run}"),
    "textconv": ("diff.evil.textconv", "{run}"),
    "hooks": ("core.hooksPath", "{hooks}"),
    "pager": ("core.pager", "{run}"),
    "ssh": ("core.sshCommand", "{run}"),
    "alias": ("alias.status", "!{run}"),
    "include": ("include.path", "{included}"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_nothing_that_a_repository_configures_is_run(repository, tmp_path, attack, capfd):
    folder, call = repository
    run = tmp_path / "run.sh"
    run.write_text(f"#!/bin/sh\ntouch {tmp_path}/RAN\n")
    run.chmod(0o755)
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("post-index-change", "fsmonitor-watchman"):
        (hooks / name).symlink_to(run)
    (tmp_path / "included").write_text(f"[core]\n fsmonitor = {run}\n")
    before = manifest.git_state(folder)
    (folder / ".gitattributes").write_text("* filter=evil diff=evil\n")
    call("add", ".gitattributes")
    name, value = ATTACKS[attack]
    call("config", name, value.format(run=run, hooks=hooks, included=tmp_path / "included"))
    (folder / "a").write_text("2")
    os.utime(folder / "b", (1, 1))
    state = manifest.git_state(folder)
    assert not (tmp_path / "RAN").exists()
    assert state == {**before, "changed_files": 2}
    assert capfd.readouterr() == ("", "")


def test_outside_of_a_repository_nothing_is_said(tmp_path, capfd):
    assert manifest.git_state(tmp_path) is None
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "head", ["ref: ../../secret", "ref: /etc/hostname", "ref: refs/heads/../../x", "x" * 70000, "\0", ""]
)
def test_a_head_that_leads_elsewhere_is_no_commit(tmp_path, head):
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text(head)
    (tmp_path / "secret").write_text("a" * 40)
    assert git.commit(tmp_path) is None


def test_lm_eval_reads_the_commit_and_starts_nothing(tmp_path, monkeypatch):
    from lm_eval.loggers import utils

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("a process was started"))
    assert utils.get_git_commit_hash() is None
    assert utils.get_commit_from_path(Path(__file__).parents[3]) == git.commit(Path(__file__))


def test_programs_that_describe_the_machine_start_in_an_empty_folder(tmp_path, monkeypatch):
    from lm_eval.loggers import utils
    from torch.utils import collect_env

    seen = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        collect_env, "get_pretty_env_info", lambda: seen.append((os.listdir(), os.environ["PYTHONSAFEPATH"]))
    )
    utils.add_env_info({})
    assert seen == [([], "1")]
    assert Path.cwd() == tmp_path


def test_tasks_that_run_what_a_model_wrote_are_scored_again_only_if_confirmed(tmp_path):
    """lm_eval gates them in a run; here the mark is looked at before the task's own functions are imported."""
    (tmp_path / "unsafe.yaml").write_text(
        "task: unsafe_task\nunsafe_code: true\ndataset_path: x\noutput_type: generate_until\ntest_split: test\n"
        "doc_to_text: '{{a}}'\ndoc_to_target: '{{a}}'\nprocess_results: !function utils.score\n"
    )
    (tmp_path / "utils.py").write_text(
        f"open({str(tmp_path / 'RAN')!r}, 'w')\ndef score(doc, results): return {{'a': 1}}\n"
    )

    class Run:
        results: ClassVar[dict[str, Any]] = {}

        def samples(self, _):
            return iter([{"doc": {"a": "b"}}])

    with pytest.raises(UserError, match=r"unsafe_task runs code that a model wrote.*--confirm_run_unsafe_code"):
        scorers.own_scoring(Run(), "unsafe_task", tmp_path, False)
    assert not (tmp_path / "RAN").exists()
    assert scorers.own_scoring(Run(), "unsafe_task", tmp_path, True).task.UNSAFE_CODE
