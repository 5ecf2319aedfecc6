"""`--model hybrid` through the real scheduler: every placeholder arrives, stages equal plain runs of their prompts."""

import itertools
import json
from pathlib import Path

import pytest
import yaml
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.autoregressive import AutoregressiveLM
from lmx_models.core.base import Feed, Generation, Segment
from lmx_models.hybrid import model as hybrid_module
from lmx_models.hybrid.model import HybridLM
from lmx_models.methods.registry import METHODS, Method
from lmx_models.zoo import catalogue
from tests.unit.models.test_decoder_lm import FAST, PROMPTS, requests

SMALL = {**FAST, "self_check": False}


def _echo(request, weights):
    """Write the prompt itself, as it was tokenized for this stage."""
    yield Feed("echo", request.prompt)
    return Generation(list(request.prompt), [Segment("echo", 0, len(request.prompt))], "eos")


def _echo_after_draws(request, weights):
    """As `_echo`; the first document's stage named `a` draws many random numbers before."""
    rng = request.rng("sample")
    for _ in range(50 if request.seeds[-1] == "a" and request.sampling.temperature else 1):
        number = rng.random()
    yield Feed("echo", request.prompt)
    extra = {"number": number}
    return Generation(list(request.prompt), [Segment("echo", 0, len(request.prompt))], "eos", extra=extra)


@pytest.fixture(autouse=True)
def echo(monkeypatch):
    monkeypatch.setitem(METHODS, "echo", Method(_echo, ("echo",)))
    monkeypatch.setitem(METHODS, "draws", Method(_echo_after_draws, ("echo",)))


@pytest.fixture
def graph(tmp_path):
    """Return a function that writes a graph file, of nodes given as (model, method, prompt, more)."""

    def write(**nodes) -> str:
        path = tmp_path / f"graph{len(list(tmp_path.iterdir()))}.yaml"
        data = {
            name: {"model": model, "method": method, "prompt": prompt, **(more[0] if more else {})}
            for name, (model, method, prompt, *more) in nodes.items()
        }
        path.write_text(yaml.safe_dump({"nodes": data}, sort_keys=False))
        return str(path)

    return write


def write(lm, n=4, **gen_kwargs):
    return lm.generate_until(requests(n=n, **gen_kwargs), disable_tqdm=True)


def stages(text):
    return {record["stage"]: record for record in text.trace.extra["stages"]}


CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "one?"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three?"},
]


def ask(lm, chat, **kwargs):
    """Send one chat through lm_eval's two steps: rendering, then generation."""
    context = lm.apply_chat_template(chat, **kwargs)
    request = Instance("generate_until", {}, (context, {"until": [], "max_gen_toks": 20}), 0, ("t", 0, 1))
    return lm.generate_until([request], disable_tqdm=True)[0]


# Prompts.


def test_every_placeholder_reaches_the_next_stage(graph):
    path = graph(
        a=("tiny-base", "echo", "A[{prompt}]"),
        b=("tiny-oracle", "echo", 'B[{a}] {"json": {}} {{a}}'),
        c=("tiny-base", "echo", "C[{prompt}|{a}|{b}|{b}]"),
    )
    for text, prompt in zip(write(HybridLM(graph=path, **SMALL)), PROMPTS, strict=False):
        a = f"A[{prompt}]"
        b = f'B[{a}] {{"json": {{}}}} {{a}}'
        assert text == f"C[{prompt}|{a}|{b}|{b}]"
        assert [stages(text)[name]["text"] for name in "abc"] == [a, b, text]


def test_a_text_with_braces_is_not_filled_in_again(graph, monkeypatch):
    path = graph(
        plan=("tiny-base", "echo", '{{plan}} {"steps": ["{{prompt}}"]} {prompt}'),
        answer=("tiny-base", "echo", "{prompt}/{plan}"),
    )
    prompt = "what is {plan}?"
    request = Instance("generate_until", {}, (prompt, {"until": [], "max_gen_toks": 20}), 0, ("t", 0, 1))
    text = HybridLM(graph=path, **SMALL).generate_until([request], disable_tqdm=True)[0]
    assert text == prompt + "/" + '{plan} {"steps": ["{prompt}"]} ' + prompt


