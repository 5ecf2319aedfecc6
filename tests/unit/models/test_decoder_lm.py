"""The lm_eval side of the decoders, on the shipped tiny models: arguments, requests, traces, statistics."""

import json
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

import lmx_tasks
from lmx_files.errors import UserError
from lmx_models.core.completion import Completion
from lmx_models.core.sampling import Sampling
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.policies import PolicyConfig
from lmx_models.guided.model import GuidedLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.settings.arguments import build
from lmx_models.zoo import catalogue

DATA = Path(lmx_tasks.__file__).parent / "constraint_tiny" / "data" / "tiny.jsonl"
PROMPTS = [json.loads(line)["prompt"] for line in DATA.read_text().splitlines()[:6]]
FAST = {"device": "cpu", "batch_size": 4}


def requests(n: int = 6, repeats: int = 1, **gen_kwargs) -> list[Instance]:
    """Return requests for short sectioned answers, which the tiny models were trained on."""
    gen_kwargs = {"until": [], "max_gen_toks": 24, **gen_kwargs}
    made = [
        Instance(
            "generate_until",
            {},
            (PROMPTS[i], dict(gen_kwargs)),
            0,
            ("some_task", i, repeats),
        )
        for i in range(n)
    ]
    return [one for one in made for _ in range(repeats)]


@pytest.fixture(scope="module")
def ar() -> AutoregressiveLM:
    return AutoregressiveLM(pretrained="tiny-base", **FAST)


def write(lm, **gen_kwargs) -> list[str]:
    return lm.generate_until(requests(**gen_kwargs), disable_tqdm=True)


def test_ar_equals_hf(ar):
    hf = HFLM(pretrained=catalogue.resolve("tiny-base").pretrained, **FAST)
    for gen_kwargs in ({}, {"until": ["\n"]}, {"max_gen_toks": 3}, {"until": ["e", "7"]}):
        texts = write(ar, **gen_kwargs)
        assert [str(text) for text in texts] == write(hf, **gen_kwargs)
        assert all(isinstance(text, Completion) for text in texts)


def test_batch_size_and_order_do_not_change_sampled_texts(ar):
    def sample(lm, todo):
        texts = lm.generate_until(todo, disable_tqdm=True)
        return {request.doc_id: str(text) for request, text in zip(todo, texts, strict=True)}

    todo = requests(do_sample=True, temperature=1.0)
    expected = sample(ar, todo)
    assert len(set(expected.values())) > 1
    assert sample(ar, todo[::-1]) == expected
    assert sample(AutoregressiveLM(pretrained="tiny-base", device="cpu", batch_size=1), todo) == expected
    other_seed = AutoregressiveLM(pretrained="tiny-base", seed=7, **FAST)
    assert sample(other_seed, todo) != expected


def test_repeats_are_different_samples_of_one_prompt(ar):
    texts = ar.generate_until(requests(n=1, repeats=5, do_sample=True, temperature=1.5), disable_tqdm=True)
    assert len({str(text) for text in texts}) > 1


def test_guided_identities_through_lm_eval():
    pair = {"pretrained": "tiny-base", "oracle": "tiny-oracle", **FAST}
    for gen_kwargs in ({}, {"do_sample": True, "temperature": 1.0}):
        base = write(AutoregressiveLM(pretrained="tiny-base", **FAST), **gen_kwargs)
        assert write(GuidedLM(c=0, **pair), **gen_kwargs) == base
    oracle = write(AutoregressiveLM(pretrained="tiny-oracle", **FAST))
    assert write(GuidedLM(c="inf", k="inf", **pair)) == oracle
    assert write(GuidedLM(c="inf", k="inf", policy="never", **pair)) == oracle


def test_settings_come_by_model_args_or_gen_kwargs():
    pair = {"pretrained": "tiny-base", "oracle": "tiny-oracle", **FAST}
    by_model = write(GuidedLM(c=2, k=3, policy="always", **pair))
    lm = GuidedLM(**pair)
    assert write(lm, c=2, k=3, policy="always") == by_model
    assert [text.trace.extra["consultations"][0]["tokens"] for text in by_model] == [3] * 6
    assert write(lm, do_sample=False, temperature=0.9, c=0) == write(lm, temperature=0.0, c=0)


