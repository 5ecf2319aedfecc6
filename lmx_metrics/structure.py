"""Does an answer keep to a sectioned layout? One small verifier for each constraint, three states each.

What is judged: the answer without its reasoning blocks and with `\\n` line ends. The content constraints
(headings, order, goal, bullets, stems) see the text *before* the end marker, which is the first line that is
the marker alone, or, where there is none, the first place the marker occurs. The end marker constraint sees
the whole answer. The length constraint sees everything that was generated.

Strict takes the text as it is. Loose also forgives markdown around headings, backticks around the end marker, check
boxes in bullets, text after a heading's colon, blank space and byte order marks around the answer or a line, text
before the first heading, and code fences; as in IFEval, a constraint passes loosely when it passes on the text as it is
*or* on the text read loosely, so that a strict pass is always a loose pass.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from lmx_metrics.text import count_sentences, count_tokens, normalise_newlines, split_reasoning, stem

CONSTRAINTS = ("headings", "order", "goal", "bullets", "stems", "length", "end_marker")
SCORED = ("headings", "order", "end_marker", "bullets", "stems")

_UNSEEN = "\ufeff\u200b\u2060"  # a byte order mark and its like, which no reader sees
_FENCE = re.compile(r"[ \t]*(?:```[^`]*|~~~.*)$")
_BULLET = re.compile(r"[ \t]*-[ \t]+(?:\[[ xX]\][ \t]+)?(?=\S)(?!\[[ xX]?\][ \t]*$)")
_CHECKBOX = re.compile(r"[ \t]*-[ \t]+\[[ xX]\](?=[ \t]|$)")
_DECORATION = re.compile(rf"[\s>#{_UNSEEN}]*(?:\d{{1,2}}[.)])?[\s*_`]*")
_EXTRA_HEADING = re.compile(r"#{1,6}[ \t]+\S|\*\*[^*]+\*\*:?\s*$|[A-Z]\w*(?: \w+){0,2}:\s*$")

Span = tuple[int, int]


@dataclass(frozen=True)
class SectionSpec:
    """The layout asked for. The first heading's section holds sentences, every other one bullets."""

    headings: tuple[str, ...] = ("Goal", "Controls", "Readout", "Analysis", "Pitfalls")
    goal_sentences: tuple[int, int] = (1, 2)
    """Fewest and most sentences under the first heading."""
    bullets: tuple[int, int] = (2, 4)
    """Fewest and most bullets under each other heading."""
    max_tokens: int = 250
    """The answer must be *under* this many tokens."""
    end_marker: str = "<END>"

    def __post_init__(self) -> None:
        if not self.headings or not all(self.headings) or not self.end_marker:
            raise ValueError("SectionSpec needs at least one heading and an end marker, none of them empty")


DEFAULT_SPEC = SectionSpec()


class State(str, Enum):
    """Outcome of one constraint. NOT_APPLICABLE: there was nothing to judge; it never counts as a pass."""

    PASS = "pass"
    FAIL = "fail"
    NOT_APPLICABLE = "not_applicable"


@dataclass(frozen=True)
class Verdict:
    """A state with its evidence: `span` is a half-open range of characters in `judged_text`."""

    state: State
    span: Span | None = None
    note: str = ""


@dataclass(frozen=True)
class _Line:
    start: int
    text: str

    @property
    def span(self) -> Span:
        return self.start, self.start + len(self.text)

    @property
    def is_bullet(self) -> bool:
        return _BULLET.match(self.text) is not None

    @property
    def is_plain_bullet(self) -> bool:
        return self.is_bullet and self.text.startswith("- ") and not _CHECKBOX.match(self.text)


@dataclass(frozen=True)
class _Section:
    heading: str
    line: _Line
    lines: tuple[_Line, ...]
    """Lines under the heading that are not blank; text after the heading's colon comes first."""


@dataclass(frozen=True)
class _Answer:
    text: str
    loose: bool
    preamble: tuple[_Line, ...]
    sections: tuple[_Section, ...]
    bullets: tuple[_Line, ...]
    n_tokens: int
    estimated: bool

    def section(self, heading: str) -> _Section | None:
        return next((s for s in self.sections if s.heading == heading), None)


def judged_text(text: str, spec: SectionSpec = DEFAULT_SPEC) -> str:
    """The text that verdict spans point into: reasoning blocks removed, line ends as `\\n`."""
    return split_reasoning(normalise_newlines(text), spec.end_marker)[0]


def judge(text: str, spec: SectionSpec = DEFAULT_SPEC, *, loose: bool = False) -> dict[str, Verdict]:
    """One verdict for each name in `CONSTRAINTS`."""
    strict = _verify(_read(text, spec, loose=False), spec)
    if not loose:
        return strict
    forgiving = _verify(_read(text, spec, loose=True), spec)
    return {name: v if v.state is State.PASS else forgiving[name] for name, v in strict.items()}


