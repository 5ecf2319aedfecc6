"""WordNet's nouns, read from its database files (wndb(5WN), wninput(5WN)); Debian has them in wordnet-base."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

FOLDER = Path("/usr/share/wordnet")
ENDINGS = (
    ("s", ""), ("ses", "s"), ("xes", "x"), ("zes", "z"), ("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y"),
)  # fmt: skip
"""Of plurals and what they stand for (morphy(7WN))."""


class Nouns:
    """The senses of nouns and what stands above them."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._senses: dict[str, tuple[str, ...]] = {}
        self._above: dict[str, list[str]] = {}
        self._irregular: dict[str, str] = {}
        for line in _lines(folder / "index.noun"):
            fields = line.split()
            self._senses[fields[0]] = tuple(fields[-int(fields[2]) :])
        for line in _lines(folder / "data.noun"):
            fields = line.split("|")[0].split()
            at = 4 + 2 * int(fields[3], 16)
            pointers = [fields[at + 1 + 4 * k : at + 5 + 4 * k] for k in range(int(fields[at]))]
            self._above[fields[0]] = [where for kind, where, *_ in pointers if kind in ("@", "@i")]
        for line in _lines(folder / "noun.exc"):
            plural, *singular = line.split()
            self._irregular[plural] = singular[0]
        self.ancestors = lru_cache(maxsize=None)(self._ancestors)

    def __contains__(self, word: str) -> bool:
        return word in self._senses

    def senses(self, word: str) -> tuple[str, ...]:
        """Return the synsets of a noun or of its singular, the most frequent first."""
        for form in (word, *self.singulars(word)):
            if form in self._senses:
                return self._senses[form]
        return ()

    def singulars(self, word: str) -> list[str]:
        """Return what a word may be the plural of."""
        found = [self._irregular[word]] if word in self._irregular else []
        return found + [word[: -len(end)] + base for end, base in ENDINGS if word.endswith(end) and word != end]

    def synset(self, name: str) -> str:
        """Return a synset by its name, e.g. ``bird.n.01``."""
        word, _, number = name.split(".")
        return self._senses[word][int(number) - 1]

    def _ancestors(self, synset: str) -> frozenset[str]:
        """Return a synset and all above it, instances' classes included."""
        return frozenset([synset]).union(*(self.ancestors(each) for each in self._above[synset]))


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(" ")]
