"""All that a model was made with is told, in the journal's keys and in the results, without anybody's remembering."""

import functools
import json
from types import SimpleNamespace
from typing import ClassVar

import pytest
from lm_eval.api.registry import model_registry

from lmx_files.errors import UserError
from lmx_models.guided.model import GuidedLM
from lmx_models.guided.servers import GuidedOnServer
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.wedlm import WeDLM
from lmx_models.records.fingerprint import arguments_identity, model_identity
from tests.unit.models.test_decoder_lm import requests
from tests.unit.tasks.lm_eval_tasks import NAME, evaluate, make_task

FAST = {"device": "cpu", "batch_size": 4, "self_check": False}


class TwoModels(AutoregressiveLM):
    """A plugin as people write them: a second model and a key of its own, and no thought of journals."""

    own_arguments: ClassVar[tuple[str, ...]] = ("second", "depth", "my_key")
    declared: ClassVar[dict[str, str]] = {"my_key": "a key changes no text"}

    def __init__(self, second="tiny-oracle", depth=2, my_key=None, **kwargs):
        super().__init__(**kwargs)
        self.second, self.depth = second, depth


def from_journal(kind, folder, generation=None, **arguments) -> int:
    named = {} if kind is HybridLM else {"pretrained": "tiny-base"}
    lm = kind(**{**named, "journal": str(folder), **FAST, **arguments})
    lm.generate_until(requests(n=1, **{"max_gen_toks": 4, **(generation or {})}), disable_tqdm=True)
    lm.journal.journal.close()
    return lm.get_model_info()["decoding"]["texts_from_journal"]


def test_a_plugin_s_second_model_belongs_to_the_journal_and_the_results(tmp_path):
    assert from_journal(TwoModels, tmp_path, second="tiny-oracle") == 0
    assert from_journal(TwoModels, tmp_path, second="tiny-base") == 0
    assert from_journal(TwoModels, tmp_path, second="tiny-oracle") == 1
    assert from_journal(TwoModels, tmp_path) == 1, "a default that is written out is the same"
    assert from_journal(TwoModels, tmp_path, depth=3) == 0
    assert from_journal(TwoModels, tmp_path, my_key="k", batch_size=1, traces=str(tmp_path / "t")) == 1
    settings = TwoModels(pretrained="tiny-base", second="x", my_key="secret", **FAST).describe()
    assert (settings["second"], settings["depth"]) == ("x", 2)
    assert "secret" not in json.dumps(settings)


def test_likelihoods_do_not_mix_either(tmp_path):
    a, b = (TwoModels(pretrained="tiny-base", second=name, **FAST) for name in ("x", "y"))
    assert a.weights_identity() != b.weights_identity()


def test_files_and_folders_count_by_content(tmp_path):
    folder = tmp_path / "second"
    folder.mkdir()
    (folder / "weights.bin").write_bytes(b"one")
    assert from_journal(TwoModels, tmp_path / "j", second=str(folder)) == 0
    folder.rename(tmp_path / "moved")
    assert from_journal(TwoModels, tmp_path / "j", second=str(tmp_path / "moved")) == 1
    (tmp_path / "moved" / "weights.bin").write_bytes(b"two")
    model_identity.cache_clear()  # a new process would hash again
    assert from_journal(TwoModels, tmp_path / "j", second=str(tmp_path / "moved")) == 0
    file = tmp_path / "rules.txt"
    file.write_text("a")
    before = arguments_identity({"rules": [str(file)], "more": {"x": str(file)}})
    file.write_text("bb")
    assert arguments_identity({"rules": [str(file)], "more": {"x": str(file)}}) != before


def test_an_object_cannot_be_told_from_another(tmp_path):
    with pytest.raises(UserError, match=r"a journal cannot tell one second=object\(...\) from another"):
        from_journal(TwoModels, tmp_path, second=object())


