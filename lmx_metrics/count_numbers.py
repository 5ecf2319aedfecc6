"""Numbers in an answer to "how many ...": words become digits, and what is not a count is taken out.

`plain` gives a text in which every whole number that could be a count stands as digits, everything that has digits and
is no count (a fraction, a percentage, a range, a negative number) is the sign `NO_COUNT`, and numbers that only label
or repeat something (list numbering, the length of the list, "not 3") are gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lmx_metrics.count_names import names

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
    r"|^[ \t]*[#>]+(?=\s)|\ufe0f?\u20e3|</?[a-zA-Z][^<>\n]{0,40}>|&nbsp;|(?<=[a-z])_(?=[a-z])"
    r"|~~[^~\n]*~~",
    re.MULTILINE,
)
# A listing that defines or loops does not show what it would print.
_PROGRAM = re.compile(r"```\w*\n(?=[^`]*\b(?:def|for|while|import)\b)[^`]*(?:```|\Z)")
_BLANKS = re.compile(r"[^\S\n]+")
_GAP = re.compile(r"\n(?: ?\n)+")
_LONG = re.compile(r"(?:\d+[.,])?\d{5,}(?:[.,]\d+)*")
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
    rf"(?:{_N}\s*)?[½⅓⅔¼¾⅕⅛]|\bhalf\s+{_N}|\b{_N}\s+(?:half|third|quarter|fifth)\b"
    rf"|\b(?:all|every\w*|each)\b[^.!?\n\d]{{0,40}}\s(?:but|except(?: for)?)\s+{_N}\b|(?<![-=])[≥≤<>±]=?\s*{_N}"
    rf"|{_N}\s*±\s*{_N}|{_N}\s+(?:or|and)\s+(?:more|fewer|less|so)\b|{_N}\s+(?:quarters?"
    rf"|thirds?|halves|fifths?)\b"
    rf"|{_N}(?:[.,]\d+){{0,3}}\s?(?:%|percent\b|per cent\b|⁄|‰)"  # percentages
    rf"|{_N}(?:\s*/\s*{_N})+"  # fractions
    r"|\d{1,3}(?:,\d{3})+|\d+[.,]\d*[1-9]\d*|\d{4,}"  # 12,000; 3.5; years and what no list holds
    rf"|(?<![\w)\]]\s)(?<![\w)\]])-\s?{_N}(?!\d)"  # negative
    rf"|\bbetween\s+{_N}\s+and\s+{_N}|{_N}\s*(?:-|to|or|and/or|versus|vs\.?)\s*(?:maybe |perhaps |possibly )?{_N}\b"
    rf"|\b(?:at least|at most|more than|fewer than|less than|over|under|up to|no more than|no fewer than)\s+{_N}\b"
    rf"|{_N}\+(?!\s*\d)",
    re.IGNORECASE,
)
_LABELS = re.compile(
    rf"\b(?:step|word|item|number|no\.|example|option|part|question|line|row|position|note|round|list|q"
    rf"|case)\s*#?{_N}(?=\s*[:.)\],]|\s*$)"
    rf"|\b(?:version|chapter|section|page|figure|table|task|exercise|problem|test|error|code|level|python|return"
    rf"|aged?)"
    rf"\s+{_N}\b|\b[A-Z]{{2,}}-{_N}|[+*-]=\s*{_N}|\brange\(\s*{_N}"
    rf"|#\s?{_N}\b|\b{_N}(?:st|nd|rd|th)\b|(?<![A-Za-z])[A-Za-z]+{_N}\w*|\bnot all(?: of)?(?: the| these)? {_N}\b"
    rf"|\b(?:words"
    rf"|items|positions|numbers|lines|rows|steps|entries)\s+{_N}(?:(?:\s*,\s*(?:and\s+)?|\s+and\s+"
    rf"|\s*&\s*){_N})*\b|\b{_N}[A-Za-z]\w*"
    rf"|(?:\b(?:not|rather than|instead of|nor)|n['’]t)\s+(?:just |only )?{_N}\b(?!\s*(?:,\s*)?but\s+rather)"
    rf"|\b{_N}\s+(?:times?|letters?|characters?|syllables?|categories|groups|minutes?|seconds?|days?|years?|steps?"
    rf"|vowels?|tokens?|sentences?)\b",
    re.IGNORECASE,
)
_OTHERS = re.compile(
    rf"\b{_N}\s+{LIST}\s+(?:are|is|were|was|do|does)(?:\s+not|n['’]t)\b|\b(?:the\s+)?(?:other|remaining"
    rf"|rest of the|first|next|last)\s+{_N}\b|\b{_N}\s+(?:others?|remaining|non-?\s?\w+"
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
    rf"|\b(?:the|these|those|your)\s+{_N}\s+(?:given\s+|listed\s+)?{SIZE_NOUN}\b(?!\s+(?:that|which|name|belong"
    rf"|(?:are|is)\s+[^:\s]))"
    rf"|\b(?:given|(?:to|will|'ll|must|should)\s+(?:count|check|read|review|examine)|counting|checking|each of)\s+"
    rf"(?:all\s+)?(?:the\s+)?{_N}\s+(?:\w+\s+)?{SIZE_NOUN}\b(?!\s+(?:that|which|are|is)\b)"
    rf"|\b{_N}\s+{SIZE_NOUN}\s+(?:in\s+)?total\b|\bwords?\s+(?:in|on)\s+(?:(?:the|this|your)\s+)?list\s*[:=]\s*{_N}\b"
    rf"|\b{_N}[- ]{SIZE_NOUN}\s+list\b"
    rf"|\b(?:list|set|question|input|there|you|i|we)\s+(?:\w+\s+)?(?:has|have|had|contains?|consists?\s+of"
    rf"|includes?|gave|is|are|were|with)\s+(?:me\s+)?(?:exactly\s+|a\s+total\s+of\s+|only\s+)?"
    rf"{_N}\s+(?:total\s+|different\s+|given\s+)?{SIZE_NOUN}\b(?=\s*(?:[.,;:!?)\n(]|$|in\b|on\b|total|altogether"
    rf"|overall|given|listed|and\b|but\b|of\s+which|here))"
    rf"(?!\s+(?:in|on|from)\s+(?:the|this|your|that)\s+list\s+(?:that|which|who)\b)"
    rf"|\b(?:total\s+)?(?:(?:number\s+of\s+|total\s+|list\s+|word\s+|all\s+){SIZE_NOUN}"
    rf"|(?:list|word)\s+(?:count|length|size))(?:\s+(?:in|on)\s+(?:the|this|your)\s+list)?\s*\W{{0,2}}(?:is|are|=|:)\s*{_N}\b"
    rf"|^\s*{SIZE_NOUN}\s*(?:\([^)\d]*\))?\s*:\s*{_N}\b"
    rf"|\b{_N}\s+(?:total\s+)?{SIZE_NOUN}\s+(?:in|on)\s+(?:the|this|your|that)\s+(?:\w+\s+)?list\b(?!\s+(?:that"
    rf"|which|are|is|were|belong|fit|name|qualif|count|refer|represent))",
    re.IGNORECASE | re.MULTILINE,
)
_SUM = re.compile(rf"{_N}(?:\s*\([^()\n]{{0,60}}\))?(?:\s*[+-]\s*{_N}(?:\s*\([^()\n]{{0,60}}\))?)+(?P<equals>\s*=)?")
_ITEM_LINE = re.compile(
    rf"^[ \t]*(?:[-+•]\s+|\|\s*)?\(?({_N})(?:[.):|]|\s*\||\s+-)(?=\s+\S|(?<=[.)])\s*\Z)", re.MULTILINE
)
_ITEM_INLINE = re.compile(rf"(?<![\w.])\(?({_N})[.):](?:\s+(?=[A-Za-z\"'])|\s*$)")
_TALLY = re.compile(rf"(?<=\w)\s*(?:\(\s*({_N})\s*\)|(?:->|=>|→)\s*({_N})\b|\[\s*({_N})\s*\])")
_ITEM_VALUE = re.compile(
    rf"^[ \t]*(?:[-+•]\s+)?(?:\|\s*)?[A-Za-z][\w' -]*?\s*(?:[:=|]|\s-)\s*({_N})\s*\|?[ \t.,;]*$", re.MULTILINE
)
_RUNNING = re.compile(rf"\bis\s+(?:number\s+)?({_N})(?=\s*[,;.])")
_SINGLE = re.compile(r"\b(is|only|just|was|has|contains|includes)\s+a single(?= \w)", re.IGNORECASE)
# "12 words, 3 of them ...": what an answer begins with may be the length of the list.
_LENGTH_FIRST = re.compile(
    rf"^\W*(?:(?:there (?:are|were)|here are|(?:i|we) (?:see|count|have|find|found|read)"
    r"|the list (?:has|contains|holds|includes)|it (?:has|contains))\s+)?(?:the |these |a total of )?"
    rf"({_N})\s+{SIZE_NOUN}\s*(?:[,;:.(\n]|-(?!.*=))\s*"
    r"(?=(?:(?:and|but|with|including|of (?:which|these|those|them)|only|just|exactly"
    rf"|there (?:are|is)|i (?:see|count|find))\b,?\s*)*"
    rf"(?:{_N}\b(?!\s*[.):]\s*[a-z])|none|no|most|some|many|several|few|half)\b)",
    re.IGNORECASE,
)
_AT_FIRST = re.compile(
    rf"\b(?:initially|at first|first|originally|i (?:said|thought))\b[^.!?\n\d]{{0,60}}{_N}[^.!?;\n\d]{{0,60}}"
    r"(?:\bbut\b|;)",
    re.IGNORECASE,
)
_ASIDE = r"(?:\s*\([^()\d\n]{0,40}\))?"
_ALOUD = re.compile(rf"\b1{_ASIDE}(?:\s*(?:,|\.\.\.|…|and)\s*(?:and\s+)?{_N}{_ASIDE})+(?!\w)")
_RUNNING_COUNT = re.compile(rf"\b(?:count|total|tally)\s*(?:is|=|:)\s*({_N})\b", re.IGNORECASE)
# A plural behind a number of two or more, also as in "3 of the words are fruits".
_OF_A_NOUN = re.compile(
    rf"\b(?!1\b)({_N}) (?:of (?:the|these|those|them) (?:(?:{SIZE_NOUN} )?(?:are|were) )?"
    rf"|(?:{SIZE_NOUN} )?(?:are|were) )?(?P<noun>[a-z]+s)\b(?! (?:and|or|of)\b|[/&])",
    re.IGNORECASE,
)
_NEUTRAL = re.compile(
    rf"{SIZE_NOUN}|is|was|has|does|as|plus|minus|times|versus|vs|across|this|its|thus|yes|always|perhaps|besides"
    rf"|types|kinds"
    r"|sorts|examples|instances|members|matches|ones|pieces|cases|correct\w*|answers|categories|others"
)
_NOT_ONE = re.compile(r"\bnot\s+(?:even\s+|a\s+single\s+)?one\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"(?:^|(?<=[.!?\n]))\s*(?:is|are|was|were|does|do|did|could|can|would|should|how|what|which)\b[^.!?\n]*\?", re.I
)


def squeezed(text: str) -> str:
    """Return `text` with one blank for several, and at most one empty line in a row."""
    return _GAP.sub("\n\n", _BLANKS.sub(" ", text))


def plain(text: str, category: str = "", length: int | None = None) -> str:
    """Return `text` with counts as digits, other numbers as `NO_COUNT` and labels left out.

    A line that gives a number for one of several things is left out, unless the thing is `category`; and so is the
    list's `length` where the text begins with it and goes on to another number.
    """
    text = _PROGRAM.sub(" ", text)
    text = _LONG.sub(NO_COUNT, _DASH.sub("-", text))
    text = _MARKUP.sub(lambda match: match.group(1) or " ", text).replace("{", " ").replace("}", " ")
    text = squeezed(text)
    text = _NOT_ONE.sub("none", _QUESTION.sub(" ", text))
    text = _PRONOUN_ONE.sub(lambda match: re.sub(r"(?i)\bone\b", "", match.group()), text)
    text = _SINGLE.sub(r"\1 1", text)
    text = _WORD_NUMBER.sub(_value, text)
    text = _AT_FIRST.sub(" ", _LENGTH_FIRST.sub(lambda match: "" if int(match[1]) == length else match[0], text))
    if category:
        text = _without_others(text, category)
    text = re.sub(r"\b(\d+)\s*\(\s*(\d+)\s*\)", lambda m: m.group(1) if m.group(1) == m.group(2) else m.group(), text)
    text = re.sub(r"\b(\d+)\.0+\b", r"\1", text)
    text = _without_numbering(text, category)
    text = _SUM.sub(_without_summands, text)
    text = _ALOUD.sub(_without_counting_aloud, text)
    text = re.sub(
        rf"(?<!not )\ball\s+(?:of\s+)?(?:the\s+|these\s+|those\s+)?({_N})\b(?=\s*(?:[.!,]?\s*$|of\b"
        rf"|(?:{SIZE_NOUN}\s+)?(?:in (?:the|this|your) list\s+)?(?:are|is|belong|name|qualify)\b))",
        r"there are \1",
        text,
        flags=re.I,
    )
    text = _NOT_COUNTS.sub(NO_COUNT, _ALSO_PERCENT.sub(" ", text))
    text = _LIST_SIZE.sub(f" {LIST} ", text)
    text = _OTHERS.sub(" ", text)
    return _LABELS.sub(" ", text)


def _without_others(text: str, category: str) -> str:
    """Take out numbers of things that are not of the category: `4 tools`, `4 of them are tools`."""

    def kept(match: re.Match[str]) -> str:
        noun = match["noun"].casefold()
        return match[0] if _NEUTRAL.fullmatch(noun) or names(noun, category) else match[0].replace(match[1], " ", 1)

    return _OF_A_NOUN.sub(kept, text)


def _value(match: re.Match[str]) -> str:
    tens, unit, word = match.groups()
    return str(NUMBER_WORDS[tens.lower()] + NUMBER_WORDS[unit.lower()] if tens else NUMBER_WORDS[word.lower()])


def _without_summands(match: re.Match[str]) -> str:
    if match["equals"]:
        return "="
    return match[0] if "-" in match[0] or "(" in match[0] else " "


def _without_counting_aloud(match: re.Match[str]) -> str:
    said = [int(number) for number in re.findall(_N, match.group())]
    return ")" if len(said) > 1 and said == list(range(1, len(said) + 1)) else match.group()


def _without_numbering(text: str, category: str) -> str:
    """Take out 1, 2, 3 ... before items or behind them, and a value for each of several items."""
    for pattern in (_RUNNING, _RUNNING_COUNT):
        running = list(pattern.finditer(text))
        values = [int(match.group(1)) for match in running]
        if len(values) > 1 and values[0] in (0, 1) and values == list(range(values[0], values[0] + len(values))):
            text = _blank(text, [match.span() for match in running])
    places = {match.span(1): match for pattern in (_ITEM_INLINE, _ITEM_LINE) for match in pattern.finditer(text)}
    found = [places[span] for span in sorted(places)]
    kept = _in_sequence([int(match.group(1)) for match in found])
    if len(kept) > 1 or (kept and found[kept[0]].re is _ITEM_LINE and _alone(text, found[kept[0]])):
        text = _blank(text, [found[i].span(1) for i in kept])
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
        line != ""
        and match.group().strip(" \t(").startswith("1")
        and len(line.split()) <= 3
        and not re.search(r"\bis\b|\bare\b", line)
    )


def _blank(text: str, spans: Iterable[tuple[int, int]]) -> str:
    letters = list(text)
    for start, end in spans:
        letters[start:end] = " " * (end - start)
    return "".join(letters)
