"""``--model wedlm`` through lm_eval: arguments, limits, traces, the journal, and verified texts on a trained model."""

import json
import shutil

import pytest
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.core.completion import Completion
from lmx_models.engine import flash_attention
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.wedlm import WeDLM
from lmx_tasks.category_counting import generate as counting
from lmx_tasks.constraint_tiny import generate as sections
from tests.unit.models.test_decoder_lm import requests
from training.tiny.data import HELD_OUT_COUNTING, HELD_OUT_SECTIONS

FAST = {"pretrained": "tiny-wedlm", "device": "cpu", "batch_size": 4}


@pytest.fixture(scope="module")
def lm():
    return WeDLM(**FAST)


def write(lm, **gen_kwargs):
    return lm.generate_until(requests(**gen_kwargs), disable_tqdm=True)


def test_verified_texts_are_those_of_greedy_ar_on_200_prompts():
    ar, verified = AutoregressiveLM(**{**FAST, "batch_size": 50}), WeDLM(verify="ar", **{**FAST, "batch_size": 50})
    prompts = [(item.prompt, 8) for item in counting.generate(*HELD_OUT_COUNTING)[:170]]
    prompts += [(item.prompt, 100) for item in sections.generate(*HELD_OUT_SECTIONS)[:30]]
    todo = []
    for i, (prompt, limit) in enumerate(prompts):
        context = ar.apply_chat_template([{"role": "user", "content": prompt}])
        gen_kwargs = {"until": [], "max_gen_toks": limit}
        todo.append(Instance("generate_until", {}, (context, gen_kwargs), 0, ("t", i, 1)))
    expected, got = (one.generate_until(todo, disable_tqdm=True) for one in (ar, verified))
    assert [text.trace.tokens for text in got] == [text.trace.tokens for text in expected]
    assert [text.trace.finish for text in got] == [text.trace.finish for text in expected]
    assert all(text.trace.forwards <= len(text.trace.tokens) for text in got)
    assert sum(text.trace.forwards for text in got) < 0.7 * sum(text.trace.kept for text in got)


def test_batch_size_does_not_change_texts(lm):
    alone = WeDLM(**{**FAST, "batch_size": 1})
    for gen_kwargs in ({"tau": 1.5}, {"tau": 1.5, "do_sample": True, "temperature": 1.0}, {"verify": "ar"}):
        assert write(lm, **gen_kwargs) == write(alone, **gen_kwargs)


def test_the_window_is_the_block_of_the_training(lm):
    for model, window in ((lm, 8), (WeDLM(**{**FAST, "pretrained": "tiny-oracle"}), 16), (WeDLM(window=5, **FAST), 5)):
        assert model.get_model_info()["decoding"]["settings"]["window"] == window


def test_a_window_wider_than_in_training_is_told(caplog):
    for window, told in ((8, False), (9, True)):
        caplog.clear()
        wide = WeDLM(window=window, **FAST)
        assert any("window=9: tiny-wedlm was trained to fill 8 places" in note for note in wide.notes) == told
        assert any("trained to fill" in record.message for record in caplog.records) == told


def test_settings_come_by_model_args_or_gen_kwargs(lm):
    settings = {"tau": 2.0, "lambda": 0.5, "window": 5}
    by_model = WeDLM(**settings, **FAST)
    steps = [
        [text.trace.extra["steps"] for text in texts]
        for texts in (write(by_model), write(lm, **settings), write(lm, **{**settings, "lambda": 0.0}))
    ]
    assert steps[0] == steps[1] != steps[2]
    described = by_model.get_model_info()["decoding"]["settings"]
    assert {name: described[name] for name in settings} == settings
    assert "distance" not in described
    assert described["mask_id"] == lm.tokenizer.convert_tokens_to_ids("<|MASK|>")
    assert described["attn"] == "sdpa"
    assert json.dumps(by_model.get_model_info()["decoding"])
    one_by_one = write(lm, tau=None)
    assert one_by_one == write(lm, tau="none")
    assert all(text.trace.forwards == text.trace.kept + text.trace.dropped for text in one_by_one)


def test_traces_and_statistics(tmp_path):
    path = tmp_path / "traces.jsonl"
    lm = WeDLM(tau=2.0, traces=str(path), **FAST)
    texts = write(lm)
    lines = {line["doc_id"]: line for line in map(json.loads, path.read_text().splitlines())}
    for doc_id, text in enumerate(texts):
        assert isinstance(text, Completion)
        assert "".join(piece for _, piece in lines[doc_id]["pieces"]) == text
        assert len(lines[doc_id]["trace"]["extra"]["steps"]) == text.trace.kept
        assert len(lines[doc_id]["pieces"]) == text.trace.kept  # one a token, so that a page can draw the steps
        assert text.trace.extra["ar_logprob"] < 0
    info = lm.get_model_info()["decoding"]
    assert info["tokens_by_source"] == {"wedlm": info["tokens_kept"]}
    assert info["p_cache"] == pytest.approx(info["tokens_kept"] / info["tokens_fed"], abs=1e-4)
    assert info["tokens_per_forward"] == pytest.approx(info["tokens_kept"] / info["forwards"], abs=1e-4)
    assert info["tokens_per_forward"] > 1


