"""`sampling=model|plain`: what fills an open setting, beside transformers' own `generate`; recorded and compared."""

import json
import shutil

import pytest
import torch
from lm_eval.api.instance import Instance

from lmx_analysis.compare.samplers import differences, sampler_of
from lmx_files.errors import UserError
from lmx_files.runs.folders import find_runs
from lmx_models.core.sampling import Sampling, probabilities, sample, stream
from lmx_models.guided.model import GuidedLM
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.methods.wedlm import WeDLM
from lmx_models.settings.generation_defaults import DEFAULTS, beyond, with_model_defaults
from lmx_models.settings.requests import sampling_of
from lmx_models.zoo import catalogue
from tests.unit.analysis.test_compare import write_run
from tests.unit.models.test_decoder_lm import FAST, PROMPTS, requests

SMALL = {**FAST, "self_check": False}
MODEL = {"sampling": "model"}


@pytest.fixture(scope="module")
def tiny_base(tmp_path_factory):
    """Return a function that copies tiny-base with another generation_config.json."""

    def copy(**generation) -> str:
        folder = tmp_path_factory.mktemp("model") / "tiny"
        shutil.copytree(catalogue.resolve("tiny-base").pretrained, folder)
        file = folder / "generation_config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **generation}))
        return str(folder)

    return copy


@pytest.fixture(scope="module")
def ar():
    return AutoregressiveLM(pretrained="tiny-base", **SMALL)


def first_scores(lm, **given) -> torch.Tensor:
    """Return the first token's logits ``[vocabulary]`` as `generate` would sample from them."""
    ids = torch.tensor([lm.tok_encode(PROMPTS[0])])
    given = {"do_sample": True, "max_new_tokens": 1, "pad_token_id": 0, **given}
    return lm.model.generate(ids, output_scores=True, return_dict_in_generate=True, **given).scores[0][0]


def first_logits(lm) -> torch.Tensor:
    with torch.inference_mode():
        return lm.model(torch.tensor([lm.tok_encode(PROMPTS[0])])).logits[0, -1]


@pytest.mark.parametrize("given", [{"temperature": 1.0}, {"temperature": 0.7, "top_p": 0.95}, {"temperature": 2.0}])
@pytest.mark.parametrize(
    "generation", [{}, {"top_k": 20, "top_p": 0.8, "temperature": 0.6}, {"top_k": 0}, {"min_p": 0.1, "top_k": 7}]
)
def test_the_distribution_is_that_of_generate(ar, tiny_base, given, generation):
    lm = AutoregressiveLM(pretrained=tiny_base(**generation), **SMALL, **MODEL) if generation else ar
    settings = lm.sampled({**given, **MODEL})
    expected = torch.softmax(first_scores(lm, **given).double(), -1)
    p, ids = probabilities(first_logits(lm), sampling_of(settings))
    assert sorted(ids.tolist()) == expected.nonzero().flatten().tolist()
    assert torch.allclose(expected[ids], p, atol=1e-6)


def test_first_tokens_are_drawn_from_fifty_and_as_often_as_they_should(ar):
    """Of 4,000 draws at temperature 1, chi-square against the exact distribution of `generate`."""
    expected = torch.softmax(first_scores(ar, temperature=1.0).double(), -1)
    logits, rng = first_logits(ar), stream("draws")
    sampling = sampling_of(ar.sampled({"temperature": 1.0, **MODEL}))
    counts = torch.bincount(torch.tensor([sample(logits, sampling, rng) for _ in range(4000)]), minlength=len(expected))
    assert int((counts > 0).sum()) <= 50 < int((torch.softmax(logits, -1) > 1e-3 / len(logits)).sum())
    often = expected * 4000 >= 5
    seen, wanted = counts[often].double(), expected[often] * 4000
    rest, left = 4000 - seen.sum(), 4000 - wanted.sum()
    chi = float(((seen - wanted) ** 2 / wanted).sum() + (rest - left) ** 2 / left)
    degrees = int(often.sum())  # as many cells as frequent tokens, and one for the rest, less one
    assert chi < degrees + 4 * (2 * degrees) ** 0.5


