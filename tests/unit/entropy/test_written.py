"""Texts of every way of decoding, scored while they are written: no model reads them a second time."""

from __future__ import annotations

import functools
import hashlib
import json
import math

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from lmx_analysis.entropy import results
from lmx_files import parquet
from lmx_files.errors import UserError
from lmx_models import writing
from lmx_models.core.recording import Recorder
from lmx_models.guided.model import GuidedLM
from lmx_models.harness.asking import arguments_of
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.methods.wedlm import WeDLM
from lmx_models.trying import texts_of
from lmx_probes import models
from lmx_probes.entropy import measurement as measuring
from lmx_probes.entropy.inputs import Inputs, Item, Writer
from lmx_probes.entropy.samples import from_run
from lmx_probes.scores import NotFiniteError

HYBRID = {"preset": "ar_to_diffusion", "ar": "tiny-base", "diffusion": "tiny-mdlm", "diffusion_method": "mdlm"}
DECODERS = {
    "ar": (AutoregressiveLM, "tiny-base", {}),
    "guided": (GuidedLM, "tiny-base", {"oracle": "tiny-oracle", "policy": "random", "share": 0.5, "k": 3, "c": 2}),
    "mdlm": (MaskedDiffusionLM, "tiny-mdlm", {}),
    "bd3lm": (BlockDiffusionLM, "tiny-bd3lm", {}),
    "wedlm": (WeDLM, "tiny-wedlm", {}),
    "hybrid": (HybridLM, "tiny-mdlm", HYBRID),
    "iterative": (IterativeLM, "tiny-base", {"inner": "ar", "rounds": 1}),
}
THOROUGH = pytest.mark.full
FULL = ("ar", "guided", "mdlm", "bd3lm", "wedlm", "iterative")
PROMPTS = ["Plan a party:\n", "Name a colour:\n", "Count to three:\n"]


@pytest.fixture(autouse=True)
def no_reading(monkeypatch):
    """A model that is loaded to read texts is a failure."""

    def refused(*_args, **_more):
        raise AssertionError("a model was loaded to read")

    monkeypatch.setattr(models, "load", refused)


def made(method: str, record: str, **more):
    cls, name, settings = DECODERS[method]
    own = {} if method == "hybrid" else {"pretrained": name}
    return cls(**own, **settings, device="cpu", record=record, seed=1234, **more)


def damaged(folder, word: str):
    """Save tiny-base with one token that it cannot read: the text that meets it first is the one to be named."""
    source = models.catalogue.resolve("tiny-base").pretrained
    model, words = AutoModelForCausalLM.from_pretrained(source), AutoTokenizer.from_pretrained(source)
    with torch.no_grad():
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.clone())
        model.config.tie_word_embeddings = False
        model.get_input_embeddings().weight[words.encode(word)[-1]] = math.nan
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def written(folder, method: str, rows: int = 4, tokens: int = 12, **more) -> measuring.Measured:
    name, settings = DECODERS[method][1:]

    def opened(model):
        return writing.opened(
            method, model, settings, max_new_tokens=tokens, temperature=0.7, seed=1234, rows=rows, device="cpu"
        )

    items = [Item(prompt, None, "a_task", i) for i, prompt in enumerate(PROMPTS)]
    options = measuring.Options((name,), ("m",), folder, "generate", decoder=method, writer=opened, device="cpu")
    return measuring.entropy(Inputs(items), options, "s")


@pytest.mark.parametrize("method", [pytest.param(name, marks=THOROUGH) if name in FULL else name for name in DECODERS])
def test_texts_of_any_decoder_are_those_of_its_run_and_nothing_is_read(tmp_path, method):
    found = written(tmp_path / "a", method)
    assert any(method in note and "no forward more" in note for note in found.notes)
    table = parquet.read(tmp_path / "a/data/tokens/m").to_pandas()
    texts = texts_of(made(method, "all"), PROMPTS, max_gen_toks=12, temperature=0.7, do_sample=True)
    for i, text in enumerate(texts):
        group, recorded = table[table["text"] == i], text.trace.extra["recorded"]
        assert list(group["next_id"]) == text.trace.tokens
        assert list(group["surprisal"]) == pytest.approx(recorded["surprisal"], abs=1e-5)
        assert list(group["entropy"]) == pytest.approx(recorded["entropy"], abs=1e-5)
        assert set(group["source"]) == {segment.source for segment in text.trace.segments}
    assert (table["entropy"] > 0).any()
    _, tables = results.write(tmp_path / "a", "t", plots=False)
    assert tables["overview"][0]["tokens"] == len(table)


def test_the_batch_and_a_second_run_change_nothing(tmp_path):
    tables = []
    for rows in (1, 3):
        written(tmp_path / str(rows), "guided", rows)
        tables.append(parquet.read(tmp_path / str(rows) / "data/tokens/m").to_pandas())
    assert list(tables[0]["next_id"]) == list(tables[1]["next_id"])
    assert list(tables[0]["entropy"]) == pytest.approx(list(tables[1]["entropy"]), abs=1e-5)