@pytest.mark.parametrize("settings", [{}, {"tau": 3.0}, {"verify": "ar"}, {"window": 64}])
def test_limits_shorter_than_the_window(lm, settings):
    for limit in (1, 2, 3):
        for text in write(lm, max_gen_toks=limit, **settings):
            assert len(text.trace.tokens) <= limit
            assert text.trace.finish == ("length" if len(text.trace.tokens) == limit else "eos")


@pytest.mark.parametrize("settings", [{"tau": 3.0}, {"verify": "ar"}])
def test_stop_strings_cut_the_text(lm, settings):
    free = write(lm, **settings)
    for text, whole in zip(write(lm, until=[" ", "e"], **settings), free, strict=True):
        cut = min((whole.find(string) for string in (" ", "e") if string in whole), default=len(whole))
        assert text == whole[:cut]
        assert text.trace.finish == ("stop" if cut < len(whole) else whole.trace.finish)


def test_an_empty_prompt(lm):
    instance = Instance("generate_until", {}, ("", {"until": [], "max_gen_toks": 5}), 0, ("t", 0, 1))
    for settings in ({}, {"verify": "ar"}):
        instance.arguments = ("", {"until": [], "max_gen_toks": 5, **settings})
        (text,) = lm.generate_until([instance], disable_tqdm=True)
        assert 1 <= len(text.trace.tokens) <= 5
        assert text.trace.prompt_tokens == 1


def test_the_journal_keeps_settings_apart(tmp_path):
    def run(**settings):
        lm = WeDLM(journal=str(tmp_path), **settings, **FAST)
        texts = lm.generate_until(requests(n=2), disable_tqdm=True)
        lm.journal.journal.close()
        return texts, lm.get_model_info()["decoding"]["texts_from_journal"]

    first, found = run(tau=2.0)
    assert found == 0
    for change in ({"tau": 1.0}, {"tau": 2.0, "lambda": 0.3}, {"tau": 2.0, "verify": "ar"}, {"tau": 2.0, "mask_id": 7}):
        assert run(**change)[1] == 0
    again, found = run(tau=2.0)
    assert found == 2
    assert again == first
    assert [text.trace for text in again] == [text.trace for text in first]


@pytest.mark.parametrize("verify", [None, "ar"])
def test_a_checkpoint_of_the_published_model_type(lm, verify, tmp_path):
    """``tencent/WeDLM-*`` say model_type wedlm, which transformers does not know, and name no mask token."""
    folder = tmp_path / "WeDLM-tiny"
    shutil.copytree(lm.pretrained, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "wedlm", "architectures": ["WeDLMForCausalLM"], "mask_token_id": None}
    (folder / "config.json").write_text(json.dumps(config))
    published = WeDLM(**{**FAST, "pretrained": str(folder), "verify": verify})
    assert type(published.model).__name__ == "Qwen3ForCausalLM"
    assert write(published) == write(lm, verify=verify)


def test_a_model_that_was_trained_for_something_else_is_told(lm, caplog):
    assert not any("trained" in note for note in lm.notes)
    for name, words in (("tiny-mdlm", "was trained for --model mdlm"), ("tiny-oracle", "nothing in the configuration")):
        caplog.clear()
        assert words in WeDLM(**{**FAST, "pretrained": name}).notes[-1]
        assert any(words in record.message for record in caplog.records)


def test_the_mask_token_can_be_named(lm):
    named = WeDLM(mask_id=lm.mask_id, **FAST)
    assert write(named, tau=2.0) == write(lm, tau=2.0)
    with pytest.raises(UserError, match=r"mask_id=99999 lies outside"):
        WeDLM(mask_id=99999, **FAST)


def test_attention_is_chosen_at_load(monkeypatch):
    with pytest.raises(UserError, match=r"attn=flash needs a CUDA device"):
        WeDLM(attn="flash", **FAST)
    with pytest.raises(UserError, match="did you mean 'flash'"):
        WeDLM(attn="flsh", **FAST)
    monkeypatch.setattr(flash_attention, "choose", lambda *_: "flash")
    used = []
    monkeypatch.setattr(flash_attention, "rows_varlen", lambda *args: used.append(args))
    lm = WeDLM(self_check=False, **FAST)
    assert lm.attn == "flash"
    write(lm, max_gen_toks=1)
    assert used


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"windw": 3}, "did you mean 'window'"),
        ({"lamda": 3}, "did you mean 'lambda'"),
        ({"window": 0}, "window=0"),
        ({"tau": "warm"}, "tau='warm' is not a number"),
        ({"lambda": -1}, "lambda=-1"),
        ({"verify": "greedy"}, "unknown verify 'greedy'"),
        ({"verify": "ar", "temperature": 0.7}, r"verify=ar.*temperature=0.7.*temperature=0"),
        ({"ll": "elbo"}, "unknown ll 'elbo'"),
        ({"mc_samples": 0}, "mc_samples=0"),
    ],
)
def test_bad_arguments_are_refused_before_loading(bad, message, monkeypatch):
    monkeypatch.setattr("lmx_models.zoo.catalogue.resolve", lambda *_, **__: pytest.fail("a model was looked for"))
    with pytest.raises(UserError, match=message):
        WeDLM(**{**FAST, **bad})


def test_bad_generation_arguments(lm):
    with pytest.raises(UserError, match="did you mean 'window'"):
        write(lm, windw=3)
    with pytest.raises(UserError, match=r"verify=ar.*temperature=0.7"):
        write(lm, verify="ar", temperature=0.7, do_sample=True)