def score(text: str, spec: SectionSpec = DEFAULT_SPEC) -> dict[str, float]:
    """Flat metric values: 1.0 for a pass, else 0.0; `share_*` from 0 to 1; `layout_score_0_5`."""
    out: dict[str, float] = {}
    for kind in ("strict", "loose"):
        passed = {n: v.state is State.PASS for n, v in judge(text, spec, loose=kind == "loose").items()}
        out.update({f"{name}_{kind}": float(ok) for name, ok in passed.items()})
        out[f"all_{kind}"] = float(all(passed.values()))
        out[f"share_{kind}"] = sum(passed.values()) / len(passed)
    out["layout_score_0_5"] = sum(out[f"{name}_loose"] for name in SCORED)
    out["has_reasoning"] = float(split_reasoning(normalise_newlines(text), spec.end_marker)[1])
    return out


def _verify(answer: _Answer, spec: SectionSpec) -> dict[str, Verdict]:
    return {
        "headings": verify_headings(answer, spec),
        "order": verify_order(answer, spec),
        "goal": verify_goal(answer, spec),
        "bullets": verify_bullets(answer, spec),
        "stems": verify_stems(answer),
        "length": verify_length(answer, spec),
        "end_marker": verify_end_marker(answer, spec),
    }


def verify_headings(answer: _Answer, spec: SectionSpec) -> Verdict:
    """Each heading once, alone on its line, and no other; strict also wants no text before the first."""
    if not answer.text.strip():
        return Verdict(State.NOT_APPLICABLE, note="empty answer")
    found = [s.heading for s in answer.sections]
    if missing := [h for h in spec.headings if h not in found]:
        return Verdict(State.FAIL, note=f"missing: {', '.join(missing)}")
    for place, section in enumerate(answer.sections):
        if section.heading in found[:place]:
            return Verdict(State.FAIL, section.line.span, f"{section.heading} appears twice")
        for line in section.lines:
            if not line.is_bullet and _EXTRA_HEADING.match(line.text):
                return Verdict(State.FAIL, line.span, "a heading that was not asked for")
    if not answer.loose and answer.preamble:
        return Verdict(State.FAIL, answer.preamble[0].span, "does not start with a heading")
    return Verdict(State.PASS, (answer.sections[0].line.start, answer.sections[-1].line.span[1]))


def verify_order(answer: _Answer, spec: SectionSpec) -> Verdict:
    """First occurrences in the order asked for. Not applicable while a heading is missing."""
    starts = [section.line.start for h in spec.headings if (section := answer.section(h))]
    if len(starts) < len(spec.headings):
        return Verdict(State.NOT_APPLICABLE, note="a heading is missing")
    for before, after in pairwise(starts):
        if after < before:
            return Verdict(State.FAIL, (after, before), "headings out of order")
    return Verdict(State.PASS, (starts[0], starts[-1]))


def verify_goal(answer: _Answer, spec: SectionSpec) -> Verdict:
    """Prose of the right number of sentences under the first heading. Not applicable without that heading."""
    section = answer.section(spec.headings[0])
    if section is None:
        return Verdict(State.NOT_APPLICABLE, note=f"no {spec.headings[0]} section")
    span = (section.line.start, section.lines[-1].span[1] if section.lines else section.line.span[1])
    if any(line.is_bullet for line in section.lines):
        return Verdict(State.FAIL, span, "bullets where sentences were asked for")
    n = count_sentences(" ".join(line.text.strip() for line in section.lines))
    low, high = spec.goal_sentences
    return Verdict(State.PASS if low <= n <= high else State.FAIL, span, f"{n} sentences")


def verify_bullets(answer: _Answer, spec: SectionSpec) -> Verdict:
    """The right number of `- ` bullets in each section but the first; strict wants nothing else there."""
    sections = [answer.section(h) for h in spec.headings[1:]]
    if not any(sections):
        return Verdict(State.NOT_APPLICABLE, note="no section that could hold bullets")
    low, high = spec.bullets
    for heading, section in zip(spec.headings[1:], sections, strict=True):
        if section is None:
            return Verdict(State.FAIL, note=f"no {heading} section")
        n = sum(line.is_bullet for line in section.lines)
        if not low <= n <= high:
            return Verdict(State.FAIL, section.line.span, f"{n} bullets in {heading}")
        odd = [line for line in section.lines if not line.is_plain_bullet]
        if odd and not answer.loose:
            return Verdict(State.FAIL, odd[0].span, f"a line in {heading} that does not start with '- '")
    return Verdict(State.PASS, note="counts in range")


