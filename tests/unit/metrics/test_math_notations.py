"""Notations taken apart: boxes and golds, arithmetic, products, sets, chains, times. Single pairs are golden cases."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmx_metrics.math.compare.arithmetic import evaluated
from lmx_metrics.math.compare.equations import chain, named, names
from lmx_metrics.math.compare.equivalence import math_equal
from lmx_metrics.math.compare.products import explicit
from lmx_metrics.math.compare.sets import readings, same_set
from lmx_metrics.math.notation.boxes import boxes, corrects_itself, joined
from lmx_metrics.math.notation.gold import ALTERNATIVE, alternatives, gold_answer
from lmx_metrics.math.process.worker import Budget, LimitError, MathWorker
from lmx_metrics.math.scoring import score


def never(gold: str, answer: str) -> bool:
    raise AssertionError(f"{gold} and {answer} need no process")


@settings(deadline=None)
@given(st.integers(10, 10**7), st.data())
def test_a_blank_between_digits_is_no_part_of_a_number(number: int, data: st.DataObject) -> None:
    digits = str(number)
    at = data.draw(st.integers(1, len(digits) - 1))
    apart = f"{digits[:at]} {digits[at:]}"
    groups_thousands = len(digits) - at == 3 and at <= 3
    assert math_equal(digits, apart, never) == groups_thousands
    assert not math_equal(f"x^{{{digits}}}", f"x^{digits[:at]} {digits[at:]}", lambda one, two: one == two)


@settings(deadline=None)
@given(st.integers(2, 99), st.integers(2, 99), st.integers(-300, 10**4))
def test_a_number_before_a_bracket_is_a_factor(one: int, two: int, gold: int) -> None:
    for text in (f"{one}({two})", f"({one})({two})", rf"{one}\left({two}\right)", f"({one}){two}"):
        assert math_equal(str(one * two), text, never)
        assert math_equal(str(gold), text, never) == (gold == one * two)


@settings(deadline=None)
@given(st.integers(0, 23), st.integers(0, 59), st.integers(0, 23), st.integers(0, 59))
def test_times_are_only_equal_to_themselves(hour: int, minute: int, other: int, late: int) -> None:
    same = (hour, minute) == (other, late)
    assert math_equal(f"{hour}:{minute:02}", f"{other}:{late:02}", never) == same


@settings(deadline=None)
@given(st.recursive(st.integers(0, 50), lambda inner: st.tuples(st.sampled_from("+-*/"), inner, inner), max_leaves=8))
def test_arithmetic_is_exact(tree: object) -> None:
    text, value = _written(tree)
    if value is None:
        assert evaluated(text) is None
    else:
        assert evaluated(text) == value


def _written(tree: object) -> tuple[str, Fraction | None]:
    if isinstance(tree, int):
        return str(tree), Fraction(tree)
    assert isinstance(tree, tuple)
    operator, (left, one), (right, two) = tree[0], _written(tree[1]), _written(tree[2])
    text = rf"\frac{{{left}}}{{{right}}}" if operator == "/" else f"({left}{operator}{right})"
    if one is None or two is None or (operator == "/" and not two):
        return text, None
    return text, {"+": one + two, "-": one - two, "*": one * two, "/": one / (two or 1)}[operator]


@pytest.mark.parametrize(
    "text", ["9^{9^{9}}", "101!", "3!!", "2^{0.5}", "2 3", "(2", "1/0", "x", "", "(" * 40 + "1" + ")" * 40]
)
def test_what_is_large_or_unclear_has_no_value(text: str) -> None:
    assert evaluated(text) is None


@pytest.mark.parametrize(
    ("text", "product"),
    [
        ("2(3)", r"2\cdot (3)"),
        (r"2^{6}3^{5}", r"2^{6}\cdot 3^{5}"),
        (r"\frac{1}{2}(4)", r"\frac{1}{2}\cdot (4)"),
        (r"1\frac{1}{2}", r"(1+\frac{1}{2})"),
        ("f^{-1}(x)", "f^{-1}(x)"),
        (r"\log_{2}8", r"\log_{2}8"),
        (r"\sin^{2}(3)", r"\sin^{2}(3)"),
        ("f(2)", "f(2)"),
        (r"3\frac{5}{2}", None),
        ("2 3", None),
        ("2{3}", None),
        ("{2}{3}", None),
    ],
)
def test_products_are_made_plain_and_doubtful_ones_not_read(text: str, product: str | None) -> None:
    assert explicit(text) == product


@pytest.mark.parametrize(
    ("one", "two", "same"),
    [
        (r"(0,9)\cup(9,36)", r"(0,36)\setminus\{9\}", True),
        (r"(9,36)\cup(0,9)", r"0<x<36,x\ne9", True),
        (r"[0,9]\cup(9,36)", "[0,36)", True),
        (r"(0,9)\cup(9,36)", "(0,36)", False),
        (r"[0,5]\setminus\{0\}", "(0,5]", True),
        ("x>5", "5<x", True),
        ("x>5", "y>5", False),
        ("x>5", r"x\ge5", False),
        (r"]1,2]", "1<x\\le2", True),
        (r"x<1\or x>4", r"\mathbb{R}\setminus[1,4]", True),
    ],
)
def test_sets_have_one_form(one: str, two: str, same: bool) -> None:
    pairs = [(ours, theirs) for ours in readings(one) for theirs in readings(two)]
    assert pairs
    assert any(same_set(ours, theirs, str.__eq__) for ours, theirs in pairs) == same


def test_what_is_no_set_has_no_reading() -> None:
    for text in ("5", "x+y<5", r"x\in\mathbb{Z}", "(1,2,3)", r"\{x|x>1", "x>1,y", "<", "1<x>2"):
        assert readings(text) == [], text


def test_names_and_chains() -> None:
    assert named("|AB|=1") == ("|AB|", "1")
    assert named("V_{1}:V_{2}=11:21") == ("V_{1}:V_{2}", "11:21")
    assert named("5=x") == ("x", "5")
    assert named("2x=10") is None
    assert chain("x+y=3+4=7") == ["3+4", "7"]
    assert chain("-x=5") == ["-x", "5"]
    assert chain(r"\sum_{k=1}^{n}k") == []
    assert names("x_{1}=1,x_{2}=2") == {"x"}
    assert names("x=1,y=2") == {"x", "y"}


def test_boxes_that_belong_together() -> None:
    text = r"So $x=\boxed{1}$, $x=\boxed{2}$ and $\boxed{3}$."
    assert joined(text, boxes(text)) == ["1", "2", "3"]
    for text, last in (
        (r"$x=\boxed{1}$ and $y=\boxed{2}$", "2"),
        (r"$\boxed{1}$, but no: $\boxed{2}$", "2"),
        (r"The area is $\boxed{1}$ and the side is $\boxed{2}$", "2"),
        (r"$\boxed{1} = \boxed{2}$", "2"),
        (r"$\boxed{2}$ and $\boxed{2}$", "2"),
    ):
        assert joined(text, boxes(text)) == [last], text
    assert corrects_itself(r"$\boxed{1}$. Wait, $\boxed{2}$", boxes(r"$\boxed{1}$. Wait, $\boxed{2}$"))


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"$-\boxed{5}$", "-5"),
        (r"$x=-\boxed{a+b}$", "-(a+b)"),
        (r"$8-\boxed{5}$", "5"),
        ("- \\boxed{5}", "5"),
        (r"$\boxed{5}\%$", r"5\%"),
        (r"$\pm\boxed{5}$", r"\pm 5"),
    ],
)
def test_signs_around_a_box_belong_to_it(text: str, content: str) -> None:
    assert boxes(text)[-1].content == content


LIST = "Find all values of $b$. Enter them separated by commas."


@pytest.mark.parametrize(
    ("problem", "solution", "gold"),
    [
        (LIST, r"Either $b = \boxed{-4}.$ If $r = 1,$ then $b = \boxed{4}.$", "-4, 4"),
        ("Find $b$.", r"Its square is $\boxed{16}$. Then $b = \boxed{4}.$", "4"),
        ("Find $b$.", r"It is $\boxed{4}$ - OR - by hand, $\boxed{4}$.", "4"),
        ("Solve.", r"They are $\boxed{-4}$ and $\boxed{4}$.", "-4, 4"),
        ("Simplify.", r"This is $\boxed{x+1}$ or $\boxed{1+x}$.", f"x+1{ALTERNATIVE}1+x"),
        ("Find one.", r"$\boxed{1}$ and $\boxed{2}$. (Either is an acceptable answer.)", f"1{ALTERNATIVE}2"),
        ("Find $d$.", r"It is $\boxed{-3}$. Note: $\boxed{3}$ is also accepted as an answer.", f"-3{ALTERNATIVE}3"),
        ("What is it?", r"As $\boxed{9}=3$, $3$ is our answer. We have not boxed the correct answer.", "3"),
        ("What is it?", "It is 3.", None),
    ],
)  # fmt: skip
def test_golds_of_several_boxes(problem: str, solution: str, gold: str | None) -> None:
    assert gold_answer(problem, solution) == gold
    if gold is not None:
        assert score(solution, gold)["math_equal"] == 1


def test_each_alternative_is_right_and_nothing_else() -> None:
    gold = f"(1,0){ALTERNATIVE}(-1,0)"
    assert alternatives(gold) == ["(1,0)", "(-1,0)"]
    for answer in ("(1,0)", "(-1,0)", "(-1,0),(1,0)"):
        assert math_equal(gold, answer), answer
    for answer in ("(2,0)", "(1,0),(2,0)", "1,0", "(0,1)"):
        assert not math_equal(gold, answer), answer


def test_the_comparisons_of_an_answer_share_their_time() -> None:
    worker = MathWorker()
    budget = Budget(seconds=0.3, worker=worker)
    try:
        assert budget.compare("x+x", "2x")
        left = budget.left
        assert left < 0.3
        assert budget.compare("x+x", "2x"), "the same pair is not compared twice"
        assert budget.left == left
        with pytest.raises(LimitError, match="within the limits"):
            budget.compare("(10^{10})!", "x")
        with pytest.raises(LimitError, match="used up"):
            budget.compare("x+y", "y+x")
        assert worker.started == 1, "nothing is asked of a new process"
        assert Budget(worker=worker).compare("x+y", "y+x"), "the next answer has its own time"
    finally:
        worker.close()


def test_a_list_of_slow_members_costs_no_more_than_one() -> None:
    asked: list[float] = []

    class Slow(MathWorker):
        def timed(self, gold: str, answer: str, seconds: float) -> tuple[bool, float]:
            asked.append(seconds)
            return False, 0.9

    budget = Budget(seconds=2.0, worker=Slow())
    assert not math_equal("x+1,x+2,x+3,x+4", "y+1,y+2,y+3,y+4", budget.compare)
    assert [round(seconds, 1) for seconds in asked] == [2.0, 1.1, 0.2]
