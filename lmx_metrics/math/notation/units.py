r"""Units at the end of an answer: `5\text{ cm}`, `12 square feet`, `\$5`, `30\%`.

A unit is left out of the comparison when only one side has one. When both name a measure, it must be the same.
"""

from __future__ import annotations

import re

PERCENT = "percent"

_NAMES = {
    "mm": "millimeter millimetre",
    "cm": "centimeter centimetre",
    "dm": "decimeter decimetre",
    "m": "meter metre",
    "km": "kilometer kilometre",
    "in": "inch inches",
    "ft": "foot feet",
    "yd": "yard",
    "mi": "mile",
    "mg": "milligram",
    "g": "gram gm",
    "kg": "kilogram",
    "pound": "lb lbs",  # of weight or of money
    "oz": "ounce",
    "ml": "milliliter millilitre",
    "l": "liter litre",
    "gal": "gallon",
    "s": "second sec",
    "min": "minute",
    "h": "hour hr",
    "day": "day",
    "week": "week",
    "month": "month",
    "year": "year yr",
    "mi/h": "mph",
    "dollar": "usd buck",
    "cent": "",
    "euro": "eur",
    "rupee": "inr rs",
    "yen": "jpy",
    "degree": "deg",
    "radian": "rad",
    "celsius": "",
    "fahrenheit": "",
    PERCENT: "pct percentage",
    "am": "",
    "pm": "",
    # a count of nothing in particular: known, so that it can be taken off, and the same as no unit
    "": "unit",
}
_CANONICAL = {name: unit for unit, names in _NAMES.items() for name in [unit, *names.split()] if name}
_IN_DEGREES = {"degree", "celsius", "fahrenheit"}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}

_TEXT_UNIT = re.compile(r"\\text\{([^{}]*)\}\s*(?:\^\s*\{?\s*(\d)\s*\}?)?\.?\s*$")
_WORD_UNIT = re.compile(r"(?<=[\d})])\s*([A-Za-z][A-Za-z. /]*)(?:\^\{?(\d)\}?)?$")
_COUNTED = re.compile(r"(?<=[\d})])\s+([a-z]{3,}(?:[ -][a-z]+){0,5})\.?$")
_LEADING = re.compile(r"^([-+]?)\s*(?:US\s*|USD\s*)?(\\\$|€|£|₹|¥|(?:USD|EUR|Rs\.?)(?=\s*\d))\s*(?=\S)")
_CURRENCY_AFTER = re.compile(r"(?<=\d)\s*(\\\$|€|£|₹|¥|¢)$")
_CURRENCY = {r"\$": "dollar", "€": "euro", "£": "pound", "₹": "rupee", "¥": "yen", "¢": "cent"}
_CURRENCY |= {"USD": "dollar", "EUR": "euro", "Rs": "rupee", "Rs.": "rupee"}
_PER_CENT = re.compile(r"\bper\s+cent\b", re.IGNORECASE)

# "12th", "12^{th}", "12^\text{th} grade": what counts is the number
_ORDINAL = re.compile(
    r"^([-+]?\d+)\s*(?:\^\s*)?\{?\s*(?:\\text\s*)?\{?\s*(?:st|nd|rd|th)\s*\}?\s*\}?"
    r"(?:(?:\s+|\s*\\text\s*\{)\s*([a-z]+(?: [a-z]+){0,2})\s*\}?)?\.?$"
)
# Words that change the value, so that it is not the number before them.
_CHANGING_WORDS = (
    "or and but except if when is are not no more less than fewer greater most least minimum maximum above below up "
    "down factorial squared cubed choose mod modulo remainder plus minus over power to root base negative "
    "percent percentage hundred thousand million billion trillion dozen half halves third thirds fourth fourths fifth "
    "fifths sixth sixths seventh sevenths eighth eighths ninth ninths tenth tenths hundredth hundredths thousandth "
    "thousandths mille as sin cos tan cot sec csc ln log exp sqrt cis pi theta alpha beta"
)
_CHANGING = frozenset(_CHANGING_WORDS.split())
_MULTIPLIERS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_MULTIPLIED = re.compile(
    rf"^(.*[\d}}])\s*(?:\\text\s*\{{)?\s*({'|'.join(_MULTIPLIERS)})s?\b\s*([a-z ]*?)\s*\}}?\.?$", re.DOTALL
)