def test_the_same_weights_share_forwards_and_keep_two_caches():
    lm = GuidedLM(pretrained="tiny-base", oracle="tiny-base", policy="fixed", every=3, k=3, **FAST)
    assert lm.oracle is lm.model
    steps = lm.step_models(2, 50)
    assert steps["base"] is steps["oracle"]
    assert write(lm) == write(AutoregressiveLM(pretrained="tiny-base", **FAST))


def test_traces_and_statistics(tmp_path):
    path = tmp_path / "deep" / "traces.jsonl"
    lm = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", policy="fixed", every=3, k=2, traces=str(path), **FAST)
    texts = write(lm)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(line["doc_id"] for line in lines) == list(range(6))
    by_doc = {line["doc_id"]: line for line in lines}
    for doc_id, text in enumerate(texts):
        assert by_doc[doc_id]["text"] == text
        assert by_doc[doc_id]["trace"]["tokens"] == text.trace.tokens
    info = lm.get_model_info()["decoding"]
    kept = sum(len(text.trace.tokens) for text in texts)
    assert info["tokens_kept"] == kept == sum(info["tokens_by_source"].values())
    assert info["texts"] == sum(info["finish"].values()) == 6
    assert info["oracle_share"] == pytest.approx(info["tokens_by_source"]["oracle"] / kept, abs=1e-4)
    assert info["settings"]["every"] == 3
    assert info["settings"]["oracle"] == "tiny-oracle"
    json.dumps(info)


def test_plain_decoding_needs_one_forward_a_token(ar):
    lm = AutoregressiveLM(pretrained="tiny-base", **FAST)
    texts = write(lm)
    assert all(text.trace.forwards == len(text.trace.tokens) for text in texts)
    assert all(text.trace.fed == text.trace.prompt_tokens + len(text.trace.tokens) - 1 for text in texts)
    assert lm.get_model_info()["decoding"]["tokens_per_forward"] == 1.0


def test_quantile_policy_calibrates_on_recorded_signals(tmp_path):
    pair = {"pretrained": "tiny-base", "oracle": "tiny-oracle", **FAST}
    traces = tmp_path / "calibration.jsonl"
    write(GuidedLM(c=0, record="entropy", traces=str(traces), **pair))
    lm = GuidedLM(policy="quantile", share=0.3, k=2, c="inf", calibration=str(traces), **pair)
    write(lm)
    assert lm.get_model_info()["decoding"]["oracle_share"] > 0
    assert any("quantile: threshold" in note for note in lm.notes)
    traces.write_text('{"trace": 3}\n')
    with pytest.raises(UserError, match="line 1"):
        write(GuidedLM(policy="quantile", calibration=str(traces), **pair))


def test_a_policy_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "my_policy.py").write_text("def odd(point):\n    return point.position % 2 == 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    lm = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", policy="my_policy:odd", k=2, **FAST)
    for text in write(lm):
        assert [s.source for s in text.trace.segments[:2]] == ["base", "oracle"]
    with pytest.raises(UserError, match="my_policy:even"):
        write(GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", policy="my_policy:even", **FAST))


def test_a_prompt_longer_than_the_context_loses_its_beginning_as_in_lm_eval(ar, caplog):
    long = Instance("generate_until", {}, ("lion " * 3000 + "\n", {"until": [], "max_gen_toks": 8}), 0, ("t", 0, 1))
    text = ar.generate_until([long], disable_tqdm=True)[0]
    assert text.trace.prompt_tokens == ar.max_length - 8
    assert "1 of 1 prompts were longer than the context" in caplog.text
    hf = HFLM(pretrained=catalogue.resolve("tiny-base").pretrained, **FAST)
    assert hf.generate_until([long], disable_tqdm=True) == [text]


@pytest.mark.parametrize(
    ("lm", "arguments", "message"),
    [
        (GuidedLM, {"polcy": "ramp"}, "unknown --model guided argument 'polcy': did you mean 'policy'"),
        (GuidedLM, {"policy": "entropi"}, "unknown policy 'entropi': did you mean 'entropy'"),
        (GuidedLM, {"c": -1}, "c=-1"),
        (GuidedLM, {"k": "many"}, "k='many' is not a number"),
        (AutoregressiveLM, {"temperatur": 1}, "did you mean 'temperature'"),
        (AutoregressiveLM, {"seed": "x"}, "seed='x'"),
        (AutoregressiveLM, {"trust_remote_code": True}, "no code from model repositories"),
        (AutoregressiveLM, {"pretrained": "./not/there"}, "not/there"),
        (AutoregressiveLM, {"traces": "/proc/nowhere/t.jsonl"}, "cannot write traces"),
        (GuidedLM, {"oracle": None}, "needs oracle="),
        (AutoregressiveLM, {"mixed_precision_dtype": "bfloat16"}, "mixed_precision_dtype=bfloat16 is not supported"),
    ],
)
def test_bad_arguments_are_one_line(lm, arguments, message):
    given = {"pretrained": "tiny-base", **({"oracle": "tiny-oracle"} if lm is GuidedLM else {}), **FAST, **arguments}
    with pytest.raises(UserError, match=message) as caught:
        lm(**given)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("gen_kwargs", "message"),
    [
        ({"temprature": 1}, "did you mean 'temperature'"),
        ({"repetition_penalty": 1.3}, "unknown generation argument of --model ar 'repetition_penalty'"),
        ({"max_gen_toks": 100_000}, "max_gen_toks=100000"),
        ({"max_gen_toks": 0}, "max_gen_toks=0"),
        ({"do_sample": True, "temperature": -1}, "temperature=-1"),
    ],
)
def test_bad_generation_arguments_are_one_line(ar, gen_kwargs, message):
    with pytest.raises(UserError, match=message):
        write(ar, **gen_kwargs)