@pytest.mark.parametrize(
    ("kind", "arguments", "change"),
    [
        (GuidedLM, {"oracle": "tiny-oracle"}, {"oracle": "tiny-base"}),
        (IterativeLM, {"inner": "guided", "oracle": "tiny-oracle", "rounds": 0}, {"oracle": "tiny-base"}),
        (IterativeLM, {"rounds": 1, "inner": "ar"}, {"prompts": "revise: '{text} {critique}!'"}),
        (HybridLM, {"preset": "diffusion_to_ar", "ar": "tiny-base", "diffusion": "tiny-wedlm"}, {"ar": "tiny-oracle"}),
        (WeDLM, {"pretrained": "tiny-wedlm", "lambda": 0.5}, {"lambda": 0.1}),
        (WeDLM, {"pretrained": "tiny-wedlm"}, {"mask_id": 7}),
        (AutoregressiveLM, {}, {"think_end_token": "x"}),
        (AutoregressiveLM, {}, {"truncation": True}),
        (AutoregressiveLM, {}, {"prefix_token_id": 3}),
    ],
    ids=str,
)
def test_shipped_methods(tmp_path, kind, arguments, change):
    if "prompts" in change:
        (tmp_path / "prompts.yaml").write_text(change["prompts"])
        change = {"prompts": str(tmp_path / "prompts.yaml")}
    assert from_journal(kind, tmp_path / "j", **arguments) == 0
    assert from_journal(kind, tmp_path / "j", **{**arguments, **change}) == 0
    assert from_journal(kind, tmp_path / "j", **arguments) == 1


def test_arguments_of_a_base_on_a_server():
    lm = object.__new__(GuidedOnServer)
    lm._tokenizer_name, lm._max_length, lm.configs = None, 100, GuidedOnServer.configs
    lm._base = SimpleNamespace(identity=lambda: {"server": "m"})

    def identity(**arguments):
        lm.constructor = {"oracle": "o", "key_env": "KEY", "max_concurrent": 3, **arguments}
        return lm.weights_identity()

    plain = identity()
    assert identity(key_env="OTHER", max_concurrent=9, endpoint_timeout=1, batch_size=2) == plain
    for change in ({"add_bos_token": True}, {"chat_template_args": {"x": 1}}, {"enable_thinking": False}):
        assert identity(**change) != plain


def test_a_chat_counts_where_other_models_see_more_of_it(tmp_path):
    lm = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", journal=str(tmp_path), **FAST)
    (request,) = lm._prepare(requests(n=1))
    keys = set()
    for system in (None, "Be brief.", "Be long."):
        lm._chats = {request.context: [{"role": "system", "content": system}]} if system else {}
        keys.add(lm.text_key("t", request))
    assert len(keys) == 3


def test_every_argument_of_a_shipped_method_is_told_in_some_way():
    """A new argument of these classes must be a setting, be declared with its reason, or be told as it is."""
    for kind in (AutoregressiveLM, GuidedLM, IterativeLM, WeDLM, HybridLM):
        declared = {name for one in kind.__mro__ for name in vars(one).get("declared", ())}
        assert set(kind.own_arguments) <= declared | {"lambda"}, kind


# One model for several evaluations.


def test_the_second_evaluation_of_a_model_is_told_by_itself():
    lm = AutoregressiveLM(pretrained="tiny-base", **FAST)
    evaluate(lm, make_task(temperature=0.9), limit=4)
    evaluate(lm, make_task(temperature=0.3), limit=2)
    info = lm.get_model_info()["decoding"]
    assert info["texts"] == 2
    assert info["settings_by_task"][NAME]["temperature"] == 0.3
    begin = lm.get_model_info()["decoding"]["tokens_kept"]
    evaluate(lm, make_task(temperature=0.3), limit=2)
    assert lm.get_model_info()["decoding"]["tokens_kept"] == begin


