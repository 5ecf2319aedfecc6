"""Hybrid: settings, what a run records, and mistakes."""

import itertools
import json
from pathlib import Path

import pytest
import yaml
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.hybrid.model import HybridLM
from lmx_models.methods import roles
from lmx_models.methods.ar import AutoregressiveLM
from tests.unit.hybrid.hybrid_tools import SMALL, TWO, stages, write
from tests.unit.models.test_decoder_lm import PROMPTS

pytestmark = pytest.mark.usefixtures("echo")


def test_a_nodes_settings_are_stronger_than_the_tasks(graph):
    hot = {"settings": {"temperature": 1.5}}
    path = graph(a=("tiny-base", "ar", "{prompt}", hot), b=("tiny-base", "ar", "{prompt} {a}"))
    lm = HybridLM(graph=path, **SMALL)
    record = stages(write(lm, do_sample=False, temperature=0.0)[0])
    assert (record["a"]["settings"]["temperature"], record["b"]["settings"]["temperature"]) == (1.5, 0.0)
    by_argument = write(HybridLM(graph=path, a_temperature=0.5, b_top_k=3, **SMALL))
    lm = HybridLM(graph=path, **SMALL)
    by_request = write(lm, a_temperature=0.5, b_top_k=3)
    assert by_argument == by_request
    assert stages(by_request[0])["a"]["settings"]["temperature"] == 0.5
    settings = lm.get_model_info()["decoding"]["settings_by_task"]["some_task"]["nodes"]
    assert (settings["a"]["temperature"], settings["b"]["top_k"]) == (0.5, 3)


def test_the_run_says_what_it_was(graph):
    path = graph(
        a=("tiny-base", "echo", '{{"n": 1}} {prompt}', {"max_tokens": 3, "expect": "json"}),
        b=("tiny-base", "echo", '{"n": 1}', {"max_tokens": 3, "expect": "json"}),
        c=("tiny-base", "ar", "{prompt} {a} {b}"),
    )
    lm = HybridLM(graph=path, **SMALL)
    texts = write(lm)
    assert (stages(texts[0])["a"]["json"], stages(texts[0])["b"]["json"]) == (False, True)
    info = lm.get_model_info()["decoding"]
    json.dumps(info, allow_nan=False)
    assert info["settings"]["graph"]["nodes"]["a"]["model"] == "tiny-base"
    assert info["stages"]["b"]["valid_json"] == info["stages"]["b"]["texts"] == 4
    assert info["stages"]["a"]["valid_json"] == 0
    assert info["tokens_by_source"] == {"c": sum(len(text.trace.tokens) for text in texts)}
    assert "node 'c' alone" in info["loglikelihood"]["scored"]


def test_a_journal_knows_the_graph_and_every_model(graph, tmp_path):
    def run(path, **arguments):
        lm = HybridLM(graph=path, journal=str(tmp_path / "journal"), **SMALL, **arguments)
        texts = write(lm, n=2)
        lm.journal.journal.close()
        return texts, lm.get_model_info()["decoding"]["texts_from_journal"]

    nodes = {"a": ("tiny-base", "ar", "{prompt}"), "b": ("tiny-base", "ar", "{prompt} {a}")}
    first, found = run(graph(**nodes))
    assert found == 0
    assert run(graph(**nodes)) == (first, 2)
    assert run(graph(**{**nodes, "a": ("tiny-oracle", "ar", "{prompt}")}))[1] == 0
    assert run(graph(**{**nodes, "b": ("tiny-base", "ar", "{prompt}  {a}")}))[1] == 0
    assert run(graph(**nodes), a_top_k=2)[1] == 0
    again, found = run(graph(**nodes))
    assert (again, found) == (first, 2)
    assert [text.trace for text in again] == [text.trace for text in first]


def test_likelihoods_are_those_of_the_answers_model(graph):
    pairs = [
        Instance("loglikelihood", {}, (prompt, answer), 0, ("t", i, 1))
        for i, (prompt, answer) in enumerate(itertools.product(PROMPTS[:2], ("Goal:", " a longer one")))
    ]
    lm = HybridLM(graph=graph(a=("tiny-base", "ar", "{prompt}"), b=("tiny-oracle", "ar", "{prompt} {a}")), **SMALL)
    plain = AutoregressiveLM(pretrained="tiny-oracle", **SMALL)
    assert lm.loglikelihood(pairs, disable_tqdm=True) == plain.loglikelihood(pairs, disable_tqdm=True)
    masked = HybridLM(
        preset="ar_to_diffusion", ar="tiny-base", diffusion="tiny-oracle", diffusion_method="mdlm", **SMALL
    )
    with pytest.raises(UserError, match="score it with --model mdlm"):
        masked.loglikelihood(pairs, disable_tqdm=True)


