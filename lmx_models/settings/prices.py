"""What tokens cost, for estimates: the user's own table, since prices change and differ by provider.

``~/.config/lmx/prices.yaml``, or the file that LMX_PRICES names::

    meta-llama/Llama-3.1-70B-Instruct: {input: 0.0, output: 0.0}   # US dollars per million tokens

lmx ships no prices.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from lmx_files.errors import UserError
from lmx_models.settings.user_files import read_user_file

VARIABLE = "LMX_PRICES"


def price_of(model: str) -> tuple[float, float] | None:
    """Return US dollars per million tokens of a model's input and output; None where the table does not know it."""
    table, path = read_user_file("prices.yaml", VARIABLE)
    if model not in table:
        return None
    entry: Mapping[str, Any] = table[model]
    try:
        prices = float(entry["input"]), float(entry["output"])
    except (KeyError, TypeError, ValueError, OverflowError):
        prices = -1.0, -1.0
    if not all(0 <= price < math.inf for price in prices) or set(entry) != {"input", "output"}:
        raise UserError(f"{path}: {model}: write {{input: DOLLARS, output: DOLLARS}}, both per million tokens")
    return prices


def estimate(prices: tuple[float, float] | None, prompt_tokens: int, completion_tokens: int) -> float | None:
    """Return the estimated cost in US dollars; prompts are counted in full, though servers may cache them."""
    if prices is None:
        return None
    return round((prices[0] * prompt_tokens + prices[1] * completion_tokens) / 1e6, 6)