def test_texts_keep_within_it(ar):
    """The whole way through `generate_until`: a text's first token is one of fifty, or under `plain` one of many."""

    def tokens(lm) -> set[int]:
        todo = [
            Instance("generate_until", {}, (PROMPTS[0], {"until": [], "max_gen_toks": 1, **hot}), 0, ("t", i, 1))
            for i in range(200)
        ]
        return {text.trace.tokens[0] for text in lm.generate_until(todo, disable_tqdm=True)}

    hot = {"do_sample": True, "temperature": 3.0}
    best = set(first_logits(ar).topk(50).indices.tolist())
    assert len(tokens(ar)) > 100
    hot |= MODEL
    assert len(tokens(ar)) > 25
    assert tokens(ar) <= best


def test_what_a_request_says_comes_first_and_greedy_stays_greedy(ar):
    def effective(**given) -> Sampling:
        return sampling_of(ar.sampled({**given, **MODEL}))

    assert effective().temperature == 0
    assert effective(temperature=0.7) == Sampling(0.7, 50, 1.0, 0.0, "model")
    assert effective(temperature=0.7, top_k=0, top_p=0.9) == Sampling(0.7, 0, 0.9, 0.0, "model")
    assert effective(do_sample=True).temperature == effective(do_sample=1).temperature == 1.0
    assert effective(do_sample=False, temperature=0.7).temperature == 0
    assert sampling_of(ar.sampled({"temperature": 0.7})) == Sampling(0.7)


def test_the_models_own_temperature_where_a_request_only_says_to_sample(tiny_base):
    lm = AutoregressiveLM(pretrained=tiny_base(temperature=0.6, top_k=20), **SMALL, **MODEL)
    assert sampling_of(lm.sampled({"do_sample": True, **MODEL})) == Sampling(0.6, 20, 1.0, 0.0, "model")


def test_what_lmx_cannot_do_is_refused_or_said(tiny_base):
    folder = tiny_base(repetition_penalty=1.05, no_repeat_ngram_size=3)
    with pytest.raises(UserError, match=r"asks for repetition_penalty=1.05, no_repeat_ngram_size=3, .*sampling=plain"):
        AutoregressiveLM(pretrained=folder, **SMALL, **MODEL)
    lm = AutoregressiveLM(pretrained=folder, **SMALL)
    assert any("repetition_penalty=1.05" in note and "greedy or not" in note for note in lm.notes)
    with pytest.raises(UserError, match="repetition_penalty"):
        lm.generate_until(requests(n=1, sampling="model", temperature=1.0), disable_tqdm=True)
    guided = GuidedLM(pretrained="tiny-base", oracle=folder, **SMALL)
    assert any(note.startswith("oracle: the generation_config") for note in guided.notes)
    assert beyond(AutoregressiveLM(pretrained="tiny-oracle", **SMALL).generation_config) == {}
    with pytest.raises(UserError, match="did you mean 'model'"):
        Sampling(sampling="modl")


def test_names_and_defaults_are_those_of_transformers():
    from transformers import GenerationConfig

    theirs = GenerationConfig._get_default_generation_params()
    assert {name: theirs[name] for name in ("temperature", "top_k", "top_p")} == {
        name: DEFAULTS[name] for name in ("temperature", "top_k", "top_p")
    }
    assert beyond(GenerationConfig(**theirs)) == {}
    assert with_model_defaults({"sampling": "plain"}, GenerationConfig(top_k=3), "m") == {"sampling": "plain"}


METHODS = {
    "ar": (AutoregressiveLM, {"pretrained": "tiny-base"}),
    "guided": (GuidedLM, {"pretrained": "tiny-base", "oracle": "tiny-oracle"}),
    "wedlm": (WeDLM, {}),
    "mdlm": (MaskedDiffusionLM, {}),
    "bd3lm": (BlockDiffusionLM, {}),
    "iterative": (IterativeLM, {"pretrained": "tiny-base", "rounds": 1, "critique_tokens": 4}),
}


