"""Pairs of counting prompts differ in one word, in as many tokens, and their count is what they say."""

from __future__ import annotations

import random

import pytest

from lmx_files.errors import UserError
from lmx_probes.mediation.roles import places_of
from lmx_probes.mediation.transfer import transfers_of
from lmx_probes.mediation.trials import trial_of
from lmx_tasks.category_counting import generate
from lmx_tasks.category_counting.pairs import Listed, listed, make_pairs, with_words
from lmx_tasks.category_counting.relisted import relisted

MEMBERS = {category.name: set(category.words) for category in generate.load_categories()}


def questions(count: int) -> list[Listed]:
    found = []
    for number, item in enumerate(generate.generate(count, 3)):
        doc = {"prompt": item.prompt, "category": item.category, "count": item.count, "position": "before"}
        found.append(listed(number, doc, f"<s>{item.prompt}</s>answer:", "here"))
    return found


def by_word(text: str) -> list[str]:
    return text.replace(",", " ,").split()


def test_lists_are_found_in_their_prompts():
    for question in questions(60):
        assert [question.prompt[a:b] for a, b in question.spans] == list(question.words)


def test_pairs_differ_in_one_word_and_by_one():
    pairs, left = make_pairs(questions(80), by_word, seed=1, controls=1.0)
    assert not left
    assert {pair.kind for pair in pairs} == {"add", "remove", "target", "distractor"}
    for pair in pairs:
        changed = [k for k, (a, b) in enumerate(zip(pair.base.words, pair.source.words, strict=True)) if a != b]
        assert changed == [pair.index]
        assert pair.index < len(pair.base.words) - 1
        assert pair.source.count - pair.base.count == {"add": 1, "remove": -1}.get(pair.kind, 0)
        assert pair.source.count == sum(word in MEMBERS[pair.base.category] for word in pair.source.words)
        assert [pair.source.prompt[a:b] for a, b in pair.source.spans] == list(pair.source.words)
        assert abs(pair.other - pair.answer) == 1
        assert len(set(pair.source.words)) == len(pair.source.words)


def test_pairs_depend_on_the_seed_alone():
    first, second = (make_pairs(questions(20), by_word, seed=9)[0] for _ in range(2))
    assert first == second
    assert make_pairs(questions(20), by_word, seed=8)[0] != first


def test_words_that_tokenize_unevenly_are_dropped_and_counted():
    """Every word has as many tokens as letters, and one has 40: nothing else has."""
    question = with_words(questions(1)[0], questions(1)[0].words)

    def tokens(text: str) -> list[str]:
        return list(text) + (["x"] * 40 if question.words[0] in text else [])

    pairs, left = make_pairs([question] * 20, tokens, seed=1, controls=0)
    assert left["no replacement with as many tokens"] > 0
    assert len(pairs) + left["no replacement with as many tokens"] == 20
    for pair in pairs:
        assert len(tokens(pair.base.prompt)) == len(tokens(pair.source.prompt))


def test_prompts_of_another_template_are_refused():
    item = generate.generate(1, 3)[0]
    doc = {"prompt": item.prompt.replace("Words:", "List:"), "category": item.category, "count": item.count}
    with pytest.raises(UserError, match="no list of words"):
        listed(0, doc, doc["prompt"], "samples.jsonl, document 0")
    doc = {"prompt": item.prompt, "category": item.category, "count": item.count}
    with pytest.raises(UserError, match="does not hold the question"):
        listed(0, doc, "Something else", "samples.jsonl, document 0")


def test_places_have_their_roles():
    text = "Q: a, bb, c, d\n!"
    spans = [(3, 4), (6, 8), (10, 11), (13, 14)]
    offsets = [(k, k + 1) for k in range(len(text))]
    places = places_of(spans, offsets, 1)
    assert [(place.role, place.column, place.positions) for place in places] == [
        ("swapped_item", "item+0", (6, 7)),
        ("swapped_separator", "sep+0", (8, 9)),
        ("later_item", "item+1", (10,)),
        ("last_separator", "last sep", (11, 12)),
        ("last_item", "last item", (13,)),
        ("list_end", "list end", (14,)),
        ("cue", "cue", (15,)),
    ]


def test_trials_say_why_they_are_none():
    offsets = [(k, k + 1) for k in range(8)]
    spans = [(1, 2), (3, 4)]
    base, longer, elsewhere = list(range(8)), list(range(9)), [0, 9, 2, 3, 4, 9, 6, 7]
    arguments = (spans, 0, (1, 2), True, {})
    assert trial_of(0, "add", (base, offsets), (longer, offsets), *arguments) == "texts of unequal length in tokens"
    assert trial_of(0, "add", (base, offsets), (elsewhere, offsets), *arguments) == "tokens differ beside the word"
    made = trial_of(0, "add", (base, offsets), ([0, 9, *base[2:]], offsets), *arguments)
    assert not isinstance(made, str)
    assert made.slots[-1].role == "all"
    assert made.slots[-1].positions == tuple(range(1, 8))


def test_other_lists_share_no_word_where_they_must_not():
    rng = random.Random(1)
    for question in questions(20):
        flags = [k % 2 == 0 for k in range(len(question.words))]
        other = relisted(question, flags, rng, avoid=question.words)
        assert not set(other.words) & set(question.words)
        assert other.count == sum(flags)
        halves = [set(relisted(question, flags, rng, half).words) for half in (0, 1)]
        assert not halves[0] & halves[1]


def test_transfers_know_what_had_been_counted():
    def encode(text: str):
        pieces, at = [], 0
        for piece in text.replace(",", " ,").replace("\n", " ; ").split():
            begin = text.find(piece, at) if piece != ";" else at
            pieces.append((begin, begin + len(piece)))
            at = begin + len(piece)
        return [hash(text[a:b]) % 1000 for a, b in pieces], pieces

    found = transfers_of(questions(30), encode, 1, 20)
    assert len(found) > 10
    for each in found:
        assert each.deltas["cue"] == each.deltas["list_end"] == each.deltas["last_item"]
        assert abs(each.deltas["cue"] - each.deltas["last_separator"]) <= 1
