"""``--model mdlm`` and ``--model bd3lm`` as lm_eval sees them: limits, likelihoods, batch sizes, settings."""

import json
import logging

import pytest
import torch
from lm_eval.api.instance import Instance
from transformers import AutoTokenizer, MistralConfig, MistralForCausalLM, Qwen3Config, Qwen3ForCausalLM

from lmx_files.errors import UserError
from lmx_models.core.sampling import stream
from lmx_models.decoding.diffusion.elbo import masked_likelihood
from lmx_models.iterative import IterativeLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.zoo import catalogue, family_table
from lmx_models.zoo.loading import end_ids
from tests.unit.decoding.diffusion_tools import run_all
from training.tiny.reference import reference_bd3lm, reference_mdlm

CLASSES = {"mdlm": MaskedDiffusionLM, "bd3lm": BlockDiffusionLM}
TOKENIZER = AutoTokenizer.from_pretrained(catalogue.resolve("tiny-base").pretrained)
MASK = TOKENIZER.mask_token_id
CONTEXTS = ["Goal\nCount the birds in: ", "Plan", "Name four words about rivers and two about nothing at all:\n- "]
SIZES = {
    "vocab_size": len(TOKENIZER),
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 160,
    "eos_token_id": 1,
    "bos_token_id": None,
    "pad_token_id": 0,
}


def save(model, folder):
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(8)
    model.save_pretrained(folder)
    TOKENIZER.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    torch.manual_seed(0)
    return save(Qwen3ForCausalLM(Qwen3Config(**SIZES)), tmp_path_factory.mktemp("diffusion") / "model")


def load(method, folder, **kwargs):
    return CLASSES[method](
        pretrained=folder, **{"device": "cpu", "batch_size": 2, "seed": 3, "mc_samples": 6, **kwargs}
    )


@pytest.fixture(scope="module", params=list(CLASSES))
def lm(request, folder):
    return load(request.param, folder)


def texts(lm, **gen_kwargs):
    gen_kwargs = {"until": [], "max_gen_toks": 12, **gen_kwargs}
    todo = [Instance("generate_until", {}, (c, dict(gen_kwargs)), 0, ("t", i, 1)) for i, c in enumerate(CONTEXTS)]
    return lm.generate_until(todo, disable_tqdm=True)


def scores(lm, continuation=" one two three four", contexts=CONTEXTS):
    todo = [Instance("loglikelihood", {}, (c, continuation), 0, ("t", i, 1)) for i, c in enumerate(contexts)]
    return lm.loglikelihood(todo, disable_tqdm=True)


@pytest.mark.parametrize("limit", [1, 17])
def test_max_gen_toks_is_the_length_of_the_canvas(lm, limit):
    for text in texts(lm, max_gen_toks=limit):
        trace = text.trace
        assert len(trace.tokens) == limit or trace.finish == "eos"
        assert MASK not in trace.tokens
        assert (trace.segments[-1].source, trace.segments[-1].end) == (lm.method, len(trace.tokens))
        assert list(trace.cost) == [lm.method]


def test_batch_sizes_change_neither_texts_nor_scores(lm, folder):
    settings = {"do_sample": True, "temperature": 1.0, "block_length": 6}
    expected = [text.trace.tokens for text in texts(lm, **settings)]
    score = scores(lm)
    for batch_size in (1, 3):
        other = load(lm.method, folder, batch_size=batch_size)
        assert [text.trace.tokens for text in texts(other, **settings)] == expected
        assert [greedy for _, greedy in scores(other)] == [greedy for _, greedy in score]
        assert [value for value, _ in scores(other)] == pytest.approx([value for value, _ in score], abs=1e-3)
    assert [text.trace.tokens for text in texts(load(lm.method, folder, seed=4), **settings)] != expected


def test_settings_come_by_model_args_or_gen_kwargs(folder):
    for method in CLASSES:
        by_model = texts(load(method, folder, steps=5, block_length=6))
        assert texts(load(method, folder), steps=5, block_length=6) == by_model
        assert max(max(text.trace.extra["steps"]) for text in by_model) == 5
        assert texts(load(method, folder), threshold=0.0)[0].trace.extra["steps"][0] == 1