def test_options_that_mean_nothing_are_let_through(ar):
    assert write(ar, num_beams=1, repetition_penalty=1.0) == write(ar)


def test_numbers_are_taken_in_any_spelling():
    assert build(GuidedConfig, {"c": "inf", "k": 10}) == GuidedConfig(c=float("inf"), k=10.0)
    assert build(PolicyConfig, {"every": "5", "policy": "fixed"}).every == 5
    assert build(Sampling, {"top_k": 5.0}).top_k == 5
    with pytest.raises(UserError, match=r"every=2.5 is not a whole number"):
        build(PolicyConfig, {"every": 2.5})
    with pytest.raises(UserError, match="top_p=None"):
        build(Sampling, {"top_p": None})


def test_a_completion_survives_pickling():
    import pickle

    text = write(AutoregressiveLM(pretrained="tiny-base", **FAST), n=1)[0]
    again = pickle.loads(pickle.dumps(text))
    assert again == text
    assert again.trace == text.trace


def test_padding_of_a_rank_takes_the_text_of_the_request_it_repeats(ar):
    """lm_eval appends the last request once more where a rank has fewer; it is neither written nor counted again."""
    todo = requests(n=2, do_sample=True, temperature=1.0)
    lm = AutoregressiveLM(pretrained="tiny-base", **FAST)
    texts = lm.generate_until([*todo, todo[-1]], disable_tqdm=True)
    assert texts == [*ar.generate_until(todo, disable_tqdm=True), texts[1]]
    assert lm.get_model_info()["decoding"]["texts"] == 2


def test_settings_are_dumped_as_they_were_used_and_as_valid_json():
    lm = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", c="inf", **FAST)
    write(lm, n=1, do_sample=True, temperature=0.6, k=3)
    info = lm.get_model_info()["decoding"]
    json.dumps(info, allow_nan=False)
    assert info["settings"]["c"] == "inf"
    assert info["settings_by_task"]["some_task"]["temperature"] == 0.6
    assert info["settings_by_task"]["some_task"]["k"] == 3


def test_text_before_the_end_of_thinking_is_left_out_as_in_lm_eval(ar):
    whole = write(ar)
    assert all("Goal" in text for text in whole)
    hf = HFLM(pretrained=catalogue.resolve("tiny-base").pretrained, think_end_token="Goal", **FAST)
    ours = AutoregressiveLM(pretrained="tiny-base", think_end_token="Goal", **FAST)
    assert write(ours) == write(hf) != whole
    token = whole[0].trace.tokens[5]
    hf.think_end_token = ours.think_end_token = token
    assert write(ours) == write(hf) != whole


def test_likelihoods_are_those_of_hf(ar):
    hf = HFLM(pretrained=catalogue.resolve("tiny-base").pretrained, **FAST)
    pairs = [
        Instance("loglikelihood", {}, (prompt, answer), 0, ("t", i, 1))
        for i, prompt in enumerate(PROMPTS)
        for answer in ("Goal:\nLearn", "2", " a longer one")
    ]
    write(ar, n=1)  # the engine leaves the model as it was
    assert ar.loglikelihood(pairs, disable_tqdm=True) == hf.loglikelihood(pairs, disable_tqdm=True)
