"""`lmx new`: names and folders are checked first, what is written is whole and clean, the guide shows its files."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from lmx_cli import new
from lmx_cli.main import main
from lmx_files.errors import UserError
from lmx_plugins import discovery

ROOT = Path(__file__).parents[3]
GUIDE = "".join((ROOT / "docs" / name).read_text(encoding="utf-8") for name in ("extend.md", "extend_tasks.md"))
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Run `lmx new` in an empty folder; return its exit status and what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lmx", "new", *arguments])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


@pytest.mark.parametrize("kind", new.KINDS)
def test_a_package_of_the_users_name_is_written(kind: str, run: Run, tmp_path: Path) -> None:
    code, out, _ = run(kind, f"quick-{kind}2")
    folder = tmp_path / f"quick-{kind}2"
    assert code == 0
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    texts = {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}
    module = f"quick_{kind}2"
    assert {"README.md", "pyproject.toml", f"{module}/__init__.py", f"tests/test_{module}.py"} <= set(texts)
    for name, text in texts.items():
        assert not re.search(r"\bmy[-_](task|model|metric|decoder)|My(Task|Model|Metric|Decoder)", name + text), name
    project = texts["pyproject.toml"]
    assert f'name = "quick-{kind}2"\n' in project
    assert "license" not in project  # it is the user's to choose
    assert f'[project.entry-points."{discovery.GROUPS[new.KINDS[kind].group]}"]\n{module} = ' in project
    steps = [line.strip() for line in out.splitlines() if line.startswith("    ")]
    assert steps[:3] == [f"cd {folder.name}", "pip install -e .", "pytest"]
    assert steps[3].startswith("lm_eval --model ")
    assert module in steps[3]


@pytest.mark.parametrize("kind", new.KINDS)
@pytest.mark.parametrize("name", ["q", "a-name-of-thirty-letters-thats"])
def test_what_is_written_is_linted_and_formatted_whatever_the_name(kind: str, name: str, run: Run) -> None:
    assert run(kind, name, "--path", "here")[0] == 0
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        done = subprocess.run([sys.executable, "-m", "ruff", *command, "here"], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout


@pytest.mark.full
def test_what_is_written_is_typed_by_its_own_settings(run: Run, tmp_path: Path) -> None:
    run("decoder", "typed-plugin")  # `make lint` checks all four templates
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "typed_plugin"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "typed-plugin")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("kind", "name", "says"),
    [
        ("taks", "x", "unknown kind 'taks': did you mean 'task'?"),
        ("task", "My Task!", "letters and digits, words joined by - or _, a letter first; for example my-task"),
        ("task", "2nd", "for example nd"),
        ("task", "-", "a letter first\n"),
        ("task", "a-name-of-more-than-thirty-letters", "at most 30 small letters"),
        ("model", "class", "class is a keyword of Python. Choose another, for example my-class"),
        ("model", "json", "json is a module of Python's standard library"),
        ("model", "torch", "a module torch is installed here"),
        ("model", "pyyaml", "a package pyyaml "),
        ("model", "tests", "tests is a folder of every package"),
        ("decoder", "method", "the new package would use MethodLM of lmx beside its own"),
        ("model", "hf", "lm_eval has hf among its models"),
        ("decoder", "guided", "lmx-eval has guided among its models"),
        ("metric", "acc", "lm_eval has acc among its metrics"),
        ("task", "gsm8k", "lm_eval has a task or group gsm8k"),
        ("task", "constraint50", "lmx-eval has a task constraint50"),
    ],
)
def test_a_name_that_cannot_be_is_one_line_and_nothing_is_written(
    kind: str, name: str, says: str, run: Run, tmp_path: Path
) -> None:
    code, out, err = run(kind, "--", name) if name.startswith("-") else run(kind, name)
    assert (code, out) == (2, "")
    assert err.startswith("lmx: error: ")
    assert says in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_the_name_that_is_offered_is_free(run: Run) -> None:
    _, _, err = run("decoder", "method")
    offered = err.split("for example ")[1].strip()
    assert run("decoder", offered)[0] == 0


def test_a_folder_that_lies_here_by_chance_takes_no_name(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "chance").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("task", "chance")[0] == 0


def test_folders_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for path, says in (
        ("full", "full is not empty"),
        ("file", "file is a file"),
        (".", "is the folder you are in"),
        ("file/in", "cannot write file/in: Not a directory"),
    ):
        code, _, err = run("task", "fine", "--path", path)
        assert (code, says in err) == (2, True), err
    assert sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*")) == ["file", "full", "full/notes.txt"]


def test_an_empty_folder_is_filled(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run("task", "fine", "--path", "empty")[0] == 0
    assert (tmp_path / "empty" / "pyproject.toml").is_file()


def test_a_failure_halfway_leaves_nothing(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(kind: str, name: str) -> object:
        yield "README.md", "text"
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new, "files", breaks)
    code, _, err = run("task", "fine", "--path", "deep/fine")
    assert (code, "cannot write deep/fine: No space left on device" in err) == (2, True)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not list((tmp_path / "deep").iterdir())


@pytest.mark.parametrize("kind", new.TEMPLATE_KINDS)
def test_the_guide_shows_the_files_as_they_are_written(kind: str) -> None:
    name = "contrastive" if kind == new.TWO_MODELS else f"my-{kind}"
    written = dict(new.files(kind, name))
    shown = re.findall(rf"`({name}/\S+)`:\n\n```\w+\n(.*?)```", GUIDE, re.DOTALL)
    assert shown
    for path, code in shown:
        text = written[path.removeprefix(f"{name}/")]
        for part in re.split(r"\n *(?:# )?\.\.\.\n", code):
            assert part.strip("\n") in text, f"{path} as the guide shows it is not what `lmx new` writes:\n{part}"


@pytest.mark.full
def test_a_decoder_of_two_models_is_written_whole_linted_and_typed(run: Run, tmp_path: Path) -> None:
    for name in ("q", "a-name-of-thirty-letters-thats"):
        code, out, _ = run("decoder", name, "--two-models")
        assert code == 0
        assert "pretrained=tiny-oracle,amateur=tiny-base" in out
        text = "".join(path.read_text() for path in (tmp_path / name).rglob("*") if path.is_file())
        assert not re.search(r"\bmy[-_]two|MyTwo", text)
        for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
            done = subprocess.run([sys.executable, "-m", "ruff", *command, name], capture_output=True, text=True)
            assert done.returncode == 0, done.stdout
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(tmp_path / "cache"), "q"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path / "q")
    assert done.returncode == 0, done.stdout
    code, _, err = run("task", "other", "--two-models")
    assert (code, "--two-models is for a decoder: lmx new decoder other --two-models" in err) == (2, True)


def test_the_error_in_the_guide_is_the_one_that_is_raised() -> None:
    (code,) = re.findall(r"```python\n(from lmx_models.api .*?)```", GUIDE, re.DOTALL)
    with pytest.raises(UserError) as error:
        exec(compile(code, "docs/extend.md", "exec"), {})
    assert f"# lmx: error: {error.value}" in code
