r"""Numbers with colons: times of day and durations are compared as they are, ratios as ratios.

`1:30` may be either. Two digits from 00 to 59 behind the colon make it a time, which equals no other time; so a ratio
that looks like one is only equal to itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction

from lmx_metrics.math.notation.numbers import number

_TIME = re.compile(r"(\d{1,2}):([0-5]\d)(?::([0-5]\d))?")
_HOUR = re.compile(r"\d{1,2}")
_HALVES = ("am", "pm")
_NAMES = {"noon": ("12:00", "pm"), "midnight": ("12:00", "am")}


def same_time(gold: str, gold_unit: str, answer: str, answer_unit: str) -> bool | None:
    """Whether two times of day are the same; None when the gold answer is no time.

    `9 a.m.` is `9:00 a.m.`, and `13:03` is `1:03 p.m.`; without a.m. or p.m. the numbers must be the same.
    """
    gold, gold_unit = _NAMES.get(gold, (gold, gold_unit))
    answer, answer_unit = _NAMES.get(answer, (answer, answer_unit))
    if not _TIME.fullmatch(gold) and gold_unit not in _HALVES:
        return None
    ours, theirs = _clock(gold, gold_unit), _clock(answer, answer_unit)
    if ours is None or theirs is None or (answer == answer.partition(":")[0] and not answer_unit and ":" in gold):
        return False
    if (gold_unit in _HALVES) != (answer_unit in _HALVES):
        # one of the two may be in 24 hours
        named, plain, half = (ours, theirs, gold_unit) if gold_unit in _HALVES else (theirs, ours, answer_unit)
        return plain == named if 0 < plain[0] <= 12 else plain == _in_24_hours(named, half)
    return ours == theirs and gold_unit == answer_unit


def same_ratio(gold: str, answer: str, same: Callable[[str, str], bool]) -> bool:
    """Whether two ratios such as `1:2` and `2:4` are the same; `same` compares parts that are no plain numbers."""
    ours, theirs = gold.split(":"), answer.split(":")
    if len(ours) != len(theirs) or not all([*ours, *theirs]):
        return False
    if _TIME.fullmatch(gold):
        return [number(part) for part in ours] == [number(part) for part in theirs] != [None] * len(ours)
    values, others = [number(part) for part in ours], [number(part) for part in theirs]
    if None not in values and None not in others:
        return _proportional([value or Fraction(0) for value in values], [other or Fraction(0) for other in others])
    if all(same(one, two) for one, two in zip(ours, theirs, strict=True)):
        return True
    return all(
        same(rf"({ours[0]})\cdot({other})", rf"({value})\cdot({theirs[0]})")
        for value, other in zip(ours[1:], theirs[1:], strict=True)
    )


def _proportional(ours: list[Fraction], theirs: list[Fraction]) -> bool:
    if 0 in ours or 0 in theirs:
        return ours == theirs
    return all(one * theirs[0] == other * ours[0] for one, other in zip(ours, theirs, strict=True))


def _clock(text: str, unit: str) -> tuple[int, int, int] | None:
    if match := _TIME.fullmatch(text):
        return int(match[1]), int(match[2]), int(match[3] or 0)
    return (int(text), 0, 0) if _HOUR.fullmatch(text) and (unit in (*_HALVES, "")) else None


def _in_24_hours(time: tuple[int, int, int], half: str) -> tuple[int, int, int]:
    return time[0] % 12 + (12 if half == "pm" else 0), time[1], time[2]