def test_likelihoods_do_not_depend_on_their_neighbours(lm):
    alone = [scores(lm, contexts=[context])[0] for context in CONTEXTS]
    assert [value for value, _ in scores(lm)] == pytest.approx([value for value, _ in alone], abs=1e-3)
    assert all(value < 0 for value, _ in alone)


def test_likelihood_is_the_bound(folder):
    lm = load("mdlm", folder, mc_samples=8)
    context, tokens = lm._encode_pair(CONTEXTS[0], " x")
    maker = lambda: masked_likelihood(context, tokens, 8, stream(3, "ll", context, tokens), lm.head)  # noqa: E731
    expected = run_all(lm.model, [maker], 1)[0].generation.extra
    value, greedy = scores(lm, " x", CONTEXTS[:1])[0]
    assert (value, greedy) == (pytest.approx(expected["log_likelihood"], abs=1e-4), expected["is_greedy"])


def test_rolling_and_empty_contexts(lm):
    todo = [Instance("loglikelihood_rolling", {}, (text,), 0, ("t", 0, 1)) for text in ("a b", CONTEXTS[2])]
    short, long = lm.loglikelihood_rolling(todo, disable_tqdm=True)
    assert long < short < 0
    assert scores(lm, " a", [""])[0][0] < 0


def test_a_likelihood_says_once_what_it_is(folder, caplog):
    lm = load("bd3lm", folder, mc_samples=4, block_length=5)
    with caplog.at_level(logging.WARNING):
        scores(lm)
        scores(lm, " seven")
    said = [record.message for record in caplog.records if "ll=mc" in record.message]
    assert len(said) == 1
    assert "lower bound" in said[0]
    assert "not comparable" in said[0]
    settings = lm.get_model_info()["decoding"]["loglikelihood"]
    expected = {"ll": "mc", "samples": 4, "seed": 3, "mask_id": MASK, "shift": False, "block_length": 5}
    assert settings.items() >= expected.items()


def test_what_results_depend_on_is_told(folder):
    lm = load("mdlm", folder, shift=True, mask_id=9, steps=4)
    assert lm.describe().items() >= {"mask_id": 9, "shift": True, "steps": 4, "threshold": None}.items()
    assert lm.identity({}).items() >= {"mask_id": 9, "shift": True}.items()
    json.dumps(lm.get_model_info()["decoding"])
    assert "prefill" in load("bd3lm", folder).likelihood_settings()


def test_families_bring_their_layout(folder, tmp_path, monkeypatch):
    """A checkpoint of dLLM reads its prompt in blocks; one of Dream speaks of the next position."""
    model = Qwen3ForCausalLM.from_pretrained(folder)
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "a2d-qwen3"}))
    dllm = load("bd3lm", str(tmp_path))
    assert (dllm.describe()["prefill"], dllm.head.shifted) == ("blocks", False)
    assert load("bd3lm", str(tmp_path), prefill="whole").describe()["prefill"] == "whole"
    assert load("bd3lm", folder).describe()["prefill"] == "whole"
    assert texts(dllm)[1] == texts(load("bd3lm", folder))[1]  # a prompt shorter than a block is read alike

    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "wedlm"}))
    with pytest.raises(UserError, match="WeDLM models fill masks under causal attention: use --model wedlm"):
        load("mdlm", str(tmp_path))

    shifted = family_table.Family("x", ("a2d-qwen3",), "qwen3", shifted=True)
    monkeypatch.setattr(family_table, "FAMILIES", (shifted,))
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "a2d-qwen3"}))
    assert load("mdlm", str(tmp_path)).head.shifted
    assert not load("mdlm", str(tmp_path), shift=False).head.shifted


