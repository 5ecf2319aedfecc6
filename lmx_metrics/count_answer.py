"""Which number does an answer to "how many of these words are ...?" give?

Answers are read as a person would read them: what was corrected no longer counts, a statement of the answer outweighs
prose, and prose outweighs single numbers. Where statements of the best kind disagree, the answer is *unparsed*: a wrong
number would be worse than none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from lmx_metrics.count_category import counts_another
from lmx_metrics.count_numbers import NO_COUNT, SIZE_NOUN, plain, squeezed
from lmx_metrics.text import normalise_newlines, split_reasoning

_N = rf"(\d+|{NO_COUNT})"
_MORE = re.compile(
    r"\n\s*(?:Q|Question|Words|User|Human|Input|Example)\s*\d*\s*:|\n[ #*]*(?:Next )?Question\b"
    r"|\n\s*How many (?:of|words)\b|<\|\w+\|>",
    re.IGNORECASE,
)
_BOXED = re.compile(r"\\boxed\s*\{+\s*(?:\\text\s*\{)?([^{}]*)\}|<answer>([^<]*)</answer>", re.IGNORECASE)
_CLAUSE = r"(?:^|[.!?…,;:(\n–—-])\s*(?:\b(?:but|oh|ah|hmm+|and|so|well|no)\b[,.…!]*\s*){0,4}"
_RETRACT = re.compile(
    rf"{_CLAUSE}(?:\b(?:wait|actually|correction|sorry|apologies|my mistake|oops|scratch that|strike that|hold on"
    rf"|on second thoughts?"
    r"|i mean|make that|i meant|or rather|to correct myself|i made (?:a|an) (?:mistake|error)|i was wrong"
    r"|edit(?:ed)?(?=\s*:)|update(?:d)?(?=\s*:)|revised(?=\s*:)|that'?s (?:wrong|not right))\b"
    r"|(?<=[.!?…,;\n–—-])\s*no\b\s*[,.:!…–—-])",
    re.IGNORECASE | re.MULTILINE,
)
_SO = re.compile(rf"\b(?:so|therefore|thus|hence)\b[^.!?\n\d{NO_COUNT}]{{0,40}}{_N}", re.IGNORECASE)
_LEFT_OPEN = re.compile(r"\d[.!?…, \n–—-]+(?:no,? )?(?:wait|hold on|actually|oops)\W*$", re.IGNORECASE)
_RECOUNT = re.compile(
    r"\b(?:let'?s|let me|i(?:'ll| will)|to)\s+(?:re-?count|re-?check|double[- ]check|verify|count again"
    r"|check again|try again|re-?evaluate)"
    r"|\brecounting\b|\bre-?checking\b|\bcounting again\b",
    re.IGNORECASE,
)
_ABOUT = (
    r"(?:\s*\b(?:exactly|only|just|about|around|approximately|roughly|a total of|simply|therefore|thus|then"
    r"|definitely"
    r"|probably|still|now|likely)\b)*"
)
_IS = r"\s*(?:is|are|was|equals|comes to|comes out to|would be|should be|must be|will be|:|=|->|=>|→|\|)+"
_COUNT_NOUN = (
    r"(?:answer|total|count|sum|result|tally|the number of (?:[^.\n\d:=|]{1,80}?)|number of (?:[^.\n\d:=|]{1,80}?)"
    r"|(?:total|final|overall|correct) (?:count|number|answer)(?: of [^.\n\d:=|]{1,60}?)?|total of|grand total"
    r"|count of [^.\n\d:=|]{1,60}?"
    r"|total [a-z]+(?: [a-z]+)?)"
)
_CUED = re.compile(rf"\b{_COUNT_NOUN}(?:{_IS}){_ABOUT}[^\n\w{NO_COUNT}]*{_N}", re.IGNORECASE)
_CUED_LOOSE = re.compile(rf"\banswer\b[^\n\d.!?{NO_COUNT}]{{0,40}}?{_N}|=\s*{_N}(?!\s*[+*/-]?\s*\d)", re.IGNORECASE)
_CUED_LINE = re.compile(rf"(?:answer|total|count|result)s?\W*\n+\W*{_N}\W*$", re.IGNORECASE | re.MULTILINE)
_FINAL = re.compile(
    rf"\bfinal (?:answer|count|total|result)\b[^\n\d.!?{NO_COUNT}]{{0,40}}?{_N}|\bfinal answer\W*\n+\W*{_N}",
    re.IGNORECASE,
)
_BARE = re.compile(rf"^[^\w\n{NO_COUNT}]*{_N}[^\w\n{NO_COUNT}]*$")
_LEADING = re.compile(
    rf"^[^\w\n]*(?:(?:so|okay|ok|yes|sure|well|only|exactly|just)\b\W*)*{_N}(?![^\n]*\?)", re.IGNORECASE
)
_STATED = re.compile(
    rf"\bthere(?:'s|’s|'re| (?:is|are|were|was|seem to be|appear to be|would be"
    rf"|must be))\b{_ABOUT}\s*(?:words? )?{_N}"
    rf"|\b(?:i|we|you)(?:'ve|’ve| have| can| would| could|'d)?\s*(?:counted|count|found|find|see|get|got"
    rf"|identified|identify|spot|make|have|say|end up with)\b{_ABOUT}(?: that)?(?: there (?:are|is))?\s*{_N}"
    rf"|\b(?:contains?|includes?|has|have|consists? of|with|leaves?(?: us with)?|gives?(?: us)?|makes?|making"
    rf"|giving|leaving|yields?|that'?s|that is|it'?s|it is|which is|which makes|totall?ing|totals?|adds? up to"
    rf"|for a total of|in total,?)\b{_ABOUT}\s*{_N}"
    rf"|{_N}\s+(?:of (?:them|these|those|the (?:listed |given )?{SIZE_NOUN}|which|the list)"
    rf"|(?:{SIZE_NOUN} )?(?:are|is|were|was|belong|belongs|fit|fits|name|names|qualify|qualifies|count|counts"
    rf"|refer|refers|represent|represents|fall|falls|can be|could be|would be)\b)"
    rf"|{_N}\s+{SIZE_NOUN}\s+(?:in|on|from)\s+\w+(?: \w+)? list\s+(?:that|which|are|is|belong|fit|name|qualif"
    rf"|count|refer|represent)",
    re.IGNORECASE,
)
_ANY = re.compile(_N)
_CONCLUDES = re.compile(
    r"\b(?:so|therefore|thus|hence|in total|altogether|overall|in all|in conclusion|in summary|to sum up"
    r"|which makes)\b",
    re.IGNORECASE,
)
# "No doubt", "no other fruits": these say nothing of the count.
_IDLE = (
    r"(?!\s+(?:one|doubt|other|others|need|more|additional|further|duplicates?|repeat|repeated|repeats|idea"
    r"|longer|matter"
    r"|problem|way|context|specific|particular order|list|input|text|data|clear|information|(?:correct "
    r"|clear )?answer|\d"
    r"|(?:words?|items?|list)\s+(?:was|were|have been|are|is)?\s*(?:provided|given|supplied|attached|to count)))"
)
_ZERO = re.compile(
    rf"\b(?:there (?:are|is|were|was|appear to be|seem to be)|there's|contains?|includes?|has|have|find|found|see"
    rf"|count|counted|with|identify|identified)\s+(?:absolutely\s+|actually\s+)?no\b{_IDLE}"
    rf"|^[^\w\n]*no\b{_IDLE} \w+(?: \w+)?[^\w\n]*$|^[^\w\n]*no\b{_IDLE}\s+(?:\w+\s+){{1,3}}?(?:in|on|from|are|is"
    rf"|were|appear"
    rf"|here|found|listed|present|belong|qualify|fit)\b"
    r"|\b(?:none|not (?:even )?one|not a single one|zero)\b(?!\s+of\s+(?:the\s+)?(?:others?|remaining|rest"
    r"|which matters))"
    r"|(?:n['’]t|\bnot)\s+(?:(?:actually|really)\s+)?(?:contain |include |have |see |find |seem to be "
    r"|appear to be )?(?:any|a single)\b(?!\s+(?:list|input|other|others|more|additional|further|duplicates?|repeat))"
    r"|\bnothing (?:in|on|from)\b|^[^\w\n]*(?:nothing|none)[^\w\n]*$",
    re.IGNORECASE | re.MULTILINE,
)
_EVERY = re.compile(
    rf"\b(?<!not )(?<!nearly )(?<!almost )(?:every(?:\s+single)?\s+{SIZE_NOUN}|(?:each"
    rf"|every(?:\s+one)?)\s+of (?:them|these"
    rf"|the {SIZE_NOUN})"
    rf"|all(?: of)?(?: the| these| those| them)?(?: listed| given)?(?:\s+{SIZE_NOUN})?)\s+(?:in (?:the|this"
    rf"|your) list\s+)?(?:is|are|belong|name|qualify)\b(?!\s+(?:not|n't|{SIZE_NOUN}))([^.!?\n]*)"
    r"|\bthey(?:'re|’re| are) all\b([^.!?\n]*)|^[^\w\n]*all of (?:them|these|those)[^\w\n]*$()",
    re.IGNORECASE | re.MULTILINE,
)


def parse_count(text: str, category: str = "", length: int | None = None) -> int | None:
    """Return the number an answer gives, or None where it gives none or a reader could not tell which.

    In this order: a boxed or "final" answer; a number that is said to be the answer, the total or the count, or stands
    alone on the first or last line; the number with which the answer begins; a number beside `category`; a statement
    ("there are 3", "3 of them are"); any other number. What stands before a correction ("2 ... wait, 3") does not
    count. Left out: reasoning blocks, list numbering, tallies, the length of the list ("of the 7 words"), what is
    said not to belong ("4 are not"), and what is
    counted of another category. A negative number, a fraction, a range or a percentage is not a count.

    Args:
        text: the answer.
        category: the category that was asked for, where it is known; tells "3 fruits and 4 tools" apart.
        length: words in the list, where it is known; then "all of them" is a number.

    >>> parse_count("3"), parse_count("The answer is **two**."), parse_count("many")
    (3, 2, None)
    >>> parse_count("Of the 7 words, 3 are fruits."), parse_count("I count 2... wait, 3"), parse_count("2 or 3")
    (3, 3, None)
    """
    answer = squeezed(split_reasoning(normalise_newlines(text), "\0")[0].strip())
    value = _parsed(answer, category, length)
    return None if value is not None and counts_another(answer, value, category) else value


def _parsed(answer: str, category: str, length: int | None) -> int | None:
    answer = until_next_question(answer)
    boxed = [next(group for group in match.groups() if group is not None) for match in _BOXED.finditer(answer)]
    if boxed:
        return _one(number for inner in boxed[-1:] for number in _ANY.findall(plain(inner)) or [NO_COUNT])
    if _LEFT_OPEN.search(answer, max(0, len(answer) - 40)):
        return None
    answer = after_corrections(answer)
    checks = [match.end() for match in _RECOUNT.finditer(answer)]
    if checks and (again := _read(answer[checks[-1] :], category, length)) is not None:
        return again
    return _read(answer, category, length)


def until_next_question(text: str) -> str:
    """Return an answer up to where a question of the model's own begins."""
    return _MORE.split(text, maxsplit=1)[0]


