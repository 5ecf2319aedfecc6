"""No sign of the count in what a list looks like; a sign that is planted is found."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import pytest
from tokenizers import Tokenizer

import lmx_models
from lmx_tasks.category_counting.checking.surface import features, out_of_fold_r2
from lmx_tasks.category_counting.making import systematic
from lmx_tasks.category_counting.words import owners
from tests.unit.counting.wordnet import FOLDER, Nouns

TOKENIZER = Path(lmx_models.__file__).parent / "tiny" / "tiny-base" / "tokenizer.json"


@lru_cache(maxsize=1)
def looks() -> dict[str, list[float]]:
    """Characters, tokens of the shipped tokenizer and their ranks, share of vowels, senses where WordNet is there."""
    tokenizer = Tokenizer.from_file(str(TOKENIZER))
    nouns = Nouns() if FOLDER.is_dir() else None
    found = {}
    for word in {**owners("full"), **owners("tiny")}:
        ids = tokenizer.encode(f" {word}").ids
        senses = len(nouns.senses(word)) if nouns else 0
        vowels = sum(letter in "aeiou" for letter in word) / len(word)
        found[word] = [len(word), len(ids), max(ids), vowels, senses]
    return found


def r2(docs, seed: int = 0) -> float:
    return out_of_fold_r2(features(docs, looks()), docs, seed)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_leak(seed):
    assert r2(systematic.make(3_000, seed)) <= 0.02


def test_without_stand_ins_there_is_one(monkeypatch):
    """Words drawn at large give the count away by how alike they look: the check finds what the design prevents."""
    monkeypatch.setattr(systematic, "load_stand_ins", dict)
    assert r2(systematic.make(3_000, 1)) > 0.04


def test_a_planted_leak_is_found():
    docs = systematic.make(1_500, 4)
    rng = random.Random(4)
    for doc in docs:  # members of the category come first, long words before short ones
        doc["words"] = sorted(doc["words"], key=lambda word: (owners("full")[word] != doc["category"], rng.random()))
    assert r2(docs) <= 0.02  # an order alone shows nothing that these features see
    for doc in docs:
        if doc["count"] > 4:
            doc["words"] = sorted(doc["words"], key=len)
    assert r2(docs) > 0.1


def test_noise_is_not_signal():
    docs = systematic.make(600, 5)
    rng = random.Random(5)
    noise = {word: [rng.random() for _ in range(8)] for word in owners("full")}
    assert out_of_fold_r2(features(docs, noise), docs) <= 0.02