def test_counts_by_stage_and_buffers_begin_anew(tmp_path):
    lm = IterativeLM(pretrained="tiny-base", rounds=0, **FAST)
    for limit in (3, 2):
        evaluate(lm, make_task(), limit=limit)
        assert lm.get_model_info()["decoding"]["stages"]["draft"]["texts"] == limit
    made = HybridLM(
        preset="diffusion_to_ar", ar="tiny-base", diffusion="tiny-wedlm", stage="make", cut="draft",
        buffer=str(tmp_path / "buffer.jsonl"), **FAST,
    )  # fmt: skip
    for limit in (3, 2):
        evaluate(made, make_task(), limit=limit)
        assert len((tmp_path / "buffer.jsonl").read_text().splitlines()) == limit + 2


def test_a_loaded_model_is_named_and_not_printed():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lmx_models.zoo import catalogue

    folder = catalogue.resolve("tiny-base").pretrained
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    lm = AutoregressiveLM(pretrained=model, tokenizer=tokenizer, self_check=False)
    name = lm.get_model_info()["decoding"]["model"]
    assert name == f"{folder} (a {type(model).__name__} object)"
    model.config._name_or_path = ""
    guided = GuidedLM(pretrained=model, tokenizer=tokenizer, oracle="tiny-oracle", self_check=False)
    assert guided.base_name == f"a {type(model).__name__} object"
    json.dumps(guided.get_model_info()["decoding"])
    with pytest.raises(UserError, match=r"oracle=a \w+ object: name it"):
        GuidedLM(pretrained="tiny-base", oracle=model, **FAST)


# lm_eval's seed, and generation arguments before any weights.


@pytest.fixture
def registered(monkeypatch):
    model_registry._objs.pop("two_models_of_a_test", None)
    model_registry.register("two_models_of_a_test", target=TwoModels)
    yield "two_models_of_a_test"
    model_registry._objs.pop("two_models_of_a_test", None)


@pytest.fixture(scope="module")
def manager():
    """An index of tasks without lm_eval's 14,000."""
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False)


@pytest.fixture
def simple(manager, monkeypatch):
    monkeypatch.setattr("lm_eval.evaluator.add_env_info", lambda _: None)  # takes seconds
    return functools.partial(simply_evaluated, manager)


def simply_evaluated(manager, model, model_args="pretrained=tiny-base", **arguments):
    import lm_eval.evaluator as evaluator

    given = {"task_manager": manager, "limit": 3, "device": "cpu", "batch_size": 4, "bootstrap_iters": 0, **arguments}
    found = evaluator.simple_evaluate(model, model_args, tasks=[make_task()], **given)
    texts = [str(one["resps"][0][0]) for one in found["samples"][NAME]]
    decoding = found["config"]["decoding"]
    return texts, decoding["seed"], decoding["seed_from"]


def test_lm_eval_s_seed_is_the_default_of_the_model_s(simple):
    plain = simple("ar")
    assert plain[1:] == (1234, "lm_eval's seed for torch (--seed)")
    assert AutoregressiveLM(pretrained="tiny-base", **FAST).seed == 1234, "a run without --seed stays as it is"
    other = simple("ar", torch_random_seed=7)
    assert (other[1], other[0] == plain[0]) == (7, False)
    by_argument = simple("ar", "pretrained=tiny-base,seed=7", torch_random_seed=99)
    assert by_argument == (other[0], 7, "model argument seed")
    assert simple("ar", torch_random_seed=None)[1:] == (1234, "default")
    lm = AutoregressiveLM(pretrained="tiny-base", **FAST)
    assert simple(lm, None, torch_random_seed=7)[:2] == other[:2]
    assert simple(lm, None)[:2] == plain[:2]


def test_seeds_that_are_none():
    for seed in (-1, 0.5, True, "x"):
        with pytest.raises(UserError, match=f"seed={seed!r}"):
            AutoregressiveLM(pretrained="tiny-base", seed=seed, **FAST)
    assert AutoregressiveLM(pretrained="tiny-base", seed="5", **FAST).seed == 5


