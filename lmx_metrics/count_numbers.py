"""Numbers in an answer to "how many ...": words become digits, and what is not a count is taken out.

`plain` gives a text in which every whole number that could be a count stands as digits, everything that has digits and
is no count (a fraction, a percentage, a range, a negative number) is the sign `NO_COUNT`, and numbers that only label
or repeat something (list numbering, the length of the list, "not 3") are gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

NO_COUNT = "⊘"
"""Stands for a number that cannot be a count; it is an answer that could not be read, not the lack of one."""

LIST = "ø"
"""Stands for the length of the list."""

_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen"
)
_UNITS += " eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS = {word: value for value, word in enumerate(_UNITS.split())}
NUMBER_WORDS |= {word: 10 * (place + 2) for place, word in enumerate(_TENS.split())}
NUMBER_WORDS |= {"hundred": 100, "a hundred": 100, "one hundred": 100, "a dozen": 12, "nil": 0}

SIZE_NOUN = r"(?:words?|items?|entries|entry|terms?|elements?|things?|nouns?|names?|objects?|options?)"

_MARKUP = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf)\s*\{([^{}]*)\}|\\[()\[\],;!]|\\boxed\b|[*`$]+|(?<!\w)_+|_+(?!\w)"
    r"|^[ \t]*[#>]+(?=\s)|\ufe0f?\u20e3"
    r"|~~[^~\n]*~~",
    re.MULTILINE,
)
_DASH = re.compile(r"[\u2010\u2011\u2012\u2013\u2014\u2212]")
_TEENS = "|".join(sorted((word for word in NUMBER_WORDS), key=len, reverse=True))
_WORD_NUMBER = re.compile(
    rf"\b(?:({'|'.join(_TENS.split())})[- ]({'|'.join(_UNITS.split()[1:10])})|({_TEENS}))\b(?!-\w)", re.IGNORECASE
)
# "One" is a number only where it counts something.
_PRONOUN_ONE = re.compile(
    r"\b(?:no|each|every|this|that|which|another|any|some|other|last|first|next|by|the|an?|per)\s+one\b"
    r"|\bone\s+(?:by\s+one|word at a time|at a time|another|more|should|could|can|cannot|might|would|must|may"
    r"|needs)\b"
    r"|\bone\s+(?:after|from|for)\s+(?:the|each)\b",
    re.IGNORECASE,
)
_N = r"\d+"
# A percentage beside a count repeats it.
_ALSO_PERCENT = re.compile(
    rf"\([^()\n]*?{_N}(?:[.,]\d+)?\s?(?:%|percent\b|per cent\b)[^()\n\d]*\)"
    rf"|,?\s+\b(?:or|i\.e\.,?)\s+(?:about |around |approximately |roughly )?{_N}(?:[.,]\d+)?\s?(?:%|percent\b"
    rf"|per cent\b)",
    re.IGNORECASE,
)
_NOT_COUNTS = re.compile(
    rf"(?<![-=])[≥≤<>±]=?\s*{_N}|{_N}\s*±\s*{_N}|{_N}\s+(?:or|and)\s+(?:more|fewer|less|so)\b|{_N}\s+(?:quarters?"
    rf"|thirds?|halves|fifths?)\b"
    rf"|{_N}(?:[.,]\d+)*\s?(?:%|percent\b|per cent\b|⁄|‰)"  # percentages
    rf"|{_N}\s*/\s*{_N}"  # fractions
    r"|\d{1,3}(?:,\d{3})+|\d+[.,]\d*[1-9]\d*|\d{5,}"  # 12,000; 3.5; what no list holds
    rf"|(?<![\w)\]]\s)(?<![\w)\]])-\s?{_N}(?!\d)"  # negative
    rf"|\bbetween\s+{_N}\s+and\s+{_N}|{_N}\s*(?:-|to|or|and/or|versus|vs\.?)\s*(?:maybe |perhaps |possibly )?{_N}\b"
    rf"|\b(?:at least|at most|more than|fewer than|less than|over|under|up to|no more than|no fewer than)\s+{_N}\b"
    rf"|{_N}\+(?!\s*\d)",
    re.IGNORECASE,
)
_LABELS = re.compile(
    rf"\b(?:step|word|item|number|no\.|example|option|part|question|line|row|position|note|round|list|q"
    rf"|case)\s*#?{_N}(?=\s*[:.)\],]|\s*$)"
    rf"|#\s?{_N}\b|\b{_N}(?:st|nd|rd|th)\b|[A-Za-z]+{_N}\w*|\bnot all(?: of)?(?: the| these)? {_N}\b|\b(?:words"
    rf"|items|positions|numbers|lines|rows|steps|entries)\s+{_N}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+"
    rf"|\s*&\s*){_N})*\b|\b{_N}[A-Za-z]\w*"
    rf"|\b(?:not|isn't|is not|rather than|instead of|nor)\s+(?:just |only )?{_N}\b(?!\s*(?:,\s*)?but\s+rather)"
    rf"|\b{_N}\s+(?:times?|letters?|characters?|syllables?|categories|groups|minutes?|seconds?|steps?|vowels?)\b",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    rf"\b(?:the\s+)?(?:other|remaining|rest of the|last)\s+{_N}\b|\b{_N}\s+(?:others?|remaining|non-?\s?\w+"
    rf"|more (?:are|is) not)\b"
    rf"|\b{_N}\s+(?:of (?:them|these|those|the words)\s+)?(?:{SIZE_NOUN}\s+)?"
    r"(?:that\s+|which\s+)?(?:are|is|were|was|do|does|did|have|has)(?:\s+not|n't|n’t|\s+neither)\b",
    re.IGNORECASE,
)
_LIST_SIZE = re.compile(
    rf"\b(?:out\s+of|of|among|amongst|from|in|all)\s+(?:all\s+)?(?:the|these|those|your"
    rf"|this)\s+(?:total\s+(?:of\s+)?|list\s+of\s+|set\s+of\s+|given\s+)?{_N}\b"
    rf"(?:\s+(?!are\b|is\b|were\b)[\w-]+)?(?:\s+{SIZE_NOUN})?"
    rf"|\b(?:out\s+of|list\s+of|set\s+of|among)\s+(?:a\s+)?(?:total\s+(?:of\s+)?)?{_N}\b(?:\s+(?:total\s+|given\s+"
    rf"|listed\s+)?{SIZE_NOUN})?"
    rf"|(?<=\d)\s+of\s+{_N}\b(?:\s+{SIZE_NOUN})?"
    rf"|\b(?:the|these|those|your)\s+{_N}\s+(?:given\s+|listed\s+)?{SIZE_NOUN}\b(?!\s+(?:that|which|are|is|name"
    rf"|belong|:))"
    rf"|\b{_N}[- ]{SIZE_NOUN}\s+list\b"
    rf"|\b(?:list|set|question|input|there|you|i|we)\s+(?:\w+\s+)?(?:has|have|had|contains?|consists?\s+of"
    rf"|includes?|gave|is|are|were|with)\s+(?:me\s+)?(?:exactly\s+|a\s+total\s+of\s+|only\s+)?"
    rf"{_N}\s+(?:total\s+|different\s+|given\s+)?{SIZE_NOUN}\b(?=\s*(?:[.,;:!?)\n(]|$|in\b|on\b|total|altogether"
    rf"|overall|given|listed|and\b|but\b|of\s+which|here))"
    rf"(?!\s+(?:in|on|from)\s+(?:the|this|your|that)\s+list\s+(?:that|which|who)\b)"
    rf"|\b(?:total\s+)?(?:number\s+of\s+|total\s+|list\s+|word\s+|all\s+)(?:{SIZE_NOUN}|count|length"
    rf"|size)(?:\s+(?:in|on)\s+(?:the|this|your)\s+list)?\s*(?:is|are|=|:)\s*{_N}\b"
    rf"|^\s*{SIZE_NOUN}\s*(?:\([^)\d]*\))?\s*:\s*{_N}\b"
    rf"|\b{_N}\s+(?:total\s+)?{SIZE_NOUN}\s+(?:in|on)\s+(?:the|this|your|that)\s+(?:\w+\s+)?list\b(?!\s+(?:that"
    rf"|which|are|is|were|belong|fit|name|qualif|count|refer|represent))",
    re.IGNORECASE | re.MULTILINE,
)
_SUM = re.compile(rf"{_N}(?:\s*\([^()\n]*\))?(?:\s*[+-]\s*{_N}(?:\s*\([^()\n]*\))?)+\s*=")
_SUM_OPEN = re.compile(rf"{_N}(?:\s*\+\s*{_N})+")
_ITEM_LINE = re.compile(rf"^[ \t]*(?:[-+•]\s+|\|\s*)?\(?({_N})(?:[.):|]|\s*\||\s+-)(?=\s+\S)", re.MULTILINE)
_ITEM_INLINE = re.compile(rf"(?<![\w.])\(?({_N})[.)](?:\s+(?=[A-Za-z\"'])|\s*$)")
_TALLY = re.compile(rf"(?<=\w)\s*(?:\(\s*({_N})\s*\)|(?:->|=>|→)\s*({_N})\b|\[\s*({_N})\s*\])")
_ITEM_VALUE = re.compile(
    rf"^[ \t]*(?:[-+•]\s+)?(?:\|\s*)?[A-Za-z][\w' -]*?\s*(?:[:=|]|\s-)\s*({_N})\s*\|?[ \t.,;]*$", re.MULTILINE
)
_RUNNING = re.compile(rf"\bis\s+(?:number\s+)?({_N})(?=\s*[,;.])")
_SINGLE = re.compile(r"\b(is|only|just|was|has|contains|includes)\s+a single(?= \w)", re.IGNORECASE)
_AT_FIRST = re.compile(rf"\b(?:initially|at first|first|originally)\b[^.!?\n]*?{_N}[^.!?\n]*?\bbut\b", re.IGNORECASE)
_ALOUD = re.compile(rf"\b1(?:\s*(?:,|\.\.\.|…|and)\s*(?:and\s+)?{_N})+\b")


def plain(text: str, category: str = "") -> str:
    """Return `text` with counts as digits, other numbers as `NO_COUNT` and labels left out.

    A line that gives a number for one of several things is left out, unless the thing is `category`.
    """
    text = _DASH.sub("-", text)
    text = _MARKUP.sub(lambda match: match.group(1) or " ", text).replace("{", " ").replace("}", " ")
    text = _PRONOUN_ONE.sub(lambda match: re.sub(r"(?i)\bone\b", "", match.group()), text)
    text = _SINGLE.sub(r"\1 1", text)
    text = _WORD_NUMBER.sub(_value, text)
    text = _AT_FIRST.sub(" ", text)
    text = re.sub(r"\b(\d+)\s*\(\s*(\d+)\s*\)", lambda m: m.group(1) if m.group(1) == m.group(2) else m.group(), text)
    text = re.sub(r"\b(\d+)\.0+\b", r"\1", text)
    text = _without_numbering(text, category)
    text = _SUM.sub("=", text)
    text = _SUM_OPEN.sub(" ", text)
    text = _ALOUD.sub(_without_counting_aloud, text)
    text = re.sub(
        rf"(?<!not )(?<!Not )\ball\s+(?:of\s+)?(?:the\s+|these\s+|those\s+)?({_N})\b(?!\s+{SIZE_NOUN}\s*[.:])",
        r"there are \1",
        text,
        flags=re.I,
    )
    text = _NOT_COUNTS.sub(NO_COUNT, _ALSO_PERCENT.sub(" ", text))
    text = _LIST_SIZE.sub(f" {LIST} ", text)
    text = _OTHERS.sub(" ", text)
    return _LABELS.sub(" ", text)


def _value(match: re.Match[str]) -> str:
    tens, unit, word = match.groups()
    return str(NUMBER_WORDS[tens.lower()] + NUMBER_WORDS[unit.lower()] if tens else NUMBER_WORDS[word.lower()])


def _without_counting_aloud(match: re.Match[str]) -> str:
    said = [int(number) for number in re.findall(_N, match.group())]
    return " " if len(said) > 1 and said == list(range(1, len(said) + 1)) else match.group()


def _without_numbering(text: str, category: str) -> str:
    """Take out 1, 2, 3 ... before items or behind them, and a value for each of several items."""
    for pattern in (_ITEM_LINE, _ITEM_INLINE):
        found = list(pattern.finditer(text))
        kept = _in_sequence([int(match.group(1)) for match in found])
        if len(kept) > 1 or (kept and pattern is _ITEM_LINE and _alone(text, found[kept[0]])):
            text = _blank(text, [found[i].span(1) for i in kept])
    running = list(_RUNNING.finditer(text))
    if len(running) > 1 and [int(match.group(1)) for match in running] == list(range(1, len(running) + 1)):
        text = _blank(text, [match.span(1) for match in running])
    tallies = list(_TALLY.finditer(text))
    values = [int(next(group for group in match.groups() if group)) for match in tallies]
    if values and (values[0] in (0, 1)) and (len(values) > 1 or not text[tallies[0].end() :].lstrip().startswith(":")):
        text = _blank(text, [match.span() for match in tallies])
    wanted = re.compile(
        rf"total|answer|count|sum|result|number{'|' + re.escape(category[:-1]) if category else ''}", re.IGNORECASE
    )
    items = [match for match in _ITEM_VALUE.finditer(text) if not wanted.search(match.group())]
    if len(items) > 1:
        text = _blank(text, [match.span(1) for match in items])
    return text


def _in_sequence(numbers: list[int]) -> list[int]:
    """Return the places of 1, 2, 3 ... in `numbers`; numbering may begin again at 1."""
    places, expected = [], 1
    for place, number in enumerate(numbers):
        if number == expected or number == 1:
            places.append(place)
            expected = number + 1
    return places


def _alone(text: str, match: re.Match[str]) -> bool:
    """Return whether a lone "1." stands before an item of up to three words, which is all its line holds."""
    line = text[match.end() :].split("\n", 1)[0].strip(" .")
    return (
        match.group().strip(" \t(").startswith("1")
        and len(line.split()) <= 3
        and not re.search(r"\bis\b|\bare\b", line)
    )


def _blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    letters = list(text)
    for start, end in spans:
        letters[start:end] = " " * (end - start)
    return "".join(letters)
