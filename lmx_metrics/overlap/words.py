"""What counts as a word, and as the same answer: the published rules, and rules for every script.

The published rules know the letters a-z and the digits 0-9 only. Those for every script give the same words on English
text, so that the two differ only where the published ones cannot see.
"""

from __future__ import annotations

import functools
import string
import unicodedata
from typing import Any

_PUNCTUATION = str.maketrans("", "", string.punctuation)
# Written without spaces between words: each character counts as one.
_UNSPACED = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR", "TIBETAN")
_STEMMED_FROM = 4  # letters; rouge-score stems longer words than three letters


def normalised(text: str) -> str:
    """Return an answer as natural-instructions compares it: lower case, no ASCII punctuation, single spaces.

    Articles stay, unlike in SQuAD's normalisation, from which it was taken.
    """
    return " ".join(text.lower().translate(_PUNCTUATION).split())


def normalised_unicode(text: str) -> str:
    """Return an answer as `normalised` does, in any script: compatibility forms and all punctuation are folded too.

    What consists of punctuation only is returned as it is, so that ``?`` is not the empty answer.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c for c in folded if c not in string.punctuation and not unicodedata.category(c).startswith("P"))
    return " ".join(kept.split()) or "".join(folded.split())


class PublishedWords:
    """rouge-score's own words with Porter's stems, each stem made once."""

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text: runs of a-z and 0-9, stemmed if longer than three letters."""
        from rouge_score.tokenize import tokenize

        return tokenize(text, _Stems)


class UnicodeWords:
    """Words of any script: runs of letters, digits and marks, ASCII ones stemmed as the published rules do.

    In scripts without spaces every character is a word, and so is every symbol beyond ASCII (an emoji, an arrow). A
    text without any word is cut into its characters, so that every answer that is not blank equals itself.
    """

    def tokenize(self, text: str) -> list[str]:
        """Return the words of a text."""
        folded = unicodedata.normalize("NFKC", text).casefold()
        words: list[str] = []
        run = ""
        for character in folded:
            kind = _kind(character)
            if kind == "run":
                run += character
                continue
            if run:
                words.append(run)
                run = ""
            if kind == "alone":
                words.append(character)
        if run:
            words.append(run)
        stems = [_stem(word) if word.isascii() and len(word) >= _STEMMED_FROM else word for word in words]
        return stems or [character for character in folded if not character.isspace()]


class _Stems:
    """Stands in for a stemmer where rouge-score wants one."""

    @staticmethod
    def stem(word: str) -> str:
        return _stem(word)


@functools.lru_cache(maxsize=1 << 16)
def _stem(word: str) -> str:
    return str(_porter().stem(word))


@functools.cache
def _porter() -> Any:
    from nltk.stem.porter import PorterStemmer

    return PorterStemmer()


@functools.lru_cache(maxsize=1 << 14)
def _kind(character: str) -> str:
    """Return whether a character belongs to a run (``run``), is a word (``alone``) or separates words (empty)."""
    category = unicodedata.category(character)
    if category[0] in "LN":
        return "alone" if unicodedata.name(character, "").startswith(_UNSPACED) else "run"
    if category[0] == "M":
        return "run"
    return "alone" if category[0] == "S" and not character.isascii() else ""
