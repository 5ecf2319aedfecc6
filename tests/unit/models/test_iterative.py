"""`--model iterative` through the real scheduler: each stage equals a plain run of its prompt; nothing edits a text."""

import json

import pytest
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_metrics import structure
from lmx_models.core.base import Feed, Generation, Segment
from lmx_models.decoding.composed.iterative import IterativeConfig, satisfied
from lmx_models.iterative import PROMPTS as TEMPLATES
from lmx_models.iterative import IterativeLM
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.method import Method
from lmx_models.methods.registry import METHODS
from tests.unit.models.test_decoder_lm import FAST, PROMPTS, requests

SMALL = {**FAST, "self_check": False}


def write(lm, n=3, **gen_kwargs):
    return lm.generate_until(requests(n=n, **gen_kwargs), disable_tqdm=True)


def rounds(text):
    return text.trace.extra["rounds"]


@pytest.fixture
def scripted(monkeypatch):
    """Let `inner=scripted` write given texts, by what is asked; the prompt goes through the model as ever."""

    def install(draft, critique, *revisions):
        left: dict[object, list[str]] = {}

        def start(request, weights):
            tokenizer = weights["scripted"].tokenizer
            prompt = tokenizer.decode(request.prompt)
            if "What is wrong with this answer?" in prompt:
                text = critique
            elif "Write the whole answer again" in prompt:
                text = left.setdefault(request.seeds[:5], list(revisions)).pop(0)
            else:
                text = draft
            yield Feed("scripted", request.prompt)
            tokens = tokenizer.encode(text, add_special_tokens=False)
            return Generation(tokens, [Segment("scripted", 0, len(tokens))], "length")

        monkeypatch.setitem(METHODS, "scripted", Method("scripted", start))
        return IterativeLM(pretrained="tiny-base", inner="scripted", rounds=3, **SMALL)

    return install


# What is asked and written.


def test_stages_equal_plain_runs_of_their_prompts():
    texts = write(IterativeLM(pretrained="tiny-oracle", rounds=2, critique_tokens=9, **SMALL), until=["Controls"])
    plain = AutoregressiveLM(pretrained="tiny-oracle", **SMALL)

    def expected(prompt, **limits):
        request = Instance("generate_until", {}, (prompt, limits), 0, ("some_task", 0, 1))
        return plain.generate_until([request], disable_tqdm=True)[0]

    def fill(name, **values):
        text = TEMPLATES[name]
        for key, value in values.items():
            text = text.replace(f"{{{key}}}", value)
        return text

    task = {"max_gen_toks": 24, "until": ["Controls"]}
    for text, prompt in zip(texts, PROMPTS, strict=False):
        answer = expected(prompt, **task)
        assert rounds(text)[0]["text"] == answer
        for entry in rounds(text)[1:]:
            critique = expected(fill("critique", prompt=prompt, text=answer), max_gen_toks=9, until=[])
            assert entry["critique"]["text"] == critique
            before = answer
            answer = expected(fill("revise", prompt=prompt, text=before, critique=critique), **task)
            assert entry["text"] == entry["written"]["text"] == answer
            assert entry["written"]["cost"]["forwards"] == answer.trace.forwards
            assert text.trace.cost[f"revise {entry['round']}"].forwards == answer.trace.forwards
        assert (text, text.trace.tokens, text.trace.finish) == (answer, answer.trace.tokens, answer.trace.finish)
        assert [segment.source for segment in text.trace.segments] == ["revise"]


def test_a_run_of_fewer_rounds_is_the_beginning_of_a_longer_one():
    """So runs with rounds=0, 1, 2 are paired: what a round brings is the difference between two of them."""
    sampled = {"do_sample": True, "temperature": 0.9}
    by_rounds = [write(IterativeLM(pretrained="tiny-base", rounds=n, **SMALL), **sampled) for n in (0, 1, 2)]
    for zero, one, two in zip(*by_rounds, strict=True):
        assert [entry["text"] for entry in rounds(two)] == [zero, one, two]
        assert [segment.source for segment in zero.trace.segments] == ["draft"]


@pytest.mark.parametrize("inner", ["ar", "wedlm", "mdlm", "bd3lm", "guided"])
def test_batch_size_and_order_do_not_matter(inner):
    more = {"pretrained": "tiny-oracle", "inner": inner, "critique_tokens": 8, "rounds": 1}
    if inner == "guided":
        more |= {"oracle": "tiny-base", "policy": "random", "k": 2}
    todo = requests(n=3, do_sample=True, temperature=0.9, max_gen_toks=12)
    one = IterativeLM(**more, **{**SMALL, "batch_size": 1}).generate_until(todo, disable_tqdm=True)
    lm = IterativeLM(**more, **SMALL)
    three = lm.generate_until(todo[::-1], disable_tqdm=True)[::-1]
    assert one == three
    assert [[e["text"] for e in rounds(text)] for text in one] == [[e["text"] for e in rounds(text)] for text in three]
    sources = {segment.source for text in three for segment in text.trace.segments}
    assert sources <= ({"revise.base", "revise.oracle"} if inner == "guided" else {"revise"})
    steps = lm.step_models(2, 30)
    rows = {id(step): len(step.cache.lengths) for step in steps.values()}
    assert set(rows.values()) == {2}  # all stages of a text take turns in one row