@pytest.mark.parametrize("name", METHODS)
def test_every_method_records_the_sampler_that_it_used(name):
    model, arguments = METHODS[name]
    lm = model(**arguments, **SMALL, **MODEL)
    texts = lm.generate_until(requests(n=1, temperature=0.7, top_p=0.9, max_gen_toks=8), disable_tqdm=True)
    settings = lm.get_model_info()["decoding"]["settings_by_task"]["some_task"]
    wanted = {"temperature": 0.7, "top_k": 50, "top_p": 0.9, "min_p": 0.0, "sampling": "model"}
    assert {key: settings[key] for key in wanted} == wanted
    if name == "iterative":
        drawn = texts[0].trace.extra["rounds"][0]["written"]["settings"]
        assert {key: drawn[key] for key in wanted} == wanted


GRAPH = """
nodes:
  plan: {method: ar, model: %s, prompt: "{prompt}", max_tokens: 6}
  answer: {method: ar, model: %s, prompt: "{plan}"}
answer: answer
"""


def test_each_node_of_a_hybrid_takes_its_own_models_files(tiny_base, tmp_path):
    (tmp_path / "graph.yaml").write_text(GRAPH % (tiny_base(top_k=5), tiny_base(top_k=9, temperature=0.5)))
    graph = {"graph": str(tmp_path / "graph.yaml"), "sampling": "model", **SMALL}
    todo = requests(n=1, do_sample=True)
    whole = HybridLM(**graph).generate_until(todo, disable_tqdm=True)
    stages = whole[0].trace.extra["stages"]
    assert [(one["settings"]["top_k"], one["settings"]["temperature"]) for one in stages] == [(5, 1.0), (9, 0.5)]
    cut = {**graph, "buffer": str(tmp_path / "buffer.jsonl")}
    HybridLM(**cut, stage="make", cut="plan").generate_until(todo, disable_tqdm=True)
    assert HybridLM(**cut, stage="consume").generate_until(todo, disable_tqdm=True) == whole
    with pytest.raises(UserError, match=r"top_p was 1.0 and is 0.9"):
        HybridLM(**cut, stage="consume", plan_top_p=0.9).generate_until(todo, disable_tqdm=True)


def a_run(folder, model, asked=None, decoding=None):
    samples = [{"acc": 1.0}, {"acc": 0.0}]
    configs = {"t": {"task": "t", "generation_kwargs": asked or {}}}
    write_run(folder, {"t": samples}, config={"model": model, "decoding": decoding}, configs=configs)
    return find_runs(folder)[0]


def test_compare_says_when_two_runs_sampled_differently(tmp_path):
    asked = {"do_sample": True, "temperature": 0.7, "top_p": 0.95}

    def ours(name, **settings):
        whole = {"temperature": 0.7, "top_k": 0, "top_p": 0.95, "min_p": 0.0, **settings}
        return a_run(tmp_path / name, "ar", asked, {"settings_by_task": {"t": whole}})

    hf, plain, same = a_run(tmp_path / "hf", "hf", asked), ours("plain"), ours("same")
    model = ours("model", top_k=50, sampling="model")
    assert differences(plain, same, "t") == []
    assert differences(plain, model, "t") == ["sampled with top_k=0 in the reference, top_k=50 here"]
    assert "top_k=(the model's, else 50)" in differences(hf, plain, "t")[0]
    greedy = [ours(f"greedy{k}", temperature=0.0, top_k=k) for k in (0, 50)]
    assert differences(*greedy, "t") == []
    assert differences(plain, greedy[0], "t") == [
        "sampled with temperature=0.7, top_k=0, top_p=0.95, min_p=0 in the reference, temperature=0 (greedy) here"
    ]
    assert sampler_of(a_run(tmp_path / "api", "local-completions", asked), "t") is None
    nodes = {"plan": {"temperature": 0.7, "top_k": 5}, "answer": {"temperature": 0.2, "top_k": 9}}
    hybrid = a_run(tmp_path / "hybrid", "hybrid", asked, {"settings_by_task": {"t": {"nodes": nodes}}})
    assert sampler_of(hybrid, "t") == {"temperature": 0.2, "top_k": 9, "top_p": 1.0, "min_p": 0.0}
