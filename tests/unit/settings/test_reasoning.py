"""Reasoning before the answer: stop strings mean nothing in it, and one that does not end is no answer."""

import copy

import pytest
from lm_eval.models.huggingface import HFLM
from transformers import AddedToken

from lmx_models.core.stopping import Reasoning, Stopping
from lmx_models.guided.model import GuidedLM
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.methods.wedlm import WeDLM
from lmx_models.settings.requests import reasoning_of
from lmx_models.zoo import catalogue
from tests.unit.models.test_decoder_lm import requests

EOS, END = 0, 1  # of the byte tokenizer below
FAST = {"device": "cpu", "batch_size": 4, "self_check": False}


def tokens(text: str) -> list[int]:
    return list(text.encode())


def decode(ids) -> str:
    return bytes(one for one in ids if one > 1).decode()


def stopping(reasoning, strings=("\n\n",), limit=1000) -> Stopping:
    return Stopping(limit, frozenset({EOS}), strings, decode, reasoning)


THINK = Reasoning("</t>", "<t>")


def end_of(stop: Stopping, text) -> tuple[str, str]:
    """Feed a text token by token as a decoder does; return why it ended and its answer."""
    ids = text if isinstance(text, list) else tokens(text)
    for n in range(1, len(ids) + 1):
        if finish := stop.check(ids[:n]):
            return finish, stop.answer(ids[:n], finish)
    pytest.fail("did not end")


@pytest.mark.parametrize(
    ("text", "finish", "answer"),
    [
        ("<t>a\n\nb</t>\n\nAnswer\n\nmore", "stop", "Answer"),
        ("a\n\nb</t> Answer\n\n", "stop", "Answer"),
        ("a</t>b</t>c\n\n", "stop", "c"),
        ("a</t>b\n\n</t>c\n\n", "stop", "b"),
        ("</t>\n\n\n\nx\n\n", "stop", "x"),
    ],
)
def test_stop_strings_are_for_the_answer(text, finish, answer):
    assert end_of(stopping(THINK), text) == (finish, answer)
    ids = [one for part in split(text) for one in ([END] if part == "</t>" else tokens(part))]
    assert end_of(stopping(Reasoning(END, "<t>")), ids) == (finish, answer)


def split(text: str) -> list[str]:
    parts = text.split("</t>")
    return [piece for i, part in enumerate(parts) for piece in ([part] if i == 0 else ["</t>", part])]


@pytest.mark.parametrize(
    ("text", "finish", "reasoning", "answer"),
    [
        ("some thoughts", "length", THINK, ""),
        ("some thoughts", "context", THINK, ""),
        ("<t>thoughts\n\nmore", "eos", THINK, ""),
        ("thoughts", "eos", Reasoning("</t>", "<t>", open=True), ""),
        ("An answer.\n\nmore", "eos", THINK, "An answer."),  # never spoke of thinking: as in lm_eval
        ("  An answer.", "eos", Reasoning("</t>"), "An answer."),
        ("An answer", "length", Reasoning("</t>", "<t>", open=False), "An answer"),
        ("thoughts</t>", "length", THINK, ""),
        ("thoughts</t>4", "length", THINK, "4"),
        ("An answer", "length", None, "An answer"),
    ],
)
def test_a_reasoning_that_does_not_end_is_no_answer(text, finish, reasoning, answer):
    ids = tokens(text) + ([EOS] if finish == "eos" else [])
    stop = stopping(reasoning)
    assert stop.answer(ids, finish) == answer
    assert stop.unfinished(ids, finish) is (answer == "" and "</t>" not in text)


def test_the_whole_text_keeps_the_reasoning_and_ends_before_the_stop_string():
    ids = tokens("a\n\nb</t>\n\nc\n\nd</t>e")
    assert stopping(THINK).text(ids) == "a\n\nb</t>\n\nc"
    assert stopping(None).text(ids) == "a"
    assert stopping(Reasoning("</t>", open=False)).text(ids) == "a"


def test_what_a_prompt_says_of_the_reasoning():
    tokenizer = AutoregressiveLM(pretrained="tiny-base", **FAST).tokenizer
    assert reasoning_of(None, tokenizer, "x") is None
    assert reasoning_of("</think>", tokenizer, "x") == Reasoning("</think>", "<think>", None)
    assert reasoning_of("</think>", tokenizer, "x<think>\n").open is True
    assert reasoning_of("</think>", tokenizer, "x<think>\n\n</think>\n\n").open is False
    assert reasoning_of("</think>", tokenizer, "<think> long ago </think> and now") == Reasoning("</think>", "<think>")
    special = tokenizer.eos_token
    assert reasoning_of(special, tokenizer, "x").end == tokenizer.eos_token_id  # texts do not show special tokens


def write(lm, **gen_kwargs):
    texts = lm.generate_until(requests(n=3, **{"max_gen_toks": 60, **gen_kwargs}), disable_tqdm=True)
    return [str(text) for text in texts], lm.get_model_info()["decoding"]


def test_answers_are_those_of_hf_where_the_reasoning_ends():
    base = {"pretrained": catalogue.resolve("tiny-base").pretrained, **FAST}
    del base["self_check"]
    plain, _ = write(AutoregressiveLM(pretrained="tiny-base", **FAST))
    assert all("Controls" in text for text in plain)
    for end in ("Controls", AutoregressiveLM(pretrained="tiny-base", **FAST).tokenizer.encode("Controls")[0]):
        ours, info = write(AutoregressiveLM(pretrained="tiny-base", think_end_token=end, **FAST), until=["zzz"])
        theirs = HFLM(**base, think_end_token=end).generate_until(
            requests(n=3, max_gen_toks=60, until=["zzz"]), disable_tqdm=True
        )
        assert ours == theirs
        assert info["unfinished_reasoning"] == 0


