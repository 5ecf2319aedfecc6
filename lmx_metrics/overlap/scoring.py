"""ROUGE-1, ROUGE-L (F measures) and exact match of a text with its references, in per cent."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from lmx_metrics.overlap.words import PublishedWords, UnicodeWords, normalised, normalised_unicode

PUBLISHED = ("rouge1", "rougeL", "exact_match")
UNICODE = ("rouge1_unicode", "rougeL_unicode", "exact_match_unicode")
METRICS = (*PUBLISHED, *UNICODE)
_TYPES = ["rouge1", "rougeL"]


def score(text: str, references: Sequence[str]) -> dict[str, float]:
    """Return the values of a text, each the best over the references, from 0 to 100.

    Returns:
        `PUBLISHED`: what natural-instructions reports (rouge-score with stems; exact match after lower-casing, dropping
        ASCII punctuation and folding spaces). They are left out where no reference can score against itself, for then
        0 says nothing of the text. `UNICODE`: the same by words of any script, always there. `unscorable`: 1.0 where
        the published ones are left out, else 0.0.

    Raises:
        ValueError: there is no reference.
    """
    if not references:
        raise ValueError("no references to compare with")
    scorable = is_scorable(references)
    values = best(text, references) if scorable else {}
    wide = [_rouge(reference, text, True) for reference in references]
    same = normalised_unicode(text)
    return {
        **values,
        "rouge1_unicode": 100.0 * max(one for one, _ in wide),
        "rougeL_unicode": 100.0 * max(longest for _, longest in wide),
        "exact_match_unicode": 100.0 * any(normalised_unicode(each) == same for each in references),
        "unscorable": float(not scorable),
    }


def best(text: str, references: Sequence[str]) -> dict[str, float]:
    """Return the published values alone, whether or not a reference can score against itself."""
    scores = [_rouge(reference, text, False) for reference in references]
    answer = normalised(text)
    return {
        "rouge1": 100.0 * max(one for one, _ in scores),
        "rougeL": 100.0 * max(longest for _, longest in scores),
        "exact_match": 100.0 * any(normalised(each) == answer for each in references),
    }


def is_scorable(references: Sequence[str]) -> bool:
    """Whether ROUGE can see any of the references: one with a letter a-z or a digit 0-9."""
    return any(_words(reference, False) for reference in references)


class _Tokens:
    """Hands rouge-score the words of a text that were found once."""

    def __init__(self, unicode: bool) -> None:
        self._unicode = unicode

    def tokenize(self, text: str) -> Sequence[str]:
        return _words(text, self._unicode)


@functools.lru_cache(maxsize=4096)
def _words(text: str, unicode: bool) -> tuple[str, ...]:
    return tuple((UnicodeWords() if unicode else PublishedWords()).tokenize(text))


@functools.cache
def _scorer(unicode: bool) -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(_TYPES, tokenizer=_Tokens(unicode))


def _rouge(reference: str, text: str, unicode: bool) -> tuple[float, float]:
    """Return the F measures of ROUGE-1 and ROUGE-L, from 0 to 1; the same words have the same values."""
    gold, given = _words(reference, unicode), _words(text, unicode)
    if set(gold).isdisjoint(given):
        return 0.0, 0.0  # what the scorer would say after filling its table
    if gold == given:
        return 1.0, 1.0
    if unicode and (gold, given) == (_words(reference, False), _words(text, False)):
        unicode = False
    return _of(reference, text, unicode)


@functools.lru_cache(maxsize=1024)
def _of(reference: str, text: str, unicode: bool) -> tuple[float, float]:
    found = _scorer(unicode).score(target=reference, prediction=text)
    return found["rouge1"].fmeasure, found["rougeL"].fmeasure
