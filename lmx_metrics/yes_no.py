"""Does an answer to "Is a trout a fish?" say yes or no?

Read as a person would: the first word where it is yes or no, a statement about the word that was asked for, what is
said to be the answer. Where an answer says both, or neither, it is *unparsed*.
"""

from __future__ import annotations

import re

from lmx_metrics.count_answer import after_corrections
from lmx_metrics.text import normalise_newlines, split_reasoning

_YES = r"yes|yeah|yep|yup"
_NO = r"no|nope|nah"
_MARKUP = re.compile(r"[*`_~#>$\"“”]+|^[ \t]*[-+•][ \t]+", re.MULTILINE)
_MORE = re.compile(
    r"\n\s*(?:Q|Question|Words?|User|Human|Input|Example|Next)\b\s*\d*\s*:|<\|\w+\|>"
    r"|(?<=\w)[^\w\n]*\n+\s*(?:(?:Q|Question)\W+)?(?:Is|Are)\s[^\n?]{1,120}\?",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\s*\{+\s*(?:\\text\s*\{)?([^{}]*)\}|<answer>([^<]*)</answer>", re.IGNORECASE)
_CUED = re.compile(
    rf"\banswer\b(?:\s+to\b[^.\n:]{{0,80}})?\s*(?:is|:|=|would be)+\s*(?:therefore\s+)?({_YES}|{_NO})\b", re.I
)
_BOTH = re.compile(
    rf"\b(?:{_YES})\s*(?:/|,?\s*\bor\b|,?\s*\band\b)\s*(?:{_NO})\b|\b(?:{_NO})\s*(?:/|\bor\b)\s*(?:{_YES})\b", re.I
)
_OPENING = r"^\W*(?:(?:so|okay|ok|well|sure|certainly|hmm+|oh|ah|answer|a)\b\W+)*"
_LEADING_YES = re.compile(rf"{_OPENING}(?:{_YES})\b(?!\s*\?)", re.IGNORECASE)
_LEADING_NO = re.compile(
    rf"{_OPENING}(?:{_NO})\b(?:(?=\s*(?:[,;:!)(\n–—]|-\s|\.(?!\s*\d)|$))|(?=\s+(?:it|its|this|that|these|those|an?|the|they|because"
    r"|since|not)\b))",
    re.IGNORECASE,
)
_BARE = {
    **dict.fromkeys(("true", "correct", "y", "it is", "they are", "it does", "right", "indeed", "affirmative"), True),
    **dict.fromkeys(
        ("false", "incorrect", "n", "it is not", "it isn't", "they are not", "they aren't", "negative"), False
    ),
}
"""What says yes or no where it is all that a line holds."""
_ECHO = re.compile(r"^[^.!?\n]*\?\s*")
"""The question, said again."""
_UNSURE = re.compile(r"\b(?:if|whether|unless|suppose|maybe|perhaps|might|could|depends?)\b", re.IGNORECASE)
_NOT = r"(?:not|n['’]t|never|no longer|neither|hardly)"
_KIND, _WORD = "⟨kind⟩", "⟨word⟩"
_ABOUT = rf"(?:{_WORD}|\b(?:it|they|this|that|these|those))(?:\s+(?:word|words|item))?"
_ADVERBS = (
    r"(?:\s+(?:indeed|definitely|certainly|clearly|generally|usually|commonly|actually|also|technically|really))*"
)
_LINK = (
    r"(?:\s+(?:considered|classified|regarded|called|known)(?:\s+as)?(?:\s+to\s+be)?)?"
    r"(?:\s+(?:an?|the|one\s+of\s+the|some))?"
    r"(?:\s+(?:type|kind|sort|form|example|species|variety|member)s?\s+of(?:\s+(?:an?|the))?)?"
    r"(?:\s+(?!not\b|and\b|or\b|but\b)[\w-]+)??"
)
_DENIED = re.compile(
    rf"{_ABOUT}\s*(?:is|are|['’]s|['’]re|would be|was)?\s*{_NOT}\b{_ADVERBS}{_LINK}\s+{_KIND}"
    rf"|{_ABOUT}\s*(?:is|are)n['’]t{_ADVERBS}{_LINK}\s+{_KIND}"
    rf"|(?:^|,|\bbut)\s*{_NOT}(?!\s+(?:only|just)\b){_LINK}\s+{_KIND}",
    re.IGNORECASE,
)
_ASSERTED = re.compile(rf"{_ABOUT}(?:\s*(?:is|are|was)|['’]s|['’]re)\b{_ADVERBS}{_LINK}\s+{_KIND}", re.IGNORECASE)


def parse_yes_no(text: str, word: str = "", category: str = "", plural: str = "") -> bool | None:
    """Return whether an answer says yes, or None where it says neither or a reader could not tell.

    Args:
        text: the answer.
        word, category, plural: what was asked, `Is a WORD a CATEGORY?`; with them statements are read as well.

    Statements are those of `word` (or "it", "they") and `category` (or `plural`): "A trout is a fish." is yes, "It is
    not a fish" is no. What another category is said of the word is neither.

    >>> parse_yes_no("Yes."), parse_yes_no("**No**, it is a bird."), parse_yes_no("Yes and no.")
    (True, False, None)
    >>> parse_yes_no("A trout is a fish.", "trout", "fish", "fish")
    True
    """
    answer = split_reasoning(normalise_newlines(text), "\0")[0].strip()
    answer = _MORE.split(answer, maxsplit=1)[0]
    boxed = [match.group(1) or match.group(2) or "" for match in _BOXED.finditer(answer)]
    if boxed:
        return _said(boxed[-1])
    answer = after_corrections(_MARKUP.sub(" ", answer)).strip()
    if _BOTH.search(answer):
        return None
    answer = _ECHO.sub("", answer)
    cued = {_is_yes(match.group(1)) for match in _CUED.finditer(answer)}
    if cued:
        return cued.pop() if len(cued) == 1 else None
    return _agreed({*_of_lines(answer), *_statements(answer, word, category, plural)})


def _agreed(found: set[bool]) -> bool | None:
    return found.pop() if len(found) == 1 else None


def _is_yes(text: str) -> bool:
    return re.fullmatch(_YES, text.strip(), re.IGNORECASE) is not None


def _said(text: str) -> bool | None:
    bare = text.strip(" .!\n").casefold()
    if re.fullmatch(f"{_YES}|{_NO}", bare):
        return _is_yes(bare)
    return _BARE.get(bare)


def _of_lines(answer: str) -> set[bool]:
    """Return what the first line begins with, and every sentence that is nothing but a yes or a no."""
    found = set()
    if _LEADING_YES.match(answer):
        found.add(True)
    elif _LEADING_NO.match(answer):
        found.add(False)
    for sentence in re.split(r"(?<=[.!])\s(?!\d)|\n", answer):  # "No. 1" is one
        if (said := _said(sentence)) is not None:
            found.add(said)
    return found


def _statements(answer: str, word: str, category: str, plural: str) -> set[bool]:
    """Return what sentences say of the word and the category, which stand as `_WORD` and `_KIND` in the patterns."""
    if not category:
        return set()
    text = answer
    for name in sorted({category, plural or f"{category}s"}, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(name)}(?!\w|[-'’]\w|\s+-)", _KIND, text, flags=re.IGNORECASE)
    if word:
        text = re.sub(rf"(?<!\w){re.escape(word)}(?:e?s)?(?!\w)", _WORD, text, flags=re.IGNORECASE)
    found = set()
    for sentence in re.split(r"(?<=[.!?])\s|\n", text):
        if _KIND not in sentence or sentence.rstrip().endswith("?") or _UNSURE.search(sentence):
            continue
        if _DENIED.search(sentence):
            found.add(False)
        elif _ASSERTED.search(sentence):
            found.add(True)
    return found