def test_each_stage_is_asked_in_its_own_models_template(graph, tmp_path):
    import shutil

    other = tmp_path / "other-template"
    shutil.copytree(catalogue.resolve("tiny-base").pretrained, other)
    (other / "chat_template.jinja").write_text(
        "{% for m in messages %}({{ m['role'] }}) {{ m['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}(now you){% endif %}"
    )
    path = graph(a=(str(other), "echo", "<{prompt}>"), b=("tiny-base", "echo", "{prompt} {a}"))
    lm = HybridLM(graph=path, **SMALL)
    a = stages(ask(lm, CHAT))["a"]["text"]
    # The few-shot turns and the system message stay; the user's last message became the stage's prompt.
    assert a == "(system) Be brief.\n(user) one?\n(assistant) two\n(user) <three?>\n(now you)"
    b = stages(ask(lm, CHAT))["b"]["tokens"]
    expected = f"<|system|>Be brief.<|eos|><|user|>one?<|eos|><|assistant|>two<|eos|><|user|>three? {a}<|eos|>"
    assert lm.tokenizer.decode(b) == expected + "<|assistant|>"


def test_words_put_into_the_answers_mouth_stay_with_the_answer(graph):
    path = graph(a=("tiny-base", "echo", "{prompt}"), b=("tiny-base", "echo", "{prompt} {a}"))
    lm = HybridLM(graph=path, **SMALL)
    text = ask(lm, [*CHAT[3:], {"role": "assistant", "content": "Well:"}], add_generation_prompt=False)
    assert "Well:" not in stages(text)["a"]["text"]
    assert text.endswith("Well:")


def test_prompts_from_lm_evals_cache_are_refused(graph):
    lm = HybridLM(graph=graph(a=("tiny-base", "ar", "{prompt}")), **SMALL)
    lm.chat_template(True)
    with pytest.raises(UserError, match="--cache_requests"):
        write(lm)


def test_a_model_without_a_template_is_refused_in_a_chat(graph, tmp_path):
    import shutil

    other = tmp_path / "no-template"
    shutil.copytree(catalogue.resolve("tiny-base").pretrained, other)
    (other / "chat_template.jinja").unlink()
    path = graph(a=(str(other), "echo", "{prompt}"), b=("tiny-base", "echo", "{prompt} {a}"))
    with pytest.raises(UserError, match="no-template has no chat template"):
        ask(HybridLM(graph=path, **SMALL), CHAT)


def test_a_stage_prompt_that_does_not_fit_loses_its_beginning_and_says_so(graph, caplog):
    long = "word " * 1200
    path = graph(a=("tiny-base", "ar", long + "{prompt}", {"max_tokens": 8}), b=("tiny-base", "ar", "{prompt} {a}"))
    lm = HybridLM(graph=path, **SMALL)
    record = stages(write(lm, n=1)[0])["a"]
    assert record["prompt_tokens"] == lm.max_length - 8
    assert record["prompt_tokens_cut"] > 0
    assert lm.get_model_info()["decoding"]["stages"]["a"]["prompts_cut"] == 1
    assert "stage 'a': 1 prompts did not fit" in caplog.text


# Stages against plain runs.


def test_stages_equal_plain_runs_of_their_prompts(graph):
    """Each stage's text is what `--model ar` writes for the prompt that the stage was given."""
    path = graph(
        draft=("tiny-base", "ar", "{prompt}", {"max_tokens": 12, "stop": ["\n"]}),
        answer=("tiny-oracle", "ar", "{prompt}{draft}\nGoal:"),
    )
    texts = write(HybridLM(graph=path, **SMALL), until=["the"])
    plain = {name: AutoregressiveLM(pretrained=name, **SMALL) for name in ("tiny-base", "tiny-oracle")}

    def expected(name, prompt, **limits):
        request = Instance("generate_until", {}, (prompt, limits), 0, ("some_task", 0, 1))
        return plain[name].generate_until([request], disable_tqdm=True)[0]

    for text, prompt in zip(texts, PROMPTS, strict=False):
        draft = expected("tiny-base", prompt, max_gen_toks=12, until=["\n"])
        answer = expected("tiny-oracle", f"{prompt}{draft}\nGoal:", max_gen_toks=24, until=["the"])
        assert stages(text)["draft"]["text"] == draft
        assert stages(text)["draft"]["finish"] == draft.trace.finish
        assert (text, text.trace.tokens, text.trace.finish) == (answer, answer.trace.tokens, answer.trace.finish)
        assert text.trace.prompt_tokens == answer.trace.prompt_tokens
        assert [s.source for s in text.trace.segments] == ["answer"]
        for name, plain_cost in (("draft", draft.trace.cost["ar"]), ("answer", answer.trace.cost["ar"])):
            cost, traced = stages(text)[name]["cost"], text.trace.cost[name]
            for seen in (cost, {"forwards": traced.forwards, "prefill": traced.prefill, "decode": traced.decode}):
                assert seen["forwards"] == plain_cost.forwards
                assert seen["prefill"] == plain_cost.prefill
                assert seen["decode"] == plain_cost.decode


