"""Arms of a sweep that are commands: what is run, when they are done, what is refused before anything starts."""

from __future__ import annotations

import json
import sys

import pytest
import yaml

from lmx_cli import sweep as command
from lmx_cli.main import main
from lmx_files.errors import UserError
from lmx_runs.sweep import arms, config
from tests import sweep_tools as tools

COUNT = """
import pathlib, sys
folder = pathlib.Path(sys.argv[1])
starts = folder / "starts"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
if "fail" in sys.argv[2:]:
    sys.exit("no such thing")
if "nothing" not in sys.argv[2:]:
    (folder / "scores.csv").write_text(",".join(sys.argv[2:]))
"""


@pytest.fixture
def lmx(monkeypatch, capsys):
    monkeypatch.setattr(command, "_report", lambda *_: None)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lmx", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def count(tmp_path):
    path = tmp_path / "count.py"
    path.write_text(COUNT)
    return str(path)


def write(tmp_path, entries, **top):
    path = tmp_path / "sweep.yaml"
    settings = {"name": "test", "output_path": str(tmp_path / "out"), "arms": entries}
    path.write_text(yaml.safe_dump(settings | top, sort_keys=False))
    return path


def expanded(tmp_path, entries, **top):
    return {arm.name: arm for arm in arms.expand(config.load(write(tmp_path, entries, **top)), tmp_path / "out")}


def entry(count, *more, **other):
    return {"name": "a", "command": ["python", count, "{arm.output_path}", *more], "outputs": ["scores.csv"]} | other


def starts(tmp_path, name):
    file = tmp_path / "out" / "arms" / name / "starts"
    return len(file.read_text()) if file.exists() else 0


def test_matrix_needs_and_folders_of_others(tmp_path, lmx, count):
    reader = {"name": "b", "command": ["python", count, "{arm.output_path}", "{arms.a/rate=0.5.output_path}"]}
    file = write(tmp_path, [entry(count, "{matrix.rate}", 7, matrix={"rate": [0.5, 1e-05]}), reader])
    code, _, err = lmx("sweep", file)
    assert (code, err.count("done")) == (0, 3)
    folder = tmp_path / "out" / "arms"
    assert (folder / "a__rate=0.5" / "scores.csv").read_text() == "0.5,7"
    assert (folder / "a__rate=1e-05" / "scores.csv").read_text() == "1e-05,7"
    assert (folder / "b" / "scores.csv").read_text() == str(folder / "a__rate=0.5")
    rows = json.loads((tmp_path / "out" / "collated.json").read_text())
    assert [(row["arm"], row["status"], row["scores"]) for row in rows] == [
        ("a/rate=0.5", "done", {}), ("a/rate=1e-05", "done", {}), ("b", "done", {}),
    ]  # fmt: skip
    assert lmx("sweep", file)[0] == 0
    assert [starts(tmp_path, name) for name in ("a__rate=0.5", "a__rate=1e-05", "b")] == [1, 1, 1]
    (folder / "b" / "scores.csv").unlink()  # b declares no outputs
    (folder / "a__rate=0.5" / "scores.csv").unlink()
    assert "to run again: its outputs are gone" in lmx("sweep", file, "--dry-run")[1]
    assert lmx("sweep", file)[0] == 0
    assert [starts(tmp_path, name) for name in ("a__rate=0.5", "a__rate=1e-05", "b")] == [2, 1, 1]


def test_a_failure_and_missing_outputs(tmp_path, lmx, count):
    after = {"name": "after", "command": ["python", count, "{arm.output_path}"], "needs": ["a"]}
    file = write(tmp_path, [entry(count, "fail"), after, entry(count, "nothing", name="c")])
    code, _, err = lmx("sweep", file)
    assert code == 1
    assert "a: failed" in err
    assert "no such thing" in err
    assert "after: skipped: needs a" in err
    assert "it ended well but left no scores.csv" in err
    assert lmx("sweep", file)[0] == 1
    assert starts(tmp_path, "a") == 2  # with the same settings its files stay, for it may go on from them
    assert lmx("sweep", write(tmp_path, [entry(count, "other")]))[0] == 0
    assert starts(tmp_path, "a") == 1  # with others the folder is a new one
    (moved,) = (tmp_path / "out" / "replaced").iterdir()
    assert (moved / "starts").read_text() == "xx"


