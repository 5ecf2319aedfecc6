"""The study's score of a sectioned answer, `format_score_0_5`: how many of five flags an answer earns.

The flags are the study's own rules, exactly, with their leniencies; `structure` has rules of this project for the same
layout. An answer is judged as it was written, reasoning included, with ``\\n`` line ends:

- ``format_headings``: each of the five headings begins a line, a colon directly behind it; anything may follow.
- ``format_order``: the first such lines of the five come in the order asked for. A missing heading has no place in it.
- ``format_end_marker``: some line is the end marker only, blanks at its ends set aside. What follows does not matter.
- ``format_bullets``: two to four bullets in each section but the first. A section is what stands below a line that is
  a heading with its colon *alone* (blanks at the line's end set aside), up to the next such line, the end marker's line
  or the end. A bullet is a line that begins, after blanks, with ``-``, ``*`` or ``•`` and a blank (or nothing
  more); other lines belong to the bullet before them.
- ``format_stems``: no two bullets of those sections share their first three words. Words are runs of letters, digits
  and apostrophes, in lower case, of the whole bullet with its further lines; a bullet without any is left out, so an
  answer without bullets passes.
"""

from __future__ import annotations

import itertools
import re

from lmx_metrics.structure import DEFAULT_SPEC, SectionSpec
from lmx_metrics.text import normalise_newlines

FLAGS = ("format_headings", "format_order", "format_end_marker", "format_bullets", "format_stems")
STEM_WORDS = 3

_BULLET = re.compile(r"[ \t]*[-*•](?=\s|$)")
_WORD = re.compile(r"(?:[^\W_]|['’])+")


def score(text: str, spec: SectionSpec = DEFAULT_SPEC) -> dict[str, float]:
    """Return the five `FLAGS`, each 0.0 or 1.0, and their sum ``format_score_0_5``.

    Args:
        text: any string; never raises.
        spec: the headings, the number of bullets and the end marker; its other fields play no part.
    """
    lines = normalise_newlines(text).split("\n")
    first = [_first(lines, heading) for heading in spec.headings]
    sections = _sections(lines, spec)
    counted = [sections.get(heading, []) for heading in spec.headings[1:]]
    low, high = spec.bullets
    stems = [stem for bullets in counted for bullet in bullets if (stem := _stem(bullet))]
    flags = (
        None not in first,
        None not in first and first == sorted(at for at in first if at is not None),
        any(line.strip() == spec.end_marker for line in lines),
        all(low <= len(bullets) <= high for bullets in counted),
        len(set(stems)) == len(stems),
    )
    values = {name: float(flag) for name, flag in zip(FLAGS, flags, strict=True)}
    return {**values, "format_score_0_5": sum(values.values())}


def _first(lines: list[str], heading: str) -> int | None:
    """Return the number of the first line that begins with a heading and its colon."""
    return next((number for number, line in enumerate(lines) if line.startswith(heading + ":")), None)


def _sections(lines: list[str], spec: SectionSpec) -> dict[str, list[list[str]]]:
    """Return the bullets, each with its further lines, below each heading alone; the first of a name counts."""
    alone = {f"{heading}:": heading for heading in spec.headings}
    found: dict[str, list[list[str]]] = {}
    bullets: list[list[str]] | None = None
    for line in lines:
        if heading := alone.get(line.rstrip()):
            bullets = []
            found.setdefault(heading, bullets)
        elif line.strip() == spec.end_marker:
            bullets = None
        elif bullets is not None:
            if _BULLET.match(line):
                bullets.append([line])
            elif bullets:
                bullets[-1].append(line)
    return found


def _stem(bullet: list[str]) -> tuple[str, ...]:
    words = (match.group().lower() for line in bullet for match in _WORD.finditer(line))
    return tuple(itertools.islice(words, STEM_WORDS))