def after_corrections(text: str) -> str:
    """Return what stands behind the last correction ("2 ... wait, 3"); all of it where nothing was taken back."""
    end = _last_word(text)
    taken_back = [match.end() for match in _RETRACT.finditer(text) if match.end() < end]
    return text[max(taken_back, default=0) :]


def _last_word(text: str) -> int:
    """Return the place behind the last letter or digit."""
    return len(text) - len(re.split(r"\w", text)[-1])


def _read(answer: str, category: str, length: int | None) -> int | None:
    bare = plain(answer, category, length)
    lines = [line for line in bare.split("\n") if line.strip()]
    ends = [match.group(1) for line in (*lines[:1], *lines[-1:]) if (match := _BARE.match(line))]
    zero = ["0"] if _ZERO.search(bare) else []
    whole = [str(length)] if length and _says_all(bare, category) else []
    loose = _groups(_CUED_LOOSE, bare)
    so = _groups(_SO, bare)[-1:]
    kinds: tuple[list[str], ...] = (
        _groups(_FINAL, bare),
        _last_concluding(bare, _CUED) or _groups(_CUED_LINE, bare),
        ends or loose[-1:],
        [*named, *so] if category and (named := _beside(category, bare)) else [],
        [*started, *so] if (started := _leading(bare)) else [],
    )
    for found in kinds:
        if found and ((value := _one(found)) is not None or not category or found is kinds[0]):
            return value
        if found:
            return _one(_beside(category, bare))
    stated = _in_sentences_with(_STATED, bare) + whole
    if stated or zero:
        value = _one([*stated, *zero])
        return value if value is not None or zero else _one(_last_concluding(bare, _STATED, only=True))
    return _one(_ANY.findall(bare))


