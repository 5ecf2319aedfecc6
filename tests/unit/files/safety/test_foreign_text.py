"""Foreign text on its way to a terminal or into a spreadsheet."""

import csv as csv_module
import io
import json
import logging
import sys

import pytest

from lmx_files import csv
from lmx_files.safety import terminal

STEERING = [
    "\x1b[2J", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x1b", "\x9b2J", "\x9d0;t\x9c", "\x07", "\x08", "\r",
    "\x7f", "\x85", "\u202e", "\u2066", "\u200f", "\u2028", "\U000e0041", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("steering", STEERING)
def test_nothing_that_steers_a_terminal_gets_through(steering):
    assert terminal.plain(f"a{steering}b") == "a\ufffdb"
    screen = terminal.console(file=io.StringIO(), width=80)
    screen.print(f"a{steering}b", markup=False)
    screen.out(f"a{steering}b")
    assert steering not in screen.file.getvalue()
    written = json.dumps({"a": f"a{steering}b"}, ensure_ascii=False)
    assert steering not in terminal.json_plain(written)
    assert json.loads(terminal.json_plain(written)) == {"a": f"a{steering}b"}


def test_what_people_write_gets_through():
    for text in ("plain", "tab\tand\nline", "naïve ąę 你好 עברית", "👨\u200d👩\u200d👧 ✓ → ±"):
        assert terminal.plain(text) == text
    assert terminal.plain("windows\r\nlines") == "windows\nlines"


@pytest.fixture
def records():
    """The factory of log records, put back afterwards."""
    before = logging.getLogRecordFactory()
    yield
    logging.setLogRecordFactory(before)


@pytest.mark.parametrize("name", ["", "lm_eval", "transformers", "somebody.else.s"])
def test_log_messages_are_cleaned_and_secrets_left_out(name, records):
    """lm_eval's and transformers' loggers have handlers of their own, and some come later."""
    out = io.StringIO()
    terminal.filter_logging()
    handler, logger = logging.StreamHandler(out), logging.getLogger(name)
    logger.addHandler(handler)
    try:
        logging.getLogger(f"{name or 'lmx_models'}.x").error("%s said %s", "\x1b]0;x\x07server", "token=abcdefg")
    finally:
        logger.removeHandler(handler)
    assert out.getvalue() == "\ufffdserver said token=[redacted]\n"


def test_a_logged_exception_is_cleaned_too(records):
    out = io.StringIO()
    terminal.filter_logging()
    handler, logger = logging.StreamHandler(out), logging.getLogger("lmx_models.exception")
    logger.addHandler(handler)
    try:
        raise ValueError("\x1b]0;x\x07server said token=abcdefg")
    except ValueError:
        logger.exception("it failed")
    finally:
        logger.removeHandler(handler)
    assert "abcdefg" not in out.getvalue()
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().rstrip().endswith("ValueError: \ufffdserver said token=[redacted]")


def test_plain_lm_eval_logs_neither_secrets_nor_sequences(records):
    from lm_eval._cli.harness import HarnessCLI

    assert logging.getLogRecordFactory() is logging.LogRecord
    with pytest.raises(AttributeError):
        HarnessCLI.execute(None, None)
    assert logging.getLogRecordFactory()("x", 40, "", 0, "token=%s", ("abcdefg",), None).getMessage() == (
        "token=[redacted]"
    )


def test_an_output_that_lacks_a_character_shows_a_question_mark(monkeypatch):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    terminal.tolerant_output()
    terminal.say("acc ↑ 0.5 \ud800")
    sys.stdout.flush()
    assert raw.getvalue() == b"acc ? 0.5 ?\n"


@pytest.mark.parametrize("text", ["=1+1", "+1+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", " =1", "\n=1", "＝1", "-x", "-"])
def test_a_formula_is_text_in_csv(text):
    (heading,), (cell,) = csv_module.reader(io.StringIO(csv.text([{text: text}]), newline=""))
    assert heading == cell == f"'{text}".replace("\r", "\n")


@pytest.mark.parametrize("value", [-0.5, 0.25, 3, True, "-0.5", "+3", "-1e-5", "1 = 1", "a@b", "", "-inf"])
def test_numbers_and_harmless_texts_stay_what_they_are_in_csv(value):
    assert csv.cell(value) == value


def test_nothing_and_nan_are_empty_cells():
    assert csv.text([{"a": None, "b": float("nan")}]) == "a,b\n,\n"
