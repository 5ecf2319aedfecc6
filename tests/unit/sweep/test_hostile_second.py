"""A second look at journals and sweeps from somebody else: links in the middle, sparse files, odd times."""

from __future__ import annotations

import json
import os
import sys
import time

import pytest
import yaml

from lmx_cli.main import main
from lmx_files import journal
from lmx_files.errors import UserError
from lmx_files.journal import Journal
from lmx_runs.jobs.executors import Job, LocalExecutor, outcome_of
from lmx_runs.jobs.logs import error_line, last_line
from lmx_runs.sweep.state import STATE_FILE, ArmState, State
from tests.unit.records.test_hostile_journal import KEY, line

TOKEN = "0" * 32


@pytest.fixture
def sweep(tmp_path, monkeypatch, capsys):
    """Run a sweep of one arm that writes a file, over a folder that somebody prepared."""

    def run(known=None, name="one", **more):
        data = {
            "name": "t", "output_path": str(tmp_path / "out"),
            "arms": [{"name": name, "command": ["touch", "{arm.output_path}/made"], "outputs": ["made"], **more}],
        }  # fmt: skip
        (tmp_path / "s.yaml").write_text(yaml.safe_dump(data))
        if known is not None:
            (tmp_path / "out").mkdir(exist_ok=True)
            (tmp_path / "out" / STATE_FILE).write_text(json.dumps({"version": 1, "arms": {name: known}}))
        monkeypatch.setattr(sys, "argv", ["lmx", "sweep", str(tmp_path / "s.yaml")])
        code = 0
        try:
            main()
        except SystemExit as exit_:
            code = exit_.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return code, out, err

    return run


@pytest.mark.parametrize("place", ["arms", "replaced", "arms/one"])
def test_a_link_in_the_sweep_s_folder_leads_nowhere(sweep, tmp_path, place):
    victim = tmp_path / "mine"
    (victim / "one").mkdir(parents=True)
    (victim / "one" / "results_2026-01-01T00-00-00.json").write_text("{}")
    link = tmp_path / "out" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    code, _, err = sweep({"status": "failed", "attempts": 1, "fingerprint": "other"})
    assert code == 2
    assert "is a symbolic link, which is not followed" in err
    assert sorted(path.name for path in victim.rglob("*")) == ["one", "results_2026-01-01T00-00-00.json"]


@pytest.mark.parametrize("name", ["outcome.json", "attempt.json", "log.txt"])
@pytest.mark.parametrize("kind", ["folder", "fifo", "link"])
def test_odd_things_in_an_arm_s_folder_are_one_line_and_hang_nothing(sweep, tmp_path, name, kind):
    folder = tmp_path / "out" / "arms" / "one"
    folder.mkdir(parents=True)
    (tmp_path / "notes").write_text("mine")
    at = folder / name
    {"folder": at.mkdir, "fifo": lambda: os.mkfifo(at), "link": lambda: at.symlink_to(tmp_path / "notes")}[kind]()
    code, _, err = sweep()
    assert code in (0, 1, 2)
    assert (tmp_path / "notes").read_text() == "mine"
    assert code == 0 or err.strip()


@pytest.mark.parametrize("kind", ["file", "fifo"])
@pytest.mark.parametrize("place", ["arms", "arms/one"])
def test_a_file_where_a_folder_should_be(sweep, tmp_path, place, kind):
    at = tmp_path / "out" / place
    at.parent.mkdir(parents=True)
    at.write_text("mine") if kind == "file" else os.mkfifo(at)
    code, _, err = sweep()
    assert code == 2
    assert err.count("lmx: error") == 1


@pytest.mark.parametrize(
    "known",
    [
        {"attempts": 10**9, "status": "failed"},
        {"status": "running", "executor": "local", "token": TOKEN, "handle": f"{os.getpid()}:1"},
        {"status": "running", "executor": "local", "token": TOKEN, "handle": "0:0"},
        {"status": "running", "executor": "local", "token": TOKEN, "handle": "1:1"},
        {"status": "running", "executor": "local", "token": TOKEN, "handle": "9999999999:99999999999999999999"},
        {"status": "running", "executor": "local", "token": TOKEN, "handle": "12"},
        {
            "status": "done",
            "results": "",
            "seconds": 1e308,
            "started": "2026-01-01T00:00:00+00:00",
            "executor": "local",
        },
        {"status": "done", "started": "0001-01-01T00:00:00+23:59", "seconds": 1e12, "executor": "local"},
        {"status": "done", "started": "9999-12-31T23:59:59-23:59", "seconds": 1e12, "executor": "local"},
        {"status": "done", "results": "arms", "command": ["touch", "planted"], "reason": "\x1b]0;x\x07"},
        {"status": "skipped", "reason": "a" * 100_000},
    ],
)
def test_a_forged_state_runs_the_arm_once_and_the_next_state_can_be_read(sweep, tmp_path, known):
    code, out, err = sweep(known)
    assert code == 0, err
    assert "\x1b]" not in out + err
    assert State.load(tmp_path / "out").arms["one"].status == "done"
    assert not os.path.exists("planted")


