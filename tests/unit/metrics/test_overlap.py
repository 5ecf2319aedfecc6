"""ROUGE and exact match: equal to rouge-score and to the published normalisation, re-expressed here."""

from __future__ import annotations

import random
import re
import string
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lmx_metrics import overlap
from lmx_metrics.overlap import words

STEMS = ["run", "runs", "running", "ran", "cat", "cats", "category", "national", "nationality", "flies", "die", "dying"]
OTHERS = ["a", "the", "Yes", "12", "3.5", "U.S.", "don't", "well-known", "“quoted”", "naïve", "Нет", "北京", "(", "?"]
OTHERS += ["!", ",", "🎬", "\n", "\t", "THE", "Running", ""]


def texts(rng: random.Random, most: int) -> str:
    return " ".join(rng.choice(STEMS if rng.random() < 0.7 else OTHERS) for _ in range(rng.randrange(most)))


def pairs(n: int) -> list[tuple[str, list[str]]]:
    """Predictions with one to five references: shuffled, changed and equal ones, and empty ones."""
    rng = random.Random(18)
    made = []
    for i in range(n):
        references = [texts(rng, 14) for _ in range(rng.choice([1, 1, 1, 2, 3, 5]))]
        prediction = rng.choice(references).split(" ")
        if i % 3 == 0:
            rng.shuffle(prediction)
        if i % 3 == 1:
            prediction[rng.randrange(len(prediction)) :] = texts(rng, 9).split(" ")
        made.append(("" if i % 10 == 9 else " ".join(prediction), references))
    return made


def published_normalisation(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(f"[{re.escape(string.punctuation)}]", "", text.lower())).strip()


def published(prediction: str, references: list[str]) -> dict[str, float]:
    """What natural-instructions computes: a fresh look at every reference, and the best of them."""
    from rouge_score import rouge_scorer

    scorer = rouge_scorer.RougeScorer(["rouge1", "rougeL"], use_stemmer=True)
    scores = [scorer.score(target=reference, prediction=prediction) for reference in references]
    same = [published_normalisation(prediction) == published_normalisation(each) for each in references]
    return {
        "rouge1": 100 * max(each["rouge1"].fmeasure for each in scores),
        "rougeL": 100 * max(each["rougeL"].fmeasure for each in scores),
        "exact_match": 100.0 * max(same),
    }


def test_2000_pairs_score_as_published() -> None:
    cases = pairs(2000)
    assert sum(not prediction for prediction, _ in cases) >= 200
    assert sum(len(references) > 1 for _, references in cases) >= 800
    found = [overlap.best(prediction, references) for prediction, references in cases]
    for values, (prediction, references) in zip(found, cases, strict=True):
        assert values == pytest.approx(published(prediction, references), abs=1e-9), (prediction, references)
    assert 20 < sum(values["rougeL"] for values in found) / 2000 < 90, "the pairs must tell scores apart"
    assert 50 < sum(values["exact_match"] == 100 for values in found) < 1500


def test_score_gives_the_published_values_where_the_gold_can_score() -> None:
    for prediction, references in pairs(300):
        values = overlap.score(prediction, references)
        visible = any(re.search("[a-z0-9]", each.lower()) for each in references)
        assert values["unscorable"] == (not visible)
        assert {name: values[name] for name in overlap.PUBLISHED if name in values} == (
            overlap.best(prediction, references) if visible else {}
        )
        assert set(overlap.UNICODE) < set(values)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=string.ascii_letters + string.digits + " .,!?'-\n", max_size=40))
def test_english_words_are_the_same_in_both_variants(text: str) -> None:
    seen = words.PublishedWords().tokenize(text)
    if seen:
        assert words.UnicodeWords().tokenize(text) == seen
    assert words.normalised(text) == published_normalisation(text)


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.text(max_size=30))
def test_any_text_scores_between_0_and_100_and_equals_itself(text: str, other: str) -> None:
    values = overlap.score(text, [other])
    assert all(0 <= value <= 100 for value in values.values())
    own = overlap.score(text, [text])
    assert own["exact_match_unicode"] == 100
    if not unicodedata.normalize("NFKC", text).isspace() and text.strip():
        assert own["rougeL_unicode"] == pytest.approx(100), "what is not blank must score against itself"
    if not own["unscorable"]:
        assert own["rougeL"] == own["rouge1"] == pytest.approx(100)


def test_no_references_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="no references"):
        overlap.score("yes", [])


def test_one_scorer_serves_all_texts() -> None:
    from lmx_metrics.overlap import scoring

    overlap.score("running", ["runs"])
    assert scoring._scorer(False) is scoring._scorer(False)
    assert scoring._scorer.cache_info().currsize <= 2


def test_the_breakdown_averages_what_there_is_and_counts_the_rest() -> None:
    items = [
        {"domain": "b", "rougeL": 50.0, "rougeL_unicode": 50.0, "unscorable": 0.0},
        {"domain": "b", "rougeL_unicode": 100.0, "unscorable": 1.0},
        {"domain": "b", "rougeL": 100.0, "rougeL_unicode": 0.0, "unscorable": 0.0},
        {"domain": "a", "rougeL_unicode": 10.0, "unscorable": 1.0},
    ]
    a, b = overlap.breakdown(items)
    assert a == {"domain": "a", "n": 1, "rougeL_unicode": 10.0, "unscorable": 1}
    assert (b["n"], b["rougeL_n"], b["rougeL"], b["rougeL_unicode"], b["unscorable"]) == (3, 2, 75.0, 50.0, 1)
    assert b["rougeL_stderr"] == pytest.approx(25.0), "sample deviation 35.4 over the square root of two"
    assert overlap.total([0.0, 1.0, 1.0]) == 2.0
