"""Beginnings and ends of text that tokenizers add: never doubled, never scored; bytes of what is scored."""

from __future__ import annotations

import pytest
from tokenizers.processors import TemplateProcessing

from lmx_probes.entropy.encode import Encoded, bytes_of, encode, ids_of
from lmx_probes.entropy.generate import prompt_ids
from lmx_probes.entropy.inputs import Item
from tests.unit.probes.tiny_models import tokenizer


def adding(begin: bool, end: bool):
    """A tokenizer that adds a beginning of text, an end of text, or both."""
    words = tokenizer()
    vocabulary = words.get_vocab()
    first, last = "<begin>", words.eos_token
    words.add_special_tokens({"bos_token": first})
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{first if begin else ''} $A {last if end else ''}".strip(),
        special_tokens=[(first, words.bos_token_id), (last, vocabulary[last])],
    )
    return words


@pytest.mark.parametrize("prompt", ["", "  ", "<begin>"])
@pytest.mark.parametrize("begin", [True, False])
def test_a_beginning_of_text_stands_once_and_is_not_scored(begin, prompt):
    words = adding(begin, False)
    found = encode(Item(prompt, "a plan"), words)
    assert found.tokens.count(words.bos_token_id) == 1
    assert found.tokens[0] == words.bos_token_id
    assert found.start == 1
    assert words.decode(found.tokens[1:]).strip() == "a plan"


def test_a_text_that_begins_with_the_beginning_of_text():
    words = adding(True, False)
    found = encode(Item("", "<begin>a plan"), words)
    assert found.tokens == [words.bos_token_id, *words.encode("a plan", add_special_tokens=False)]
    assert found.start == 1


@pytest.mark.parametrize("begin", [True, False])
@pytest.mark.parametrize("text", [" a plan", " a plan<|end|>"])
def test_an_end_of_text_that_the_tokenizer_appends_is_not_scored(begin, text):
    words = adding(begin, True)
    text = text.replace("<|end|>", words.eos_token)
    plain = words.encode("Write" + text, add_special_tokens=False)
    found = encode(Item("Write", text), words)
    first = [words.bos_token_id] if begin else []
    assert found.tokens == [*first, *plain]
    assert found.start == len(first) + len(words.encode("Write", add_special_tokens=False))
    assert prompt_ids([Item("Write", None)], words, "m", None) == [ids_of(words, "Write")]
    assert words.eos_token_id not in ids_of(words, "Write")


def test_bytes_are_of_the_scored_tokens():
    words = tokenizer()
    before, text = words.encode("Write:"), " naïve plan"
    own = words.encode(text, add_special_tokens=False)
    assert bytes_of(Encoded([*before, *own], len(before)), words) == len(text.encode())
    # What stands behind the answer is scored, so its bytes count; an end of text has none.
    behind = [*own, *words.encode("\n\nQ:", add_special_tokens=False), words.eos_token_id]
    assert bytes_of(Encoded([*before, *behind], len(before)), words) == len(text.encode()) + 4