def test_what_a_model_was_trained_for_is_read_from_its_config(folder, tmp_path, caplog):
    model = Qwen3ForCausalLM.from_pretrained(folder)
    assert "nothing in the configuration" in load("mdlm", folder).notes[-1]
    model.config.update({"lmx_decoding": "bd3lm", "block_length": 6, "mask_token_id": MASK})
    model.save_pretrained(tmp_path)
    TOKENIZER.save_pretrained(tmp_path)
    lm = load("bd3lm", str(tmp_path))
    assert lm.describe()["block_length"] == lm.likelihood_settings()["block_length"] == 6
    assert load("bd3lm", str(tmp_path), block_length=4).describe()["block_length"] == 4
    assert not any("was trained" in note for note in lm.notes)
    caplog.clear()
    lm = load("mdlm", str(tmp_path))
    assert "was trained for --model bd3lm" in lm.notes[-1]
    assert lm.describe()["block_length"] == 6
    assert load("mdlm", str(tmp_path), block_length=None).describe()["block_length"] is None  # the whole canvas
    inner = IterativeLM(pretrained=str(tmp_path), inner="mdlm", rounds=0, device="cpu", batch_size=2)
    assert texts(inner) == texts(lm)
    assert texts(inner) != texts(inner, block_length=None)
    assert any("was trained for" in record.message for record in caplog.records)


def test_other_models_are_refused(tmp_path):
    window = MistralForCausalLM(MistralConfig(**SIZES, sliding_window=8))
    with pytest.raises(UserError, match="mdlm needs full attention, and layers of this model see only 8 tokens"):
        load("mdlm", save(window, tmp_path / "window"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ll": "ar"}, "ll=ar is not defined for --model"),
        ({"ll": "mcc"}, "did you mean 'mc'"),
        ({"mc_samples": 0}, "mc_samples=0"),
        ({"mask_id": 10**6}, "mask_id=1000000 lies outside"),
        ({"mask_id": "x"}, "mask_id='x' is not a whole number"),
        ({"shift": "maybe"}, "shift='maybe' is not a true/false value"),
        ({"step": 4}, "did you mean 'steps'"),
        ({"threshold": 2}, "threshold=2"),
    ],
)
def test_bad_arguments_are_one_line(arguments, message, folder):
    for method in CLASSES:
        with pytest.raises(UserError, match=message):
            load(method, folder, **arguments)


def test_bad_generation_arguments_are_one_line(lm):
    for gen_kwargs, message in (({"windw": 3}, "windw"), ({"block_length": 0}, "block_length=0"), ({"steps": 0}, "st")):
        with pytest.raises(UserError, match=message):
            texts(lm, **gen_kwargs)


def test_a_journal_knows_texts_and_scores_by_all_that_they_depend_on(folder, tmp_path):
    def run(**kwargs):
        lm = load("bd3lm", folder, journal=str(tmp_path), **kwargs)
        written = texts(lm)
        return lm.get_model_info()["decoding"]["texts_from_journal"], written, scores(lm)

    from_journal, written, scored = run()
    assert from_journal == 0
    assert run() == (3, written, scored)
    for other in ({"steps": 3}, {"mask_id": 9}, {"shift": True}):
        from_journal, _, rescored = run(**other)
        assert from_journal == 0, other
        if "steps" not in other:
            assert rescored != scored
    assert run(mc_samples=9)[2] != scored


@pytest.mark.parametrize("method", CLASSES)
def test_the_shipped_model_writes_what_the_plain_decoder_writes(method):
    lm = CLASSES[method](device="cpu", batch_size=3)
    limit, ends = 32, end_ids(lm.model, lm.tokenizer)
    block = lm.settings["block_length"]  # the one in its config
    for context, text in zip(CONTEXTS, texts(lm, max_gen_toks=limit, steps=8), strict=True):
        prompt = lm.tok_encode(context)
        if method == "mdlm":
            plain, _ = reference_mdlm(lm.model, prompt, limit, 8, block, lm.mask_id, ends)
        else:
            plain, _ = reference_bd3lm(lm.model, prompt, limit, block, 8 * block // limit, lm.mask_id, ends)
        end = next((i + 1 for i, token in enumerate(plain) if token in ends), limit)
        assert text.trace.tokens == plain[:end]