def test_a_done_arm_whose_state_was_forged_is_shown_whatever_its_times(sweep, tmp_path):
    assert sweep()[0] == 0
    state = json.loads((tmp_path / "out" / STATE_FILE).read_text())["arms"]["one"]
    for odd in (
        {"started": "0001-01-01T00:00:00+23:59", "seconds": 1e308},
        {"started": "9999-12-31T23:59:59-23:59", "seconds": 1e300},
        {"started": "2999-01-01T00:00:00+00:00", "results": "arms/one/made"},
        {"results": "arms/one"},
        {"results": "nowhere.json"},
    ):
        assert sweep({**state, **odd})[0] == 0, odd


@pytest.mark.parametrize("reason", ["a\nb\nlmx: error: c", "\x1b[2J\x1b]0;x\x07", "x" * 900_000, "token=zq81hhwabc"])
def test_the_reason_in_a_forged_outcome_is_one_short_line(tmp_path, reason):
    job = Job("1:1", TOKEN, tmp_path / "outcome.json")
    outcome = {"token": TOKEN, "exit_code": 1, "reason": reason, "started": None, "ended": None, "seconds": None}
    job.outcome.write_text(json.dumps(outcome))
    report = outcome_of(job)
    assert report is not None
    assert len(report.reason) <= 500
    assert report.reason.replace("\ufffd", "").isprintable()
    assert "zq81" not in report.reason


def test_sparse_files_take_no_memory_and_no_time(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "LONGEST", 1 << 16)
    for name in ("journal-0001.jsonl", "log.txt", "outcome.json", STATE_FILE):
        with (tmp_path / name).open("wb") as file:
            file.truncate(1 << 40)
    began = time.monotonic()
    with pytest.raises(UserError, match=r"journal-0001.jsonl, line 1: longer than"):
        Journal(tmp_path)
    assert last_line(tmp_path / "log.txt") == "" or len(last_line(tmp_path / "log.txt")) < 5000
    assert len(error_line(tmp_path / "log.txt")) < 70_000
    assert outcome_of(Job("1:1", TOKEN, tmp_path / "outcome.json")) is None
    assert time.monotonic() - began < 20


def test_a_line_as_long_as_lmx_writes_is_read(tmp_path, monkeypatch):
    (tmp_path / "journal-0001.jsonl").write_bytes(line({"text": "a" * 2_000_000}))
    found = Journal(tmp_path)
    assert len(found[KEY]["text"]) == 2_000_000
    found.close()


@pytest.mark.parametrize("change", ["cut", "replaced", "link", "fifo", "gone"])
def test_a_journal_that_is_changed_while_it_is_read(tmp_path, change):
    folder = tmp_path / "journal"
    folder.mkdir()
    file = folder / "journal-0002.jsonl"
    file.write_bytes(line({"text": "a"}))
    found = Journal(folder)
    if change == "cut":
        os.truncate(file, 40)
    elif change == "replaced":
        file.write_bytes(line({"text": "b"}).replace(b'"b"', b'"c"'))
    else:
        file.unlink()
        if change == "link":
            file.symlink_to(tmp_path / "notes")
        elif change == "fifo":
            os.mkfifo(file)
    with pytest.raises(UserError):
        found[KEY]
    found.close()


def test_a_clock_that_is_set_back_makes_no_time_negative(sweep, tmp_path):
    assert sweep({"status": "failed", "started": "2999-01-01T00:00:00+00:00", "attempts": 1})[0] == 0
    state = State.load(tmp_path / "out").arms["one"]
    assert state.seconds is None or state.seconds >= 0


@pytest.mark.parametrize("handle", ["", ":", "1:", ":1", "1:1:1", "-5:1", "\u0661:1", "1e3:1", " 1:1"])
def test_odd_handles_are_not_alive_and_not_stored(tmp_path, handle):
    job = Job(handle, TOKEN, tmp_path / "outcome.json")
    assert LocalExecutor().poll({"a": job})["a"].state == "ended"
    if handle:
        with pytest.raises(ValueError, match="handle"):
            ArmState(handle=handle)