def test_the_chat_is_kept_and_each_stage_is_one_more_question():
    lm = IterativeLM(pretrained="tiny-base", rounds=1, critique_tokens=4, **SMALL)
    chat = [
        {"role": "user", "content": "one?"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three?"},
    ]
    context = lm.apply_chat_template(chat)
    request = Instance("generate_until", {}, (context, {"until": [], "max_gen_toks": 6}), 0, ("t", 0, 1))
    text = lm.generate_until([request], disable_tqdm=True)[0]
    plain = AutoregressiveLM(pretrained="tiny-base", **SMALL)
    assert rounds(text)[0]["text"] == plain.generate_until([request], disable_tqdm=True)[0]
    asked = TEMPLATES["critique"].replace("{prompt}", "three?").replace("{text}", rounds(text)[0]["text"])
    rendered = lm.tokenizer.apply_chat_template([*chat[:2], {"role": "user", "content": asked}], tokenize=False)
    assert rounds(text)[1]["critique"]["prompt_tokens"] == len(lm.tok_encode(rendered + "<|assistant|>"))


# When it ends.


@pytest.mark.parametrize(
    ("critique", "expected"),
    [
        ("nothing is wrong", True),
        ("\n- Nothing is wrong.\n", True),
        ('**"NOTHING IS WRONG"!**', True),
        ("Nothing is wrong.\nIt is short.", True),
        ("nothing is wrong with the headings, but the end is missing", False),
        ("- The end is missing.\n- nothing is wrong", False),
        ("", False),
        ("fine", False),
    ],
)
def test_when_the_critic_is_satisfied(critique, expected):
    assert satisfied(critique) is expected


def test_a_satisfied_critic_ends_it(scripted):
    lm = scripted("a draft", "- Nothing is wrong.", "never asked for")
    for text in write(lm):
        assert text == "a draft"
        assert text.trace.extra["stopped"] == "satisfied"
        assert [entry["written"] is None for entry in rounds(text)] == [False, True]
        assert [segment.source for segment in text.trace.segments] == ["draft"]
    assert lm.get_model_info()["decoding"]["iterative_rounds"] == {"answers_of_round_0": 3, "stopped_satisfied": 3}


def test_a_text_that_no_longer_changes_ends_it(scripted):
    lm = scripted("a draft", "- Too short.", "a revision", "a revision", "never asked for")
    for text in write(lm):
        assert [entry["text"] for entry in rounds(text)] == ["a draft", "a revision", "a revision"]
        assert text.trace.extra["stopped"] == "unchanged"
    assert lm.get_model_info()["decoding"]["iterative_rounds"] == {"answers_of_round_2": 3, "stopped_unchanged": 3}


def test_without_early_stop_all_rounds_are_run(scripted):
    lm = scripted("same", "nothing is wrong", "same", "same", "same")
    for text in write(lm, early_stop=False):
        assert len(rounds(text)) == 4
        assert text.trace.extra["stopped"] == "rounds"


def test_no_code_ever_edits_a_text(scripted):
    """A model that never writes the end marker scores 0 on it in every round; every text is its tokens, decoded."""
    lm = scripted("Goal:\nA draft.", "- The last line must be <END>.", "Goal:\nB.", "Goal:\nC.\n", "  Goal:\nD. ")
    for text in write(lm):
        texts = [entry["text"] for entry in rounds(text)]
        assert texts == ["Goal:\nA draft.", "Goal:\nB.", "Goal:\nC.\n", "  Goal:\nD. "]
        assert [structure.score(one)["end_marker_strict"] for one in texts] == [0.0] * 4
        assert [structure.score(one)["end_marker_loose"] for one in texts] == [0.0] * 4
        for entry in rounds(text):
            assert lm.tokenizer.decode(entry["written"]["tokens"]) == entry["text"]
        assert text == texts[-1]


# What a run leaves.


def test_the_run_says_what_it_was(tmp_path):
    lm = IterativeLM(pretrained="tiny-base", critique_tokens=5, traces=str(tmp_path / "t.jsonl"), **SMALL)
    texts = write(lm)
    info = lm.get_model_info()["decoding"]
    json.dumps(info, allow_nan=False)
    assert info["settings"]["inner"] == "ar"
    assert info["settings"]["prompts"]["critique"] == TEMPLATES["critique"]
    assert set(info["stages"]) == {"draft", "critique 1", "revise 1"} == set(info["models"])
    assert info["stages"]["critique 1"]["tokens"] == sum(len(rounds(t)[1]["critique"]["tokens"]) for t in texts)
    assert info["tokens_by_source"] == {"revise": info["tokens_kept"]}
    assert "rounds take no part" in info["loglikelihood"]["scored"]
    lines = [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()]
    by_doc = {line["doc_id"]: line for line in lines}
    assert [by_doc[i]["trace"]["extra"]["rounds"][-1]["text"] for i in range(3)] == texts


def test_the_oracle_of_guided_is_counted_stage_by_stage():
    lm = IterativeLM(
        pretrained="tiny-base",
        inner="guided",
        oracle="tiny-oracle",
        policy="always",
        c=3,
        k=2,
        critique_tokens=9,
        **SMALL,
    )
    texts = write(lm)
    stages = lm.get_model_info()["decoding"]["stages"]
    for name in ("draft", "critique 1", "revise 1"):
        assert stages[name]["consultations"] <= 9
        assert stages[name]["tokens_by_oracle"] + stages[name].get("tokens_by_base", 0) == stages[name]["tokens"]
    assert stages["draft"]["tokens_by_oracle"] == 18
    assert (
        sum(text.trace.by_source().get("revise.oracle", 0) for text in texts) == stages["revise 1"]["tokens_by_oracle"]
    )


def test_a_journal_knows_rounds_prompts_and_the_oracle(tmp_path):
    def run(**arguments):
        given = {"pretrained": "tiny-base", "critique_tokens": 4, "journal": str(tmp_path / "j"), **SMALL, **arguments}
        lm = IterativeLM(**given)
        texts = write(lm, n=1)
        lm.journal.journal.close()
        return texts, lm.get_model_info()["decoding"]["texts_from_journal"]

    (tmp_path / "p.yaml").write_text("critique: '{text} is wrong. Why?'\n")
    first = run()
    assert run() == (first[0], 1)
    guided = {"inner": "guided", "oracle": "tiny-oracle"}
    for change in ({"rounds": 2}, {"critique_temperature": 0.4}, {"prompts": str(tmp_path / "p.yaml")}, guided):
        assert run(**change)[1] == 0
    assert run(**guided)[1] == 1
    assert run(**{**guided, "oracle": "tiny-base"})[1] == 0


def test_the_critic_has_a_temperature_of_its_own():
    lm = IterativeLM(pretrained="tiny-base", critique_tokens=4, critique_temperature=0.7, **SMALL)
    entry = rounds(write(lm, n=1, do_sample=False)[0])[1]
    assert entry["critique"]["settings"]["temperature"] == 0.7
    assert entry["critique"]["settings"]["max_tokens"] == 4
    assert entry["written"]["settings"]["temperature"] == 0.0


def test_likelihoods_are_those_of_the_model():
    pairs = [Instance("loglikelihood", {}, (prompt, "Goal:"), 0, ("t", i, 1)) for i, prompt in enumerate(PROMPTS[:2])]
    plain = AutoregressiveLM(pretrained="tiny-base", **SMALL).loglikelihood(pairs, disable_tqdm=True)
    assert IterativeLM(pretrained="tiny-base", **SMALL).loglikelihood(pairs, disable_tqdm=True) == plain
    with pytest.raises(UserError, match="score it with --model bd3lm"):
        IterativeLM(pretrained="tiny-base", inner="bd3lm", **SMALL).loglikelihood(pairs, disable_tqdm=True)


# Mistakes.


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"inner": "wdlm"}, "unknown inner method 'wdlm': did you mean 'wedlm'"),
        ({"inner": "guided"}, "inner=guided with pretrained=tiny-base needs oracle=MODEL"),
        ({"oracle": "tiny-oracle"}, "inner=ar, oracle=tiny-oracle"),
        ({"rounds": -1}, "rounds=-1"),
        ({"rounds": 1.5}, "rounds=1.5 is not a whole number"),
        ({"critique_tokens": 0}, "critique_tokens=0"),
        ({"critique_temperature": -1}, "critique_temperature=-1"),
        ({"round": 1}, "did you mean 'rounds'"),
        ({"tau": 1}, "unknown --model iterative argument 'tau'"),
        ({"inner": "wedlm", "verify": "ar", "critique_temperature": 0.5}, "verify=ar writes the text of greedy"),
        ({"prompts": "/not/there.yaml"}, "cannot read prompts="),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    with pytest.raises(UserError, match=message) as caught:
        IterativeLM(**{"pretrained": "tiny-base", **SMALL, **arguments})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("critique: 'What is wrong?'", r"does not use \{text\}"),
        ("revise: '{text}'", r"does not use \{critique\}"),
        ("critique: '{text} {critique}'", r"'\{critique\}'"),
        ("draft: '{prompt}'", "unknown prompt in .*: 'draft'"),
        ("critique: 3", "a mapping with texts"),
        ("[", "cannot read prompts="),
    ],
)
def test_bad_prompts(tmp_path, text, message):
    path = tmp_path / "p.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        IterativeLM(pretrained="tiny-base", prompts=str(path), **SMALL)


def test_bad_generation_arguments():
    lm = IterativeLM(pretrained="tiny-base", **SMALL)
    with pytest.raises(UserError, match="rounds=101"):
        write(lm, rounds=101)
    with pytest.raises(UserError, match="did you mean 'early_stop'"):
        write(lm, erly_stop=True)
    assert IterativeConfig(rounds=100).rounds == 100