def split_unit(text: str) -> tuple[str, str]:
    r"""`(value, unit)`: the answer without its unit, and the unit in one spelling, or "" for none that is known.

    Words in `\text{...}` after a value (`18\text{ ways}`) are taken off, and so are bare words that are names of units
    or words of counting (`5 cm`, `5 bags`; not `5m` or `5 xy`, which may be products). Words that change the value
    (`5 \text{ or more}`, `5 thousandths`) stay; `5 million` becomes a product. Ordinals are their numbers (`12th`).
    """
    if match := _LEADING.match(text):
        value, unit = split_unit(match[1] + text[match.end() :].strip())
        currency = _CURRENCY[match[2]]
        return value, unit if unit == "cent" else currency
    if text.rstrip().endswith("%"):
        return re.sub(r"\\?%\s*$", "", text.rstrip()).rstrip(), PERCENT
    if (match := _CURRENCY_AFTER.search(text)) and text[: match.start()].strip():
        return text[: match.start()].rstrip(), _CURRENCY[match[1]]
    if (match := _ORDINAL.match(text)) and _keeps_value(match[2] or ""):
        return match[1], ""
    if (match := _MULTIPLIED.match(text)) and _keeps_value(match[3]):
        return rf"{match[1].rstrip()}\cdot 10^{{{_MULTIPLIERS[match[2]]}}}", canonical(match[3]) or ""
    if (match := _TEXT_UNIT.search(text)) and text[: match.start()].strip():
        return _text_unit(text, match)
    if match := _WORD_UNIT.search(text):
        unit_ = canonical(_PER_CENT.sub(PERCENT, match[1]), match[2], shortest=2)
        if unit_ is not None:
            return text[: match.start()].rstrip(), unit_
    if (match := _COUNTED.search(text)) and _keeps_value(match[1]) and not _is_product(match[1]):
        return text[: match.start()].rstrip(), ""
    return text, ""


def _text_unit(text: str, match: re.Match[str]) -> tuple[str, str]:
    """Of words in a text after a value: units and counted things go, letters and words that change the value stay."""
    words = _PER_CENT.sub(PERCENT, match[1])
    unit = canonical(words, match[2])
    bare = words.strip()
    if unit is None and (not _keeps_value(words) or re.search(r"\d", words) or (bare.isalpha() and len(bare) <= 2)):
        return text, ""
    return text[: match.start()].rstrip(), unit or ""


def _keeps_value(words: str) -> bool:
    return _CHANGING.isdisjoint(re.split(r"[^a-z]+", words.lower()))


def _is_product(words: str) -> bool:
    """Whether letters such as `abc` or `xyz` are variables: no vowel, or in the order of the alphabet."""
    word = words.split()[0]
    return not re.search("[aeiouy]", word) or list(word) == sorted(word)


def canonical(words: str, power: str | None = None, shortest: int = 1) -> str | None:
    """One spelling for a unit, such as "ft^2" for "square feet" and "mi/h" for "mph"; None for other words."""
    above, per, below = words.replace("/", " per ").partition(" per ")
    if per:
        parts = canonical(above, None, shortest), canonical(below, power)
        return f"{parts[0]}/{parts[1]}" if all(parts) else None
    names = words.lower().replace(".", "").split()
    exponent = int(power or 1)
    unit = None
    for name in names:
        if name in _POWERS:
            exponent = _POWERS[name]
        elif unit is not None or len(name) < shortest:
            return None
        else:
            unit = _CANONICAL.get(name, _CANONICAL.get(name.removesuffix("s")))
            if unit is None:
                return None
    if unit is None:
        return None
    return f"{unit}^{exponent}" if unit and exponent != 1 else unit


def compatible(one: str, other: str) -> bool:
    """Whether two units do not contradict each other."""
    return one == other or not one or not other or ("degree" in (one, other) and {one, other} <= _IN_DEGREES)
