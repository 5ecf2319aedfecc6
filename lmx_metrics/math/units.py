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
    "lb": "pound",
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
    "dollar": "",
    "cent": "",
    "euro": "",
    "degree": "deg",
    "radian": "rad",
    PERCENT: "",
    "am": "",
    "pm": "",
    # a count of nothing in particular: known, so that it can be taken off, and the same as no unit
    "": "unit",
}
_CANONICAL = {name: unit for unit, names in _NAMES.items() for name in [unit, *names.split()] if name}
_POWERS = {"square": 2, "sq": 2, "cubic": 3, "cu": 3}

_TEXT_UNIT = re.compile(r"\\text\{([^{}]*)\}(?:\^\{?(\d)\}?)?\.?$")
_WORD_UNIT = re.compile(r"(?<=[\d})])\s*([A-Za-z][A-Za-z. /]*)(?:\^\{?(\d)\}?)?$")
_LEADING = re.compile(r"^([-+]?)\s*(\\\$|€|£)")
_CURRENCY = {r"\$": "dollar", "€": "euro", "£": "pound sterling"}


def split_unit(text: str) -> tuple[str, str]:
    r"""`(value, unit)`: the answer without its unit, and the unit in one spelling, or "" for none that is known.

    Words in `\text{...}` after a value are always taken off (`18\text{ ways}`); bare words only where each is the
    name of a unit, and longer than a letter, which might be a variable (`5 cm`, not `5m`).
    """
    if match := _LEADING.match(text):
        return match[1] + text[match.end() :].strip(), _CURRENCY[match[2]]
    if text.rstrip().endswith("%"):
        return re.sub(r"\\?%\s*$", "", text.rstrip()).rstrip(), PERCENT
    if (match := _TEXT_UNIT.search(text)) and text[: match.start()].strip():
        return text[: match.start()].rstrip(), canonical(match[1], match[2]) or ""
    if match := _WORD_UNIT.search(text):
        unit = canonical(match[1], match[2], shortest=2)
        if unit is not None:
            return text[: match.start()].rstrip(), unit
    return text, ""


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
    return one == other or not one or not other