def a_run(folder, method: str, record: str):
    """A run of one task, as lm_eval logs it, with the traces that the decoder left."""
    folder.mkdir()
    stamp = "2026-01-01T00-00-00.000000"
    texts = texts_of(
        made(method, record, traces=str(folder / "t.jsonl")), PROMPTS, max_gen_toks=12, temperature=1.0, do_sample=True
    )
    lines = [{"doc_id": i, "doc": {}, "target": "x", "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {}}},
              "resps": [[str(text)]], "filtered_resps": [str(text)], "filter": "none", "metrics": ["acc"], "acc": 1.0,
              "doc_hash": "d", "prompt_hash": hashlib.sha256(prompt.encode()).hexdigest(), "target_hash": "t"}
             for i, (prompt, text) in enumerate(zip(PROMPTS, texts, strict=True))]  # fmt: skip
    (folder / f"samples_a_task_{stamp}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = {"model": method, "decoding": {"model": DECODERS[method][1]}}
    (folder / f"results_{stamp}.json").write_text(json.dumps({
        "results": {"a_task": {"alias": "a_task"}}, "configs": {"a_task": {}}, "config": config,
        "n-samples": {"a_task": {"original": 3, "effective": 3}}}))  # fmt: skip
    return from_run(folder, "logged", traces=folder / "t.jsonl"), texts


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=THOROUGH) if name in ("ar", "mdlm", "bd3lm") else name for name in DECODERS]
)
def test_what_a_run_recorded_is_taken_and_said(tmp_path, method):
    inputs, texts = a_run(tmp_path / "run", method, "entropy+logprob")
    options = measuring.Options((DECODERS[method][1],), ("m",), tmp_path / "out", device="cpu")
    found = measuring.entropy(inputs, options, "s")
    [note] = [note for note in found.notes if "no forward was made" in note]
    assert "varentropy, rank" in note
    table = parquet.read(tmp_path / "out/data/tokens/m").to_pandas()
    for i, text in enumerate(text for text in texts if text):
        group = table[table["text"] == i]
        for name in ("entropy", "surprisal"):
            assert list(group[name]) == pytest.approx(text.trace.extra["recorded"][name])
    assert table["varentropy"].isna().all()
    if method == "guided":
        assert any("base and oracle wrote these texts" in note and "--forward" in note for note in found.notes)
    _, tables = results.write(tmp_path / "out", "t", plots=False)
    assert tables["overview"][0]["perplexity"] == pytest.approx(math.exp(table["surprisal"].mean()))


@pytest.mark.parametrize("asked", [{"top": 3}, {"keep_hidden": True}, {"forward": True}, {"dtype": "bfloat16"}])
def test_what_was_not_recorded_so_is_read_by_the_model(tmp_path, asked):
    inputs, _ = a_run(tmp_path / "run", "ar", "entropy+logprob")
    inputs.writer = Writer("tiny-base", {}, "float32")
    options = measuring.Options(("tiny-base",), ("m",), tmp_path / "out", device="cpu", **asked)
    with pytest.raises(AssertionError, match="loaded to read"):
        measuring.entropy(inputs, options, "s")


def test_what_was_recorded_in_part_is_read_by_the_model(tmp_path):
    inputs, _ = a_run(tmp_path / "run", "ar", "rank")
    options = measuring.Options(("tiny-base",), ("m",), tmp_path / "out", device="cpu")
    with pytest.raises(AssertionError, match="loaded to read"):
        measuring.entropy(inputs, options, "s")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("method", ["ar", "iterative"])
def test_logits_that_are_no_numbers_are_named(tmp_path, method, temperature):
    model = damaged(tmp_path / "model", " party")
    items = [Item(prompt, None, "a_task", i) for i, prompt in enumerate(["Plan a", "Plan a party"])]
    arguments = {"self_check": False}
    writer = functools.partial(
        writing.opened, method, arguments=arguments, max_new_tokens=4, temperature=temperature, seed=1, rows=2
    )
    options = measuring.Options((str(model),), ("m",), tmp_path / "out", "generate", writer=writer)
    with pytest.raises(UserError, match="NaN or infinite in the text of document 1 of a_task, near its token 0"):
        measuring.entropy(Inputs(items), options, "s")
    assert not (tmp_path / "out").exists()


def test_a_score_of_no_number_is_refused():
    recorder = Recorder(("entropy",))
    with pytest.raises(NotFiniteError) as raised:
        recorder.take(5, torch.tensor([0.0, math.nan]), 0)
    assert raised.value.position == 5


def test_mistakes_are_one_line(tmp_path):
    with (
        pytest.raises(UserError, match="giuded"),
        writing.opened("giuded", "tiny-base", {}, max_new_tokens=3, temperature=0.0, seed=1, rows=1),
    ):
        pass
    with pytest.raises(UserError, match="NAME=VALUE"):
        arguments_of("oracle", "--decoder_args")
    assert arguments_of("oracle=x,k=4") == {"oracle": "x", "k": 4}
