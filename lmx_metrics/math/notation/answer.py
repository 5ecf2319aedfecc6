r"""Where is the final answer in a response? The last `\boxed{...}`, else a final-answer phrase, else nowhere.

All functions take any string, never raise, and run in time linear in its length.
"""

from __future__ import annotations

import re

from lmx_metrics.math.notation.boxes import boxes, corrects_itself, distinct, joined
from lmx_metrics.text import normalise_newlines, split_reasoning

# "the answer is", "Final answer:", "**Answer:**", "the answer to the question is therefore", with what follows.
_SUBJECT = (
    r"(?:final\s{1,3}(?:answer|result|solution|value)|(?:correct|right|best)\s{1,3}(?:option|choice)|answer|ans(?=[.:]))"
    r"s?"
)
_VERB = r"\b(?:is|are|equals|becomes|(?:will|must|should|would)\s+be)\b"
_ADVERB = (
    r"(?:\s+(?:thus|then|therefore|hence|simply|just|also|indeed|exactly|approximately|about|given\s+by|equal\s+to"
    r"|now)\b)*"
)
_PHRASE = re.compile(
    rf"\b{_SUBJECT}\b(?:[ ](?:to|of|for)[ ][^\n.:$]{{1,60}}?)?[*_.\s]{{0,4}}"
    rf"(?:{_VERB}{_ADVERB}|[:=])[*_:\s]{{0,8}}(?=\S)",
    re.IGNORECASE,
)
_HEADING = re.compile(r"^[#*_\s]{0,8}(?:the\s+)?(?:final\s+)?answer[*_.:\s]{0,4}\n+[*_\s]{0,4}(?=\S)", re.I | re.M)
_FORMULA = r"\$\$.{1,300}?\$\$|\$(?:\\.|[^$\\]){1,300}\$|\\\(.{1,300}?\\\)|\\\[.{1,300}?\\\]"
_AFTERWARDS = re.compile(
    rf"({_FORMULA}|\*\*[^*\n]{{1,80}}\*\*|[-−]?\d[\d,./]*)\s+(?:is|are)\s+(?:the|our|my)\s+"
    r"(?:final\s+|correct\s+)?answers?\b",
    re.DOTALL,
)
_MATH = re.compile(r"\$\$(.+?)\$\$|\$((?:\\.|[^$\\])+)\$|\\\((.+?)\\\)|\\\[(.+?)\\\]", re.DOTALL)
_JOIN = re.compile(r"\s*(?:,?\s*(?:and|or)|,)\s*(?=\$|\\\(|\\\[)")
_SENTENCE_END = re.compile(r"[.!?](?:[\"'”)*_]*)(?:\s|$)")
_PROMISE = re.compile(r"\.?\s*I hope (?:it|this) is correct.*", re.IGNORECASE | re.DOTALL)
_REASON = re.compile(
    r",?\s+(?:because|since|as|which|where|when|so|giving|making|i\.e\.?,?|that is,?)(?:\s.*|$)", re.IGNORECASE
)
_CLAUSE = re.compile(
    r"(?:the|there|this|that|it|its|so|thus|therefore|hence|then|our|we|his|her|their|each|an?)\s", re.IGNORECASE
)
_CLAUSE_VERB = re.compile(r"\b(?:is|are|was|were|equals?|be|have|has|get|gets)\b(?:\s+equal\s+to\b)?:?\s+")
_NOT_BOXED = re.compile(r"\bnot boxed the (?:correct |final )?answer", re.IGNORECASE)

_PHRASE_LENGTH = 1000
"""Characters after a final-answer phrase that are looked at."""


def extract(text: str) -> str | None:
    r"""Return the final answer as it was written, or None where there is none.

    Reasoning (`<think>...</think>`) is taken out first: a box in it is a step, not an answer. Then the last
    balanced, not empty `\boxed` or `\fbox` counts (of nested boxes the inner one), with those that are joined to it
    by "and", "or" or a comma; without any, what follows the last phrase such as "The answer is" or "Answer:".
    """
    answer, _ = split_reasoning(normalise_newlines(text), "\0")
    found = boxes(answer)
    if found and not _NOT_BOXED.search(answer):
        return ", ".join(joined(answer, found))
    return after_phrase(answer)


def extract_all(text: str) -> list[str]:
    """Return every answer that stands in a box of its own, where the text gives several and takes none back."""
    answer, _ = split_reasoning(normalise_newlines(text), "\0")
    found = boxes(answer)
    return [] if corrects_itself(answer, found) else distinct(found)


def after_phrase(text: str) -> str | None:
    """Return what follows the last final-answer phrase: its formulas, else the rest of the sentence."""
    ends = [match.end() for pattern in (_PHRASE, _HEADING) for match in pattern.finditer(text)]
    before = next(reversed(list(_AFTERWARDS.finditer(text))), None)
    if before and before.end() > max(ends, default=0):
        return _content(before[1])
    if not ends:
        return None
    return _content(_PROMISE.sub("", text[max(ends) : max(ends) + _PHRASE_LENGTH]))


def _content(rest: str) -> str | None:
    parts: list[str] = []
    at = 0
    while match := _MATH.match(rest, at):
        parts.append(next(group for group in match.groups() if group is not None).strip())
        link = _JOIN.match(rest, match.end())
        if not link:
            break
        at = link.end()
    if parts:
        return ", ".join(parts) or None
    line = rest.partition("\n")[0]
    if end := _SENTENCE_END.search(line):
        line = line[: end.start()]
    line = _REASON.sub("", line)
    if _CLAUSE.match(line) and (verbs := list(_CLAUSE_VERB.finditer(line))):
        # "The largest n is 34" says 34; a sentence of two clauses is not taken apart
        value = line[verbs[-1].end() :]
        if len(verbs) == 1 and value.strip():
            return _content(value)
    return line.strip(" \t*_`.,;:") or None