@pytest.mark.parametrize("method", ["wedlm", "mdlm", "bd3lm"])
@pytest.mark.parametrize("preset", ["ar_to_diffusion", "diffusion_to_ar"])
def test_presets_run_and_the_batch_size_does_not_matter(preset, method):
    arguments = {"preset": preset, "ar": "tiny-base", "diffusion": "tiny-oracle", "diffusion_method": method}
    if preset == "ar_to_diffusion":
        arguments["plan_max_tokens"] = 9
    by_batch = [
        write(HybridLM(**arguments, **{**SMALL, "batch_size": batch_size}), n=3, do_sample=True, temperature=0.9)
        for batch_size in (1, 3)
    ]
    assert by_batch[0] == by_batch[1]
    assert [text.trace.tokens for text in by_batch[0]] == [text.trace.tokens for text in by_batch[1]]
    for text in by_batch[0]:
        first, last = text.trace.extra["stages"]
        assert len(first["tokens"]) <= arguments.get("plan_max_tokens", 24)
        assert {first["method"], last["method"]} == {"ar", method}
        assert last["text"] == text
        assert ("json" in first) == (preset == "ar_to_diffusion")


def test_a_stage_does_not_depend_on_how_many_numbers_another_one_drew(graph):
    path = graph(a=("tiny-base", "draws", "{prompt}"), b=("tiny-base", "draws", "{prompt} {a}"))
    few = write(HybridLM(graph=path, a_temperature=0, **SMALL))
    many = write(HybridLM(graph=path, a_temperature=1, **SMALL))
    for one, other in zip(few, many, strict=True):
        assert stages(one)["a"]["extra"] != stages(other)["a"]["extra"]
        assert stages(one)["b"]["extra"] == stages(other)["b"]["extra"]
        assert stages(one)["a"]["extra"] != stages(one)["b"]["extra"]
    assert len({stages(text)["b"]["extra"]["number"] for text in few}) == len(few)


def test_the_same_weights_are_loaded_once_and_stages_take_turns_in_a_row(graph, monkeypatch):
    loaded = []
    load = hybrid_module.load_weights
    monkeypatch.setattr(hybrid_module, "load_weights", lambda *args: loaded.append(args[1]) or load(*args))
    folder, policy = catalogue.resolve("tiny-oracle").pretrained, {"policy": "fixed", "every": 3, "k": 2}
    path = graph(
        a=("tiny-oracle", "ar", "{prompt}"),
        b=(folder, "ar", "{prompt} {a}"),
        c=("tiny-base", "ar", "{b}"),
        d=("tiny-base", "guided", "{prompt} {c}", {"oracle": "tiny-oracle", "settings": policy}),
    )
    lm = HybridLM(graph=path, **SMALL)
    assert loaded == ["tiny-oracle"]
    models = lm.step_models(3, 10)
    assert models["a"] is models["b"] is models["d.oracle"]
    assert models["c"] is models["d.base"]
    # Beside a text's stages, only base and oracle of one guided stage are alive together.
    assert len(models["c"].cache.lengths) == 3
    assert len(models["a"].cache.lengths) == 6
    texts = write(lm)
    assert {segment.source for text in texts for segment in text.trace.segments} == {"d.base", "d.oracle"}
    assert texts == write(HybridLM(graph=path, **{**SMALL, "batch_size": 1}))


# Settings.


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


# Likelihoods.


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


# Mistakes.

TWO = {"a": ("tiny-base", "ar", "{prompt}"), "b": ("tiny-base", "ar", "{prompt} {a}")}


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
    monkeypatch.setattr(hybrid_module, "load_weights", loaded)
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