def test_hf_ends_within_the_reasoning_and_we_do_not():
    lm = AutoregressiveLM(pretrained="tiny-base", think_end_token="Controls", **FAST)
    texts, _ = write(lm, until=["\n-"])
    assert all(text and "\n-" not in text for text in texts)
    token = lm.tokenizer.encode("Controls")[0]
    lm.think_end_token = token
    assert write(lm, until=["\n-"])[0] == texts, "an id and its text mean the same"


def test_an_end_of_several_special_tokens_is_looked_for_by_its_ids():
    """As gpt-oss has it: the parts of a text are told apart by tokens that are not in the decoded text."""
    tokenizer = copy.deepcopy(AutoregressiveLM(pretrained="tiny-base", **FAST).tokenizer)
    tokenizer.add_tokens([AddedToken(one, special=True) for one in ("<|channel|>", "<|message|>", "<|end|>")])
    end = "<|channel|>final<|message|>"
    reasoning = reasoning_of(end, tokenizer, "x")
    stop = Stopping(99, frozenset({tokenizer.eos_token_id}), ("\n",), decoder_of(tokenizer), reasoning)

    def told(text: str, finish: str) -> tuple[str, bool]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        return stop.answer(ids, finish), stop.unfinished(ids, finish)

    thoughts = "<|channel|>analysis<|message|>final thoughts\nmore<|end|>"
    assert stop.check(tokenizer.encode(thoughts)) is None, "a stop string within the reasoning ends nothing"
    assert told(thoughts, "length") == ("", True)
    assert told(f"{thoughts}<|channel|>final", "length") == ("", True)
    assert told(f"{thoughts}{end}Four", "eos") == ("Four", False)
    assert told(f"{thoughts}{end}Four\nFive", "stop") == ("Four", False)
    assert told("final Four", "length") == ("", True), "the word alone is no end"
    assert reasoning_of("<|end|>", tokenizer, "x").end == tokenizer.convert_tokens_to_ids("<|end|>")


def decoder_of(tokenizer):
    return lambda ids: tokenizer.decode(list(ids), skip_special_tokens=True)


NEVER = "</never>"
GRAPH = """nodes:
  plan: {model: tiny-base, method: ar, prompt: "{prompt}", max_tokens: 8}
  answer: {model: tiny-base, method: ar, prompt: "{prompt} {plan}"}
"""


@pytest.mark.parametrize(
    "make",
    [
        lambda path: AutoregressiveLM(pretrained="tiny-base", think_end_token=NEVER, **FAST),
        lambda path: GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", think_end_token=NEVER, **FAST),
        lambda path: WeDLM(think_end_token=NEVER, **FAST),
        lambda path: MaskedDiffusionLM(think_end_token=NEVER, **FAST),
        lambda path: BlockDiffusionLM(think_end_token=NEVER, **FAST),
        lambda path: IterativeLM(pretrained="tiny-base", rounds=1, think_end_token=NEVER, **FAST),
        lambda path: HybridLM(graph=path, think_end_token=NEVER, **FAST),
    ],
    ids=["ar", "guided", "wedlm", "mdlm", "bd3lm", "iterative", "hybrid"],
)
def test_every_method_counts_what_has_no_answer(make, tmp_path):
    (tmp_path / "graph.yaml").write_text(GRAPH)
    lm = make(str(tmp_path / "graph.yaml"))
    texts = lm.generate_until(requests(n=3, max_gen_toks=8, until=["\n"]), disable_tqdm=True)
    assert texts == ["", "", ""]
    assert all(text.trace.finish == "length" for text in texts), "a stop string within the reasoning ends nothing"
    assert [text.trace.extra["reasoning_finished"] for text in texts] == [False] * 3
    info = lm.get_model_info()["decoding"]
    assert info["unfinished_reasoning"] == 3
    for stage in info.get("stages", {}).values():
        assert stage["unfinished_reasoning"] == stage.get("finish_length", 0)


def test_texts_of_the_journal_are_counted_too(tmp_path):
    for found in (0, 3):
        lm = AutoregressiveLM(pretrained="tiny-base", think_end_token=NEVER, journal=str(tmp_path), **FAST)
        lm.generate_until(requests(n=3, max_gen_toks=8), disable_tqdm=True)
        info = lm.get_model_info()["decoding"]
        lm.journal.journal.close()
        assert (info["texts_from_journal"], info["unfinished_reasoning"]) == (found, 3)


def test_a_stop_string_behind_an_id_is_cut_off_as_in_hf():
    ours = AutoregressiveLM(pretrained="tiny-base", **FAST)
    first = ours.generate_until(requests(n=1), disable_tqdm=True)[0].trace.tokens[0]
    hf = HFLM(pretrained=catalogue.resolve("tiny-base").pretrained, device="cpu", batch_size=4, think_end_token=first)
    ours.think_end_token = first
    texts = write(ours, until=["\n"])[0]
    assert texts == hf.generate_until(requests(n=3, max_gen_toks=60, until=["\n"]), disable_tqdm=True)
    assert all(text and "\n" not in text for text in texts)
