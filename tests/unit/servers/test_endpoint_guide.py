"""`lmx guide`: what it prints, and in which colours."""

import io
import sys

import pytest
from rich.console import Console

from lmx_cli.guide import Printer
from lmx_cli.main import main
from lmx_models.core.base import Segment
from tests.unit.decoding.decoding_tools import text_of
from tests.unit.models.test_decoder_lm import PROMPTS

TOKENS = [1, 2, 3, 4, 5, 6]
SEGMENTS = [Segment("base", 0, 2), Segment("oracle", 2, 4), Segment("base", 4, 6)]


def printed(colours, steps, decode=text_of, holds_back=0):
    file = io.StringIO()
    console = Console(file=file, force_terminal=colours, color_system="standard" if colours else None)
    printer = Printer(console, decode, holds_back)
    for tokens, segments in steps:
        printer(tokens, segments)
    before = file.getvalue()
    printer.end(*steps[-1])
    return before, file.getvalue()


def growing():
    """Return the text after each of its tokens."""
    steps = []
    for n in range(1, len(TOKENS) + 1):
        segments = [Segment(one.source, one.start, min(one.end, n)) for one in SEGMENTS if one.start < n]
        steps.append((TOKENS[:n], segments))
    return steps


def test_marks_in_a_pipe_and_colours_in_a_terminal():
    assert printed(False, growing())[1] == "BC[oracle]DE[/oracle]FG\n"
    assert printed(False, growing()[:4])[1] == "BC[oracle]DE[/oracle]\n"
    coloured = printed(True, growing())[1]
    assert "\x1b[31mB\x1b[0m" in coloured
    assert "\x1b[34mD\x1b[0m" in coloured
    assert "oracle" not in coloured


def test_each_token_is_printed_as_it_comes():
    assert [printed(False, growing()[:n])[0] for n in (1, 2, 3)] == ["B", "BC", "BC[oracle]D"]
    whole = printed(False, growing()[-1:])  # several at once, as a server gives them
    assert whole == ("BC[oracle]DE[/oracle]FG", "BC[oracle]DE[/oracle]FG\n")


def test_tokens_that_may_be_thrown_away_are_held_back():
    steps = [([1], [Segment("base", 0, 1)]), ([1, 2], [Segment("base", 0, 2)])]
    assert printed(False, steps, holds_back=2) == ("", "BC\n")
    thrown = [*steps, ([9], [Segment("oracle", 0, 1)])]
    assert printed(False, thrown, holds_back=2)[1] == "[oracle]J[/oracle]\n"


def test_half_a_character_waits_and_nothing_steers_the_terminal():
    def decode(tokens):
        return bytes(tokens).decode(errors="replace")

    steps = [([0xC3], [Segment("base", 0, 1)]), ([0xC3, 0xA9], [Segment("base", 0, 2)])]
    assert printed(False, steps[:1], decode)[0] == ""
    assert printed(False, steps, decode)[0] == "é"
    hostile = list(b"\x1b[2J[/red]a\tb\n")
    assert printed(False, [(hostile, [Segment("base", 0, len(hostile))])], decode)[0] == "\ufffd[2J[/red]a\tb\n"


@pytest.fixture
def run(monkeypatch, capsys):
    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lmx", "guide", *arguments])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        out, err = capsys.readouterr()
        return code, out, err

    return run


TINY = ["--base", "tiny-base", "--oracle", "tiny-oracle", "--device", "cpu", "--prompt", PROMPTS[0]]


def test_one_text(run, monkeypatch):
    code, out, err = run(*TINY, "--c", "2", "--k", "4", "--max_tokens", "30", "--set", "step_size=5", "--verbose")
    assert code == 0
    assert out.count("[oracle]") == out.count("[/oracle]") > 0
    assert "consultations, ended by" in err
    assert "tok/s" in err
    assert "<|user|>" in err
    assert "the oracle wrote 4 tokens" in err
    assert "oracle: " in err
    plain = run(*TINY, "--c", "0", "--max_tokens", "10", "--no_chat")
    assert "[oracle]" not in plain[1]
    assert "oracle 0 (0%), 0 consultations" in plain[2]
    monkeypatch.setattr(sys, "stdin", io.StringIO(PROMPTS[0]))
    assert run(*TINY[:-1], "-", "--c", "2", "--k", "4", "--max_tokens", "30", "--set", "step_size=5")[1] == out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--prompt", " "], "the prompt is empty"),
        (["--prompt", "x", "--set", "step_size"], "write NAME=VALUE"),
        (["--prompt", "x", "--set", "stepsize=3", *TINY[:6]], "did you mean 'step_size'"),
        (["--prompt", "x", "--max_tokens", "0"], "--max_tokens 0 must be at least 1"),
        (["--prompt", "x", "--base", "tiny-base"], "needs oracle=MODEL"),
        (["--prompt", "x", "--base", "openai:localhost#m", "--oracle", "tiny-oracle"], "is not an endpoint"),
        (["--prompt", "x", "--c", "many", *TINY[:6]], "c='many' is not a number"),
    ],
)
def test_mistakes_are_one_line(run, arguments, message):
    code, out, err = run(*arguments)
    assert code == 2
    assert message in err
    assert out == ""
    assert "Traceback" not in err
