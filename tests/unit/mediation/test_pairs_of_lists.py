"""A document's category is looked up in the lists that it names, in any format, and its template is checked."""

from __future__ import annotations

import random

import pytest

from lmx_files.errors import UserError
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.systematic import make
from lmx_tasks.category_counting.making.templates import FORMATS
from lmx_tasks.category_counting.pairs import listed, make_pairs
from lmx_tasks.category_counting.relisted import relisted
from lmx_tasks.category_counting.words import load_categories


def by_letter(text):
    return text.split()


@pytest.mark.parametrize("lists", ["full", "tiny"])
def test_replacements_are_of_the_document_s_own_lists(lists):
    docs = make(120, 3, Design(formats=tuple(FORMATS)), lists)
    questions = [listed(number, doc, f"<s>{doc['prompt']}", "here") for number, doc in enumerate(docs)]
    pairs, _ = make_pairs(questions, by_letter, seed=1, controls=1.0)
    assert len(pairs) > 100
    members = {each.name: set(each.words) for each in load_categories(lists)}
    every = set().union(*members.values())
    rng = random.Random(2)
    for pair in pairs:
        assert set(pair.source.words) <= every
        assert pair.source.count == sum(word in members[pair.base.category] for word in pair.source.words)
        flags = [k % 2 == 0 for k in range(len(pair.base.words))]
        other = relisted(pair.base, flags, rng)
        assert [word in members[pair.base.category] for word in other.words] == flags
        assert set(other.words) <= every


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"template": "before-comma-00000000"}, "made with the template 'before-comma-00000000', but today's is"),
        ({"lists": "mine"}, "its words are of the lists 'mine', not of those shipped"),
        ({"lists": ""}, "its words are of no lists, not of those shipped"),
        ({"lists": "tiny", "category": "crime"}, "no category 'crime' in the word lists 'tiny'"),
        ({"format": "table"}, "its list format 'table' has no pairs"),
        ({"format": "lines"}, "made with the template"),
    ],
)
def test_documents_of_others_are_refused(change, message):
    doc = make(1, 3)[0]
    with pytest.raises(UserError, match=message):
        listed(0, doc | change, doc["prompt"], "here")
