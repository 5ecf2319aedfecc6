"""Extraction and spelling of answers: any text is taken, spelling twice changes nothing, units and numbers are read."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmx_metrics.math.compare.equations import chain, named
from lmx_metrics.math.compare.products import explicit
from lmx_metrics.math.compare.sets import readings
from lmx_metrics.math.compare.shapes import shape
from lmx_metrics.math.notation.answer import extract
from lmx_metrics.math.notation.boxes import boxes
from lmx_metrics.math.notation.latex import braced_arguments, matching_braces, split
from lmx_metrics.math.notation.normalise import MAX_LENGTH, normalise
from lmx_metrics.math.notation.numbers import based, number
from lmx_metrics.math.notation.units import compatible, split_unit

PIECES = [r"\boxed", r"\fbox", "{", "}", "\\", "$", r"\frac", r"\sqrt", r"\text", "the answer is", "Answer:", "<think>",
          "</think>", "1", "x", ",", "(", "]", r"\{", r"\cup", r"\begin{pmatrix}", r"\end{pmatrix}", "&", r"\\", "^",
          "_", "%", r"\$", " ", "\n", "½", "²", "\u0000", "\ud800", "=",
          "<", r"\le", r"\pm", r"\circ", "and"]  # fmt: skip
NOISE = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=40).map("".join)


@settings(deadline=None)
@given(NOISE)
def test_any_text_is_taken(text: str) -> None:
    extract(text)
    value, _ = normalise(text)
    shape(value)
    for function in (named, chain, readings, explicit, number, based, braced_arguments, boxes, matching_braces):
        function(value)


@settings(deadline=None)
@given(NOISE)
def test_what_is_put_into_a_box_comes_out(text: str) -> None:
    content = text.replace("\\", "").replace("{", "").replace("}", "").replace("\r", "").strip()
    content = content.replace("<think>", "").replace("</think>", "")
    if content.strip():
        assert extract(f"\\boxed{{{content}}}") == content.strip()


@settings(deadline=None)
@given(st.fractions())
def test_fractions_are_read_as_they_are(value: Fraction) -> None:
    assert number(f"{value.numerator}/{value.denominator}") == value
    sign = "-" if value < 0 else ""
    assert number(rf"{sign}\frac{{{abs(value.numerator)}}}{{{value.denominator}}}") == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (r"1\frac{1}{2}", Fraction(3, 2)),
        (r"-1\frac{1}{2}", Fraction(-3, 2)),
        (r"0.\overline{3}", Fraction(1, 3)),
        (r"0.1\overline{6}", Fraction(1, 6)),
        (r".\overline{142857}", Fraction(1, 7)),
        ("0.50", Fraction(1, 2)),
        ("--5", Fraction(5)),
        (r"\frac{-1}{-2}", Fraction(1, 2)),
        (r"\frac{1}{0}", None),
        ("1/0", None),
        (r"1\frac{3}{2}", None),
        ("1e5", None),
        ("", None),
        ("٣", Fraction(3)),
    ],
)
def test_numbers(text: str, value: Fraction | None) -> None:
    assert number(text) == value


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        (r"5\text{ cm}", "5", "cm"),
        (r"5\text{ square feet}", "5", "ft^2"),
        (r"5\text{ cm}^3", "5", "cm^3"),
        (r"18\text{ ways}", "18", ""),
        ("90 km per hour", "90", "km/h"),
        ("5 cubic units", "5", ""),
        ("5m", "5m", ""),
        ("5 xy", "5 xy", ""),
        (r"\text{red}", r"\text{red}", ""),
        (r"-\$5", "-5", "dollar"),
        (r"30\%", "30", "percent"),
    ],
)
def test_units(text: str, value: str, unit: str) -> None:
    assert split_unit(text) == (value, unit)


def test_units_contradict_each_other_only_when_both_are_known() -> None:
    assert compatible("cm", "")
    assert compatible("cm", "cm")
    assert not compatible("cm", "cm^2")


@pytest.mark.parametrize(
    ("text", "braced"),
    [
        (r"\frac12", r"\frac{1}{2}"),
        (r"\frac1{72}", r"\frac{1}{72}"),
        (r"\frac{360}7", r"\frac{360}{7}"),
        (r"\frac\pi4", r"\frac{\pi}{4}"),
        (r"\sqrt2+\sqrt[3]5", r"\sqrt{2}+\sqrt[3]{5}"),
        (r"\frac{\frac12}3", r"\frac{\frac{1}{2}}{3}"),
        (r"\frac", r"\frac"),
        (r"\frac{1", r"\frac{1"),
    ],
)
def test_arguments_get_braces(text: str, braced: str) -> None:
    assert braced_arguments(text) == braced


def test_splitting_keeps_to_the_outer_level() -> None:
    assert split(r"(1,2],\{3,4\},\frac{5,6}{7}", {","}) == ["(1,2]", r"\{3,4\}", r"\frac{5,6}{7}"]


def test_a_long_answer_is_left_as_it_is() -> None:
    text = r"\dfrac12" * MAX_LENGTH
    assert normalise(text) == (text, "")


def test_nesting_costs_no_more_than_length() -> None:
    # quadratic work would take hours here
    n = 200_000
    assert boxes("\\boxed{" * n) == []
    assert boxes("\\boxed{" * n + "7" + "}" * n)[-1].content == "7"
    assert boxes("\\boxed{" + "{" * n + "7" + "}" * n + "}")[-1].content == "{" * n + "7" + "}" * n
    assert extract("the answer " * n) is None