@pytest.mark.parametrize(
    ("model", "gen_kwargs", "message"),
    [
        ("ar", {"temprature": 1}, "unknown generation argument of --model ar 'temprature': did you mean 'temperature'"),
        ("ar", {"max_gen_toks": 10.5}, "max_gen_toks=10.5 is not a whole number"),
        ("ar", "max_gen_toks=true", "max_gen_toks=True is not a whole number"),
        ("ar", {"until": 5}, "until=5"),
        ("ar", {"do_sample": True, "temperature": float("inf")}, "temperature=inf"),
        ("ar", {"top_p": 2}, r"top_p=2.0 must lie in"),
        ("guided", {"policy": "entropi"}, "unknown policy 'entropi'"),
        ("wedlm", {"lambda": "x"}, "distance='x' is not a number|lambda='x'"),
        ("iterative", {"rounds": -1}, "rounds=-1"),
    ],
)
def test_mistakes_in_generation_arguments_are_found_before_weights(model, gen_kwargs, message, monkeypatch):
    import lm_eval.evaluator as evaluator

    import lmx_models.harness.decoder_lm as decoder_lm

    monkeypatch.setattr(decoder_lm.catalogue, "resolve", lambda *_, **__: pytest.fail("looked for weights"))
    if model == "guided":
        monkeypatch.setattr("lmx_models.guided.local.LocalGuidedLM._find", lambda *_: None)
    arguments = "pretrained=tiny-base" + (",oracle=tiny-base" if model == "guided" else "")
    with pytest.raises(UserError, match=message) as error:
        evaluator.simple_evaluate(model, arguments, tasks=[make_task()], gen_kwargs=gen_kwargs, device="cpu")
    assert "\n" not in str(error.value)


def test_a_plugin_s_model_by_name(registered, simple):
    assert simple(registered, "pretrained=tiny-base,second=tiny-base")[1] == 1234


# Prompts.


def bos_tokenizer():
    """Return a tokenizer that begins texts with a token of its own, as Llama's and Gemma's do."""
    from tokenizers.processors import TemplateProcessing
    from transformers import AutoTokenizer

    from lmx_models.zoo import catalogue

    tokenizer = AutoTokenizer.from_pretrained(catalogue.resolve("tiny-base").pretrained)
    bos = tokenizer.all_special_tokens[0]
    tokenizer.add_special_tokens({"bos_token": bos})
    end = (bos, tokenizer.convert_tokens_to_ids(bos))
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(single=f"{bos} $A", special_tokens=[end])
    return tokenizer


def test_a_beginning_of_text_stands_once():
    tokenizer = bos_tokenizer()
    bos = tokenizer.bos_token_id
    lm = AutoregressiveLM(pretrained="tiny-base", tokenizer=tokenizer, prefix_token_id=9, **FAST)
    assert lm.tok_encode(f"{tokenizer.bos_token}Hello")[:2] == [bos, bos], (
        "lm_eval's own, where prefix_token_id differs"
    )
    for context in ("Hello", f"{tokenizer.bos_token}Hello"):
        ids = lm.prompt_tokens(context)
        assert (ids[0], ids.count(bos)) == (bos, 1)
    guided = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", **FAST)
    guided.oracle_tokenizer = tokenizer
    for context in ("Hello", f"{tokenizer.bos_token}Hello"):
        assert guided._translation(context).prompt.count(bos) == 1


def test_truncation_is_that_of_the_tokenizer(monkeypatch):
    from lm_eval.models.huggingface import HFLM

    from lmx_models.zoo import catalogue

    arguments = {"truncation": True, "device": "cpu", "batch_size": 1}
    ours = AutoregressiveLM(pretrained="tiny-base", self_check=False, **arguments)
    theirs = HFLM(pretrained=catalogue.resolve("tiny-base").pretrained, **arguments)
    plain = AutoregressiveLM(pretrained="tiny-base", **FAST)
    todo = requests(n=3, max_gen_toks=12)
    for lm in (ours, theirs, plain):
        lm.tokenizer.model_max_length = 20
    written = ours.generate_until(todo, disable_tqdm=True)
    assert [text.trace.prompt_tokens for text in written] == [20, 20, 20]
    assert [str(text) for text in written] == theirs.generate_until(todo, disable_tqdm=True)
    assert [len(one.prompt) > 20 for one in plain._prepare(todo)] == [True] * 3