def test_runs_and_commands_in_one_sweep(tmp_path, lmx, count, monkeypatch):
    from lmx_runs.sweep import flags, plan

    monkeypatch.setattr(flags, "RUN", (str(tools.fake_run(tmp_path)),))
    monkeypatch.setattr(plan, "check_names", lambda *_: None)
    quiz = {"name": "quiz", "model": "scripted", "tasks": ["quiz"]}
    defaults = {"model": "scripted", "tasks": ["quiz"], "env": {"HERE": "{matrix.x}"}}
    reads = entry(count, "{arms.quiz.output_path}", matrix={"x": [1]})
    assert lmx("sweep", write(tmp_path, [quiz | {"env": {"HERE": "1"}}, reads], defaults=defaults))[0] == 0
    quiz_row, row = json.loads((tmp_path / "out" / "collated.json").read_text())
    assert (quiz_row["model"], row["model"]) == ("scripted", "")


def test_the_program_is_that_of_the_arm(tmp_path, count):
    found = expanded(
        tmp_path, [entry(count), {"name": "l", "command": ["lmx", "compare", 1]}, {"name": "t", "command": ["true"]}]
    )
    assert found["a"].command[0] == sys.executable
    assert found["l"].command == (sys.executable, "-m", "lmx_cli.main", "compare", "1")
    assert found["t"].command[0].endswith("/true")
    assert found["t"].command[0].startswith("/")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"command": []}, "arms.a.command: list should have at least 1 item"),
        ({"command": "lmx compare"}, "arms.a.command: input should be a valid list"),
        ({"command": ["no-such-program"]}, "there is no program 'no-such-program'"),
        ({"command": ["true", "{matrix.rat}"], "matrix": {"rate": [1]}}, "did you mean 'rate'"),
        ({"command": ["true", "{arms.b.output_path}"]}, "unknown arm"),
        ({"command": ["true", "--token", "hf_abcdefghijklmnopqrstuvwx"]}, "looks like a secret"),
        ({"command": ["true", "--api_key=abcdef123456"]}, "looks like a secret"),
        ({"command": ["true", "https://me:pass-word1@host"]}, "secret"),
        ({"command": ["true", "nul\0"]}, "NUL"),
        ({"outputs": ["../scores.csv"]}, "must be a path below the arm's folder"),
        ({"outputs": ["/etc/passwd"]}, "must be a path below the arm's folder"),
        ({"model": "ar"}, "a command takes no flags of lm_eval: leave out model"),
        ({"command": None}, "outputs are those of a command"),
        ({"comand": ["true"]}, "did you mean 'command'"),
    ],
)
def test_what_is_refused_before_anything_starts(tmp_path, count, change, message):
    with pytest.raises(UserError) as error:
        expanded(tmp_path, [entry(count) | change])
    assert message in str(error.value).replace("`", "")
    assert "abcdef" not in str(error.value)


def test_a_secret_in_a_line_of_setup_is_found_without_slurm(tmp_path, count):
    for place in ("top", "arm", "defaults"):
        slurm = {"setup": ["module load cuda", "export HF_TOKEN=hf_abcdefghijklmnopqrst"]}
        arm = entry(count) | ({"slurm": slurm} if place == "arm" else {})
        top = {"slurm": slurm} if place == "top" else {"defaults": {"slurm": slurm}} if place == "defaults" else {}
        with pytest.raises(UserError, match=r"slurm\.setup sets HF_TOKEN"):
            expanded(tmp_path, [arm], **top)
