"""`--model hybrid` through the real scheduler: every placeholder arrives, stages equal plain runs of their prompts."""

import pytest
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.hybrid.model import HybridLM
from lmx_models.methods import roles
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.zoo import catalogue
from tests.unit.hybrid.hybrid_tools import CHAT, SMALL, ask, stages, write
from tests.unit.models.test_decoder_lm import PROMPTS

pytestmark = pytest.mark.usefixtures("echo")


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
    load = roles.load_weights
    monkeypatch.setattr(roles, "load_weights", lambda *args: loaded.append(args[1]) or load(*args))
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