@pytest.mark.parametrize(
    ("nodes", "arguments", "message"),
    [
        ({"a": ("tiny-base", "ar", "{prompt} {b}"), "b": ("tiny-base", "ar", "{a}")}, {}, "in a circle"),
        ({"a": ("tiny-base", "ar", "{plan} {prompt}")}, {}, r"'\{plan\}'"),
        ({"a": ("tiny-base", "guid", "{prompt}")}, {}, "unknown method of node 'a': 'guid': did you mean 'guided'"),
        ({"a": ("tiny-base", "ar", "{prompt}", {"settings": {"tau": 1}})}, {}, "unknown setting of node 'a': 'tau'"),
        ({"a": ("tiny-base", "ar", "{prompt}", {"settings": {"top_p": 9}})}, {}, "node 'a': top_p=9"),
        ({"top": ("tiny-base", "guided", "{prompt}", {"oracle": "tiny-base"})}, {}, "top_k would mean two things"),
        ({"a": ("./not/there", "ar", "{prompt}"), "b": ("tiny-base", "ar", "{prompt} {a}")}, {}, "not/there"),
        (TWO, {"pretrained": "tiny-base"}, "pretrained=tiny-base: --model hybrid has several models"),
        (TWO, {"peft": "x"}, "peft=x"),
        (TWO, {"preset": "ar_to_diffusion"}, "either preset="),
        (TWO, {"a_temperatur": 1}, "did you mean 'a_temperature'"),
        (TWO, {"a_temperature": "hot"}, "node 'a': temperature='hot' is not a number"),
        (TWO, {"b_top_p": 7}, "node 'b': top_p=7"),
        (TWO, {"a_max_tokens": 7}, "unknown --model hybrid argument 'a_max_tokens'"),
        ({**TWO, "a": ("tiny-base", "ar", "{prompt}", {"max_tokens": 9})}, {"a_max_tokens": 0}, "a_max_tokens=0"),
        (TWO, {"cut": "a"}, "add stage=make or stage=consume"),
        (TWO, {"stage": "mak", "buffer": "x"}, "unknown stage 'mak': did you mean 'make'"),
        (TWO, {"stage": "make", "cut": "a"}, "needs buffer=FILE"),
        (TWO, {"stage": "make", "buffer": "x"}, "needs cut=NODE: name the last node to run, one of a"),
        (TWO, {"stage": "make", "buffer": "x", "cut": "b"}, "cut=b is no node before the answer"),
        (TWO, {"stage": "make", "buffer": "/proc/nowhere/x", "cut": "a"}, "cannot write buffer=/proc/nowhere/x"),
        (TWO, {"stage": "consume", "buffer": "/not/there"}, "cannot read buffer=/not/there"),
        (TWO, {"seed": "x"}, "seed='x'"),
    ],
)
def test_mistakes_are_one_line_before_any_model_is_loaded(graph, monkeypatch, nodes, arguments, message):
    def loaded(*args, **kwargs):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(HybridLM, "_get_config", loaded)
    monkeypatch.setattr(roles, "load_weights", loaded)
    with pytest.raises(UserError, match=message) as caught:
        HybridLM(graph=graph(**nodes), **SMALL, **arguments)
    assert "\n" not in str(caught.value)


def test_other_mistakes(graph, tmp_path):
    with pytest.raises(UserError, match="generation argument of --model hybrid 'a_temprature'"):
        write(HybridLM(graph=graph(**TWO), **SMALL), a_temprature=1)
    with pytest.raises(UserError, match="node 'a': temperature=-1"):
        write(HybridLM(graph=graph(**TWO), **SMALL), a_temperature=-1)
    with pytest.raises(UserError, match="attn=flash needs a CUDA device"):
        HybridLM(graph=graph(**TWO), attn="flash", **SMALL)
    big = {"a": ("tiny-base", "ar", "{prompt}", {"max_tokens": 5000}), "b": ("tiny-base", "ar", "{prompt} {a}")}
    with pytest.raises(UserError, match="stage 'a': 5000 tokens leave no room"):
        write(HybridLM(graph=graph(**big), **SMALL))


def test_the_example_config_names_its_graph():
    config = yaml.safe_load((Path(__file__).parents[3] / "configs" / "hybrid_tiny.yaml").read_text())
    assert (Path(__file__).parents[3] / config["model_args"]["graph"]).is_file()
