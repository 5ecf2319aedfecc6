"""Journals and traces files of somebody else: nothing of the user's is cut, nothing hangs, nothing is a traceback."""

import hashlib
import json
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_files.journal import Journal, key_of
from lmx_models.core.completion import Completion
from lmx_models.core.trace import Trace
from lmx_models.harness.resume import ResumeJournal
from lmx_models.records.traces import TraceFile
from tests.unit.files.watching import HOSTILE, Watcher

KEY = key_of("x")
TRACE = Trace([1, 2], [], "eos")


def line(value, key=KEY) -> bytes:
    """A line as a forger writes it: its checksum fits."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return b'{"sha256":"%s","key":"%s","value":%s}\n' % (
        hashlib.sha256(key.encode() + text).hexdigest().encode(), key.encode(), text,
    )  # fmt: skip


@pytest.mark.parametrize("name", ["journal-0001.jsonl", "journal-0001.jsonl.lock", "journal-0002.jsonl"])
@pytest.mark.parametrize("kind", ["link", "fifo", "folder"])
def test_a_journal_opens_regular_files_only(tmp_path, name, kind):
    victim, folder = tmp_path / "notes", tmp_path / "journal"
    victim.write_bytes(b"one line without an end")
    folder.mkdir()
    if kind == "link":
        (folder / name).symlink_to(victim)
    elif kind == "fifo":
        os.mkfifo(folder / name)
    else:
        (folder / name).mkdir()
    with pytest.raises(UserError, match=name):
        Journal(folder)
    assert victim.read_bytes() == b"one line without an end"


@pytest.mark.parametrize("content", [b"a note", b"a note\n", b"{", line({"a": 1}) + b"a note", line({"a": 1}) + b"a\n"])
def test_a_file_that_is_no_journal_is_left_as_it_is(tmp_path, content):
    (tmp_path / "journal-0001.jsonl").write_bytes(content)
    with pytest.raises(UserError, match=r"journal-0001.jsonl.*(no line of a journal|damaged)"):
        Journal(tmp_path)
    assert (tmp_path / "journal-0001.jsonl").read_bytes() == content


@pytest.mark.parametrize("torn", [b'{"sha256":"0', b'{"sha', line({"b": 2})[:-1], line({"b": 2})[:-30], b"\0" * 40])
@pytest.mark.parametrize("before", [b"", line({"a": 1})])
def test_a_torn_line_of_ours_is_cut(tmp_path, torn, before):
    (tmp_path / "journal-0001.jsonl").write_bytes(before + torn)
    Journal(tmp_path).close()
    assert (tmp_path / "journal-0001.jsonl").read_bytes() == before


FORGED = [
    5, None, [], "text", {"text": 5, "trace": {}}, {"text": "a"}, {"text": "a", "trace": None},
    {"text": "a", "trace": {**TRACE.as_dict(), "tokens": "ab"}},
    {"text": "a", "trace": {**TRACE.as_dict(), "tokens": [-1]}},
    {"text": "a", "trace": {**TRACE.as_dict(), "segments": [{"source": "x", "start": 0, "end": 10**9}]}},
    {"text": "a", "trace": {**TRACE.as_dict(), "cost": [5]}}, {"header": "other"}, b"[" * 100_000, b"nonsense",
]  # fmt: skip


@pytest.mark.parametrize("value", FORGED, ids=range(len(FORGED)))
def test_a_forged_result_is_one_line(tmp_path, value):
    (tmp_path / "journal-0001.jsonl").write_bytes(line(value))
    if value is None or value == {"header": "other"}:
        assert ResumeJournal(Journal(tmp_path)).text(KEY) is None
    else:
        with pytest.raises(UserError):
            ResumeJournal(Journal(tmp_path)).text(KEY)


def test_a_good_result_comes_back(tmp_path):
    (tmp_path / "journal-0001.jsonl").write_bytes(line({"text": "ab", "trace": TRACE.as_dict()}))
    text = ResumeJournal(Journal(tmp_path)).text(KEY)
    assert (str(text), text.trace) == ("ab", TRACE)


def traces(path) -> TraceFile:
    return TraceFile(str(path), 0)


def test_traces_go_to_regular_files_that_hold_traces(tmp_path):
    text = Completion("a \ud800 b", TRACE)
    path = tmp_path / "traces"
    file = traces(path)
    for _ in range(2):
        file.write("task", 1, 0, "prompt", text, [])
    whole = path.read_bytes()
    assert [json.loads(one)["text"] for one in whole.splitlines()] == ["a \ud800 b"] * 2
    for torn in (whole[:60], whole[:7], b"\0" * 5000):
        path.write_bytes(whole + torn)
        traces(path)
        assert path.read_bytes() == whole


@pytest.mark.parametrize("content", [b"notes", b"notes\n", b"a\nnotes", b'{"a": 1}\n', b"\0" * 5000])
def test_a_users_file_named_for_traces_is_left_as_it_is(tmp_path, content):
    (tmp_path / "notes").write_bytes(content)
    (tmp_path / "link").symlink_to(tmp_path / "notes")
    os.mkfifo(tmp_path / "fifo")
    for name in ("notes", "link", "fifo"):
        with pytest.raises(UserError, match=name):
            traces(tmp_path / name)
    assert (tmp_path / "notes").read_bytes() == content


VALUES = st.sampled_from(HOSTILE)
TEXTS = st.builds(
    lambda name, value, text: {"text": text, "trace": {**TRACE.as_dict(), name: value}},
    st.sampled_from([*TRACE.as_dict(), "more"]), VALUES, VALUES | st.just("a"),
)  # fmt: skip
LINES = (
    st.builds(line, VALUES | TEXTS)
    | st.builds(lambda value: line({"header": value}, key_of(str(value))), VALUES)
    | st.binary(max_size=60)
    | st.builds(lambda value, cut: line(value)[:cut], TEXTS, st.integers(0, 400))
    | st.builds(lambda value, at: line(value).replace(b'"', b"\xff", at), TEXTS, st.integers(0, 3))
)


def check_journal(folder, content: list[bytes]) -> None:
    """Any journal gives a result, nothing, or one line; and nothing outside its folder is touched."""
    path = folder / "in" / "journal-0001.jsonl"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"".join(content))
    with Watcher(folder / "in"):
        try:
            journal = Journal(folder / "in")
            try:
                resume = ResumeJournal(journal)
                resume.header({"task": "t", "kind": "text"})
                text = resume.text(KEY)
                assert text is None or isinstance(str(text) + text.trace.finish, str)
                for key in list(journal):
                    journal.get(key)
            finally:
                journal.close()
        except UserError:
            pass
    path.unlink()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(content=st.lists(LINES, max_size=4))
def test_any_journal_is_one_line_at_worst(tmp_path_factory, content):
    check_journal(tmp_path_factory.getbasetemp(), content)


@pytest.mark.full
@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(content=st.lists(LINES, max_size=4))
def test_ten_thousand_journals_are_one_line_at_worst(tmp_path_factory, content):
    check_journal(tmp_path_factory.getbasetemp(), content)
