"""Equivalence through the comparing process, its limits, and what it may not do. Single pairs are golden cases."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_metrics.math.compare.equivalence import MAX_MEMBERS, exact_match, math_equal
from lmx_metrics.math.process import child
from lmx_metrics.math.process import worker as workers
from lmx_metrics.math.process.worker import LimitError, MathWorker
from lmx_metrics.math.scoring import breakdown, score
from tests.unit.metrics.test_math_answer import NOISE


@pytest.fixture
def worker() -> Iterator[MathWorker]:
    worker = MathWorker(seconds=0.5)
    yield worker
    worker.close()


def never(gold: str, answer: str) -> bool:
    raise AssertionError(f"{gold} and {answer} need no process")


@settings(deadline=None)
@given(NOISE, NOISE)
def test_no_text_raises_and_exact_implies_equal(gold: str, answer: str) -> None:
    asked = []
    equal = math_equal(gold, answer, lambda one, two: bool(asked.append((one, two))))
    if exact_match(gold, answer):
        assert equal
        assert not asked


@settings(deadline=None)
@given(st.integers(), st.integers())
def test_numbers_need_no_process(one: int, two: int) -> None:
    assert math_equal(str(one), f"{two}.0", never) == (one == two)


def test_a_limit_makes_an_answer_wrong() -> None:
    asked = []

    def out_of_time(gold: str, answer: str) -> bool:
        asked.append(answer)
        raise LimitError("too slow")

    assert not math_equal("x+1,x+2,x+3", "y+1,y+2,y+3", out_of_time)
    assert len(asked) == 1, "an answer with one hostile member is given up at once"


def test_long_lists_are_compared_by_spelling() -> None:
    members = [f"x+{n}" for n in range(MAX_MEMBERS + 1)]
    assert math_equal(",".join(members), ",".join(members), never)
    assert not math_equal(",".join(members), ",".join(reversed(members)), never)


def test_members_are_matched_one_to_one() -> None:
    assert math_equal("x+1,x+1,x", "x,1+x,x+1")
    assert not math_equal("x+1,x+1,x", "x,x,1+x")


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ("9^{9^{9^{9}}}", "x"),
        ("(10^{10})!", "x"),
        (r"\int_0^{10^9} e^{x^2}\sin(x^x)\,dx", "x"),
    ],
)
def test_what_takes_too_long_is_stopped(worker: MathWorker, gold: str, answer: str) -> None:
    with pytest.raises(LimitError, match="within the limits"):
        worker.compare(gold, answer)
    assert worker.compare("x+1", "1+x"), "the next comparison gets a new process"
    assert worker.started == 2


def test_what_needs_too_much_memory_is_not_equal(worker: MathWorker) -> None:
    starved = MathWorker(seconds=20, memory=1)  # nothing more than what the process has once it is ready
    try:
        assert not math_equal("7^{40000}x", "x7^{40000}", starved.compare)
    finally:
        starved.close()
    assert math_equal("7^{40000}x", "x7^{40000}", worker.compare)
    assert worker._process is not None
    limits = Path(f"/proc/{worker._process.pid}/limits")
    if limits.exists():
        line = next(line for line in limits.read_text().splitlines() if line.startswith("Max address space"))
        assert str(worker.memory) in line.split()


def test_deep_nesting_is_stopped(worker: MathWorker) -> None:
    with pytest.raises(LimitError):
        worker.compare("{" * 900 + "x" + "}" * 900, "x")


def test_one_process_serves_many_comparisons(worker: MathWorker) -> None:
    assert [worker.compare("2x", f"{n}x") for n in range(4)] == [False, False, True, False]
    assert worker.started == 1


def test_a_process_that_died_is_replaced(worker: MathWorker) -> None:
    assert worker.compare("2x", "x+x")
    assert worker._process is not None
    worker._process.kill()
    worker._process.wait()
    assert worker.compare("2x", "x+x")
    assert worker.started == 2


def test_a_process_that_cannot_start_is_told(worker: MathWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.sys, "executable", "/bin/false")
    with pytest.raises(UserError, match="does not start"):
        worker.start()


def test_the_process_sees_no_secrets(worker: MathWorker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "very-secret")
    worker.compare("x", "y")
    assert worker._process is not None
    environment = Path(f"/proc/{worker._process.pid}/environ")
    if not environment.exists():
        pytest.skip("no /proc here")
    assert b"very-secret" not in environment.read_bytes()


def test_no_text_is_evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # whatever the grammar hands to sympy as a string would go through eval
    from sympy.parsing import sympy_parser

    assert child.equal("y=2x", "x=y/2")  # sympy makes tables of its own by eval, on first use
    called = []
    monkeypatch.setattr(sympy_parser, "eval_expr", lambda *args: called.append(args))
    assert child.equal("2x+0.5", r"\frac{4x+1}{2}")
    for text in ("__import__('os').getcwd()", "1)*exit()", "f(lambda: 0)", "0x10", "1e5", "x.free_symbols"):
        child.equal(text, "2x")
    assert not called
    with pytest.raises(ValueError, match="not evaluated"):
        child.numeral("__import__('os')")


def test_a_forked_process_takes_a_worker_of_its_own() -> None:
    assert workers.compare("x+x", "2x")
    ours = workers.own()
    forked = os.fork()
    if forked == 0:  # pragma: no cover
        ok = workers.own() is not ours and workers.compare("x+x", "2x")
        workers.own().close()
        os._exit(0 if ok else 1)
    assert os.waitpid(forked, 0)[1] == 0
    assert workers.compare("x+x", "2x")
    assert workers.own() is ours


@settings(deadline=None, max_examples=50)
@given(NOISE)
def test_no_response_raises_and_metrics_are_ordered(text: str) -> None:
    values = score(text, "5")
    assert values["exact_match"] <= values["math_equal"] <= values["parse_rate"]
    assert "truncated" not in values


def test_breakdown_gives_means_and_standard_errors() -> None:
    items = [{"domain": "Level 2", "math_equal": value} for value in (0.0, 1.0, 1.0, 1.0)]
    rows = breakdown([*items, {"domain": "Level 1", "math_equal": 1.0}])
    assert rows[0] == {"domain": "Level 1", "n": 1, "math_equal": 1.0}
    assert rows[1] == {"domain": "Level 2", "n": 4, "math_equal": 0.75, "math_equal_stderr": 0.25}
    assert str(rows) == "Level 1 1.00, Level 2 0.75"
