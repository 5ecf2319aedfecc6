"""CSV that a spreadsheet shows as it is, and that csv readers read back."""

from __future__ import annotations

import csv as standard
import io
import math

import pytest

from lmx_files import csv

FORMULAS = ["=1+1", "+1+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", " =1", "\u200b=1", "\uff1d1", "\r=1", "\n-x"]


@pytest.mark.parametrize("text", FORMULAS)
def test_formulas_become_texts(text):
    assert csv.cell(text).startswith("'")


@pytest.mark.parametrize("value", [0, -1, 1.5, -2e-7, True, "-0.5", "+3", "1e5", "-inf", "a=b", "-", ""])
def test_numbers_and_other_texts_stay(value):
    expected = "'-" if value == "-" else value
    assert csv.cell(value) == expected


def test_what_has_no_number_is_an_empty_cell():
    assert [csv.cell(value) for value in (None, math.nan, math.inf, -math.inf)] == [""] * 4


def test_rows_come_back_whatever_is_in_them():
    rows = [{"a": 'x,"y"\nz', "b": 1.25}, {"b": None, "c": "ü; \r\n w"}]
    text = csv.text(rows)
    assert "\r" not in text
    read = list(standard.DictReader(io.StringIO(text)))
    assert read == [{"a": 'x,"y"\nz', "b": "1.25", "c": ""}, {"a": "", "b": "", "c": "ü; \n w"}]
    assert csv.text([]) == ""
    assert csv.text([{"=evil": 1}]).splitlines()[0] == "'=evil"
