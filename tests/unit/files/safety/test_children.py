"""Child processes: nothing of the current folder is imported, and they see what they need of the environment."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lmx_files.safety import children

ROOT = Path(__file__).resolve().parents[4]
SHOW = "import sys, json, os, planted; print(json.dumps([planted.__file__, sys.argv, sys.path]))"


@pytest.fixture
def planted(tmp_path, monkeypatch):
    """A current folder with a module that is also installed elsewhere."""
    here, installed = tmp_path / "here", tmp_path / "installed"
    for folder in (here, installed):
        folder.mkdir()
        (folder / "planted.py").write_text("")
    (installed / "shows.py").write_text(SHOW)
    (here / "shows.py").write_text("raise SystemExit('the current folder was imported')")
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", f"{os.pathsep}{installed}")
    return here, installed


@pytest.mark.parametrize("command", [
    children.module("shows", "-u", "b"),
    children.module("shows", "-u", "b", python=sys.executable),
    children.safe_command([sys.executable, "-m", "shows", "-u", "b"]),
    [*children.python_prefix(), "-u", "-m", "shows", "-u", "b"],
    [*children.module("", python=sys.executable)[:-1], "-u", "-m", "shows", "-u", "b"],  # python_prefix of Python 3.10
])  # fmt: skip
def test_no_child_imports_from_the_current_folder(planted, command):
    here, installed = planted
    done = children.finish(command, seconds=60)
    assert done.returncode == 0, done.stderr
    file, argv, path = json.loads(done.stdout)
    assert file == str(installed / "planted.py")
    assert argv[1:] == ["-u", "b"]
    assert str(here) not in path
    assert "" not in path


@pytest.mark.parametrize(
    "start", [children.module("shows", python=sys.executable), [*children.python_prefix(), "-m", "shows"]]
)
def test_an_interpreter_that_knows_no_safe_path_imports_nothing_of_it_either(planted, start):
    """As Python 3.10, which does not look at PYTHONSAFEPATH."""
    environment = {**children.environment(), "PYTHONSAFEPATH": ""}
    done = subprocess.run(start, env=environment, capture_output=True, text=True)
    assert json.loads(done.stdout)[0] == str(planted[1] / "planted.py"), done.stderr


def test_a_path_that_the_user_names_is_honoured(planted, monkeypatch):
    here, _ = planted
    monkeypatch.setenv("PYTHONPATH", ".")
    assert children.environment()["PYTHONPATH"] == str(here)
    (here / "shows.py").write_text(SHOW)
    done = children.finish(children.module("shows"), seconds=60)
    assert json.loads(done.stdout)[0] == str(here / "planted.py")


def test_a_child_sees_secrets_only_where_it_needs_them(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("PIP_INDEX_URL", "https://me:pw@index/simple")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("PLAIN", "x")
    assert not {"OPENAI_API_KEY", "PIP_INDEX_URL", "GIT_DIR"} & set(children.environment())
    assert children.environment()["PLAIN"] == "x"
    assert "PIP_INDEX_URL" in children.environment(needs=("PIP_",))
    assert "OPENAI_API_KEY" in children.environment(needs=None)
    assert "GIT_DIR" not in children.environment(needs=None)
    assert set(children.environment(only=["PLAIN"])) <= {"PLAIN", "PYTHONPATH", "PYTHONSAFEPATH"}


def test_programs_are_not_taken_from_the_current_folder(tmp_path, monkeypatch):
    program = tmp_path / "squeue"
    program.write_text("#!/bin/sh\necho planted\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.pathsep}/usr/bin")
    assert children.program("squeue") in (None, "/usr/bin/squeue")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert children.finish(["squeue"], seconds=60).stdout == "planted\n"
    with pytest.raises(FileNotFoundError):
        children.start(["there-is-none-such"])


def test_a_process_started_by_dash_m_lets_go_of_the_current_folder(planted, monkeypatch):
    here, _ = planted
    monkeypatch.setattr(sys, "path", [str(here), "/lib"])
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    children.keep_current_folder_out()
    assert sys.path == ["/lib"]
    monkeypatch.setenv("PYTHONPATH", str(here))
    monkeypatch.setattr(sys, "path", [str(here), "/lib"])
    children.keep_current_folder_out()
    assert sys.path == [str(here), "/lib"]


def test_children_are_started_in_one_place():
    """Every other module asks `lmx_files.safety.children`; `subprocess` may be named for its exceptions and types."""
    found = []
    for path in sorted(ROOT.glob("lmx_*/**/*.py")):
        if path.name == "children.py" or "templates" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                called = f"{getattr(node.func.value, 'id', '')}.{node.func.attr}"
                if called in {
                    f"subprocess.{name}" for name in ("run", "Popen", "call", "check_call", "check_output")
                } | {
                    f"os.{name}" for name in ("system", "popen", "execv", "execve", "execvp", "posix_spawn", "spawnv")
                }:
                    found.append(f"{path.relative_to(ROOT)}:{node.lineno} {called}")
    assert found == []