def verify_stems(answer: _Answer) -> Verdict:
    """No two bullets of the whole answer start with the same two words. Needs at least two bullets."""
    if len(answer.bullets) < 2:
        return Verdict(State.NOT_APPLICABLE, note=f"{len(answer.bullets)} bullets")
    seen: set[str] = set()
    for line in answer.bullets:
        start = stem(_CHECKBOX.sub("", line.text))
        if start in seen:
            return Verdict(State.FAIL, line.span, f"starts again with {start!r}")
        seen.add(start)
    return Verdict(State.PASS, (answer.bullets[0].start, answer.bullets[-1].span[1]))


def verify_length(answer: _Answer, spec: SectionSpec) -> Verdict:
    """Fewer than `max_tokens` tokens generated. Not applicable to an empty answer."""
    if not answer.text.strip():
        return Verdict(State.NOT_APPLICABLE, note="empty answer")
    how = "estimated from words, punctuation and line breaks" if answer.estimated else "counted by the decoder"
    state = State.PASS if answer.n_tokens < spec.max_tokens else State.FAIL
    return Verdict(state, (0, len(answer.text)), f"{answer.n_tokens} tokens, {how}")


def verify_end_marker(answer: _Answer, spec: SectionSpec) -> Verdict:
    """The first line that is the marker alone is the last line. One final line break is allowed."""
    lines = _lines(answer.text, answer.loose)
    if not answer.loose and len(lines) > 1 and not lines[-1].text:
        lines.pop()
    alone = _marker_line(lines, spec.end_marker, answer.loose)
    if alone is None or not (answer.loose or alone.text == spec.end_marker):
        if (at := answer.text.find(spec.end_marker)) >= 0:
            return Verdict(State.FAIL, (at, at + len(spec.end_marker)), "the marker is not alone on its line")
        return Verdict(State.FAIL, note="no marker")
    if alone is not lines[-1]:
        return Verdict(State.FAIL, (alone.span[1], len(answer.text)), "text after the marker")
    return Verdict(State.PASS, alone.span)


def _read(text: str, spec: SectionSpec, *, loose: bool) -> _Answer:
    n_tokens, estimated = count_tokens(text)
    whole = judged_text(text, spec)
    alone = _marker_line(_lines(whole, loose=False), spec.end_marker, loose)
    end = alone.start if alone else _inline_marker(whole, spec.end_marker)
    preamble: list[_Line] = []
    found: list[tuple[str, _Line, list[_Line]]] = []
    for line in _lines(whole if end < 0 else whole[:end], loose):
        matched = _heading(line, spec, loose)
        if matched:
            heading, rest = matched
            found.append((heading, line, [rest] if rest else []))
        elif line.text.strip() or (not loose and not found):
            (found[-1][2] if found else preamble).append(line)
    sections = tuple(_Section(h, line, tuple(lines)) for h, line, lines in found)
    bullets = tuple(b for lines in (preamble, *(s.lines for s in sections)) for b in lines if b.is_bullet)
    return _Answer(whole, loose, tuple(preamble), sections, bullets, n_tokens, estimated)


def _lines(text: str, loose: bool) -> list[_Line]:
    """Lines with their offsets; loose leaves out code fences and blank lines."""
    lines, at = [], 0
    for part in text.split("\n"):
        if not loose or (part.strip() and not _FENCE.match(part)):
            lines.append(_Line(at, part))
        at += len(part) + 1
    return lines


def _marker_line(lines: list[_Line], marker: str, loose: bool) -> _Line | None:
    around = rf"[\s`{_UNSEEN}]*" if loose else r"\s*"
    alone = re.compile(rf"{around}{re.escape(marker)}{around}")
    return next((line for line in lines if alone.fullmatch(line.text)), None)


def _inline_marker(text: str, marker: str) -> int:
    """Where the text before a marker inside a line ends, or -1; decoration like `**` goes with it."""
    at = text.find(marker)
    start = text.rfind("\n", 0, max(at, 0)) + 1
    return start if at >= 0 and not re.search(r"\w", text[start:at]) else at


def _heading(line: _Line, spec: SectionSpec, loose: bool) -> tuple[str, _Line | None] | None:
    """The heading this line is, with the text after its colon (loose only), or None."""
    if not loose:
        name = line.text[:-1] if line.text.endswith(":") else line.text
        return (name, None) if name in spec.headings else None
    decoration = _DECORATION.match(line.text)
    at = decoration.end() if decoration else 0
    for name in spec.headings:
        if line.text.startswith(name, at):
            rest = line.text[at + len(name) :].lstrip(" \t*_`")
            if not rest.strip("# \t"):
                return name, None
            if rest.startswith(":"):
                rest = rest[1:].lstrip(" \t*_`")
                return name, (_Line(line.span[1] - len(rest), rest) if rest.strip("*_`# \t") else None)
    return None
