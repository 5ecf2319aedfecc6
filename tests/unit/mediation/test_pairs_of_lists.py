"""A document's category is looked up in the lists that it names, in any format, and its template is checked."""

from __future__ import annotations

import random
import re

import pytest

from lmx_files.errors import UserError
from lmx_files.runs.folders import find_runs
from lmx_probes.mediation.running import lists_of
from lmx_probes.mediation.study import read_questions
from lmx_tasks.category_counting.making.design import Design
from lmx_tasks.category_counting.making.systematic import make
from lmx_tasks.category_counting.making.templates import FORMATS
from lmx_tasks.category_counting.pairs import listed, make_pairs
from lmx_tasks.category_counting.relisted import relisted
from lmx_tasks.category_counting.words import load_categories
from tests.unit.mediation.counting_run import write_run


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


@pytest.mark.parametrize("half", [None, 0, 1])
@pytest.mark.parametrize("lists", ["full", "tiny"])
def test_long_lists_take_what_the_word_lists_have(lists, half):
    """Of one category 100 words are wanted, more than there are, and those of the question may not come."""
    docs = make(6, 5, Design(lengths=(100,), counts=(0, 8, 20)), lists)
    for number, doc in enumerate(docs):
        question = listed(number, doc, doc["prompt"], "here")
        words = set(question.asked().words)
        pool = set(sorted(words)[half::2]) if half is not None else words
        other = relisted(question, [True] * 100, random.Random(number), half, avoid=question.words)
        assert len(set(other.words)) == 100
        assert not set(other.words) & set(question.words)
        assert {word for word, member in zip(other.words, other.members(), strict=True) if member} == pool - set(
            question.words
        )
        assert other.count == sum(other.members())


def test_fewer_members_stand_at_random_ones_of_the_wanted_places():
    question = listed(0, *long_question())
    flags = [k % 5 < 4 for k in range(100)]
    rng = random.Random(1)
    times = [0] * 100
    for _ in range(200):
        members = relisted(question, flags, rng, half=0).members()
        assert sum(members) == 30
        assert not any(member and not flag for member, flag in zip(members, flags, strict=True))
        times = [n + member for n, member in zip(times, members, strict=True)]
    assert all(200 * 30 / 80 * 0.5 < n < 200 * 30 / 80 * 1.5 for n, flag in zip(times, flags, strict=True) if flag)


def long_question():
    doc = make(1, 5, Design(lengths=(100,), counts=(8,)))[0]
    return doc, doc["prompt"], "here"


def test_the_probe_knows_which_words_of_long_lists_are_members():
    question = listed(0, *long_question())
    members = set(question.asked().words)

    def encode(text):
        spans = [match.span() for match in re.finditer(r"\w+|[^\w\s]", text)]
        return [text[a:b] for a, b in spans], spans

    found = lists_of([question] * 8, encode, 1, 8)
    assert len(found) == 16
    for each in found:
        assert len(each.ends) == 100
        assert [each.tokens[k] in members for k in each.ends] == list(each.members)


@pytest.mark.parametrize("style", FORMATS)
def test_templates_that_trim_the_message_are_this_template_s(style):
    """Llama 3's and Gemma's do: what the model read ends with the last word."""
    for number, doc in enumerate(make(12, 4, Design(formats=(style,)))):
        prompt = f"<|start|>user\n\n{doc['prompt'].strip()}<|end|><|start|>assistant\n\n"
        question = listed(number, doc, prompt, "here")
        assert [question.prompt[a:b] for a, b in question.spans] == doc["words"]
        (pair, *_), left = make_pairs([question], by_letter, seed=1)
        assert not left
        begin, end = question.spans[pair.index]
        assert pair.source.prompt == prompt[:begin] + pair.source.words[pair.index] + prompt[end:]
        with pytest.raises(UserError, match="does not hold the question"):
            listed(number, doc, prompt.replace("Words:", "List:"), "here")


def test_no_template_is_not_another_one():
    """A file of one's own items need not name its template; then the prompt alone decides."""
    doc = make(1, 3)[0] | {"template": ""}
    assert listed(0, doc, doc["prompt"], "here").words == tuple(doc["words"])
    other = doc | {"prompt": doc["prompt"].replace("How many", "Say how many")}
    with pytest.raises(UserError, match="not what this task's template makes"):
        listed(0, other, other["prompt"], "here")


def test_a_model_s_documents_of_a_mixed_set_are_left_out_and_counted(tmp_path):
    docs = make(9, 3)
    for doc in docs[:4]:
        doc |= {"lists": "", "source": "model"}
    docs[5]["position"] = "after"
    (run,) = find_runs(write_run(tmp_path / "run", docs, task="category_counting"))
    _, questions, _, left = read_questions(run, None)
    assert [question.doc_id for question in questions] == [4, 6, 7, 8]
    assert left == {"of words that are of no shipped lists": 4, "asks after the list": 1}
    (run,) = find_runs(write_run(tmp_path / "none", docs[:4], task="category_counting"))
    with pytest.raises(UserError, match="must be of the lists tiny or full"):
        read_questions(run, None)