def _says_all(text: str, category: str) -> bool:
    """Whether all of the words are said to be of the category, without an exception."""
    said = _EVERY.search(text)
    if not said:
        return False
    rest = next(group for group in said.groups() if group is not None).casefold()
    if re.search(r"\b(?:except|but|apart from|other than)\b", rest):
        return False
    return not (category and rest.strip()) or any(_stem(word) in rest for word in [*category.split(), "category", "it"])


def _stem(word: str) -> str:
    return word.casefold().removesuffix("ies").removesuffix("s").removesuffix("y")


def _leading(text: str) -> list[str]:
    """Return the numbers of the first sentence, if it begins with one."""
    found = _LEADING.match(text)
    return _ANY.findall(re.split(r"(?<=[.!?])\s|\n", text[found.start(1) :], maxsplit=1)[0]) if found else []


def _beside(category: str, text: str) -> list[str]:
    """Return the numbers beside the name of what was asked for; "no fruits" is 0."""
    word = re.escape(category.rstrip("s"))
    word = word[:-1] + r"(?:y|ies)" if word.endswith("y") else word + r"(?:s|es)?"
    if re.search(rf"\b(?:no|not any|n't any)\s+{word}\b", text, re.IGNORECASE):
        return ["0"]
    number = re.compile(
        rf"{_N}\s+(?:(?!and\b|or\b|words?\b|non\b)\w+\s+){{0,2}}{word}\b"
        rf"|{_N}\s+of\s+(?:them|these|those|which)\s+(?:are|were|is)\s+(?!not\b|no\b|non\b)(?:\w+\s+)?{word}\b"
        rf"|(?<!non-)(?<!non )(?<!not )\b{word}\W{{0,2}}\|?\s*(?:[:=|]|\bis\b|\s-)\s*{_N}"
        rf"|\b{word}\b[^\n\d{NO_COUNT}]{{0,200}}\({_N}\)",
        re.IGNORECASE,
    )
    return _groups(number, text)


def _groups(pattern: re.Pattern[str], text: str) -> list[str]:
    return [next(group for group in match.groups() if group) for match in pattern.finditer(text)]


def _last_concluding(text: str, pattern: re.Pattern[str], only: bool = False) -> list[str]:
    """Return the number of the last match if its sentence draws a conclusion, else of all (none if `only`)."""
    found = list(pattern.finditer(text))
    if not found:
        return []
    before = re.split(r"[.!?\n]", text[: found[-1].end()])[-1]
    values = [next(group for group in match.groups() if group) for match in found]
    if _CONCLUDES.search(before):
        return values[-1:]
    return [] if only else values


def _in_sentences_with(pattern: re.Pattern[str], text: str) -> list[str]:
    """Return all numbers of the sentences that match: "there are 3 fruits and 4 tools" states both."""
    numbers = []
    for sentence in re.split(r"(?<=[.!?])\s|\n", text):
        if pattern.search(sentence):
            numbers += _ANY.findall(sentence)
    return numbers


def _one(found: Iterable[str]) -> int | None:
    """Return the number that all of `found` give, or None where they differ or hold one that is no count."""
    values = set(found)
    return int(values.pop()) if len(values) == 1 and NO_COUNT not in values else None
