"""A graph cut in two: both halves write what one process writes, and a buffer that does not fit is refused."""

import hashlib
import json

import pytest
import yaml
from lm_eval.api.instance import Instance

from lmx_files.errors import UserError
from lmx_models.hybrid.buffer import SCHEMA, read_buffer, write_buffer
from lmx_models.hybrid.model import HybridLM
from tests.unit.models.test_decoder_lm import FAST, PROMPTS, requests

SMALL = {**FAST, "self_check": False}
NODES = {
    "plan": {
        "model": "tiny-base",
        "method": "ar",
        "prompt": "{prompt}",
        "max_tokens": 8,
        "settings": {"temperature": 0.9},
    },
    "draft": {"model": "tiny-oracle", "method": "wedlm", "prompt": "{prompt} {plan}"},
    "side": {"model": "tiny-base", "method": "ar", "prompt": "{prompt}", "max_tokens": 4},
    "answer": {"model": "tiny-oracle", "method": "ar", "prompt": "{prompt} {plan} {draft} {side}"},
}
SAMPLED = {"do_sample": True, "temperature": 0.8}


@pytest.fixture
def graph(tmp_path):
    """Return a function that writes `NODES` with changes to a file, and names it."""
    return lambda **changes: _write_graph(tmp_path, changes)


def _write_graph(folder, changes) -> str:
    path = folder / "graph.yaml"
    nodes = {name: {**node, **changes.get(name, {})} for name, node in NODES.items()}
    path.write_text(yaml.safe_dump({"nodes": nodes}, sort_keys=False))
    return str(path)


@pytest.fixture(scope="module")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made")
    path = folder / "buffer.jsonl"
    write(HybridLM(graph=_write_graph(folder, {}), stage="make", cut="draft", buffer=str(path), **SMALL))
    return path.read_bytes()


@pytest.fixture
def made(made_once, tmp_path):
    """Return the path of a buffer of three texts, cut at `draft`."""
    path = tmp_path / "buffer.jsonl"
    path.write_bytes(made_once)
    return path


def write(lm, n=3, **more):
    return lm.generate_until(requests(n=n, **{**SAMPLED, **more}), disable_tqdm=True)


def consume(graph, path, n=3, generation=None, **arguments):
    return write(
        HybridLM(graph=graph, stage="consume", buffer=str(path), **SMALL, **arguments), n, **(generation or {})
    )


def texts_of(text):
    return {record["stage"]: (record["text"], record["tokens"]) for record in text.trace.extra["stages"]}


@pytest.mark.parametrize("cut", ["plan", "draft", "side"])
def test_two_processes_write_what_one_writes(graph, tmp_path, cut):
    whole = write(HybridLM(graph=graph(), **SMALL))
    path = tmp_path / "deep" / "buffer.jsonl"
    path.parent.mkdir()
    maker = HybridLM(graph=graph(), stage="make", cut=cut, buffer=str(path), **SMALL)
    first = write(maker)
    assert [texts_of(text)[cut][0] for text in whole] == first
    assert any(f"those of node '{cut}' and no answers" in note for note in maker.get_model_info()["decoding"]["notes"])
    reader = HybridLM(graph=graph(), stage="consume", buffer=str(path), **{**SMALL, "batch_size": 1})
    second = write(reader)
    assert second == whole
    assert [texts_of(text) for text in second] == [texts_of(text) for text in whole]
    assert [text.trace.tokens for text in second] == [text.trace.tokens for text in whole]
    info = reader.get_model_info()["decoding"]
    done = {"plan": ["plan"], "draft": ["plan", "draft"], "side": ["side"]}[cut]
    assert info["settings"]["nodes_here"] == [name for name in NODES if name not in done]
    assert info["settings"]["models_of_buffer"]
    assert set(info["models"]) == set(info["settings"]["nodes_here"])
    assert all(info["stages"][name]["from_buffer"] == (3 if name in done else 0) for name in NODES)


def test_two_processes_agree_in_a_chat_although_their_templates_differ(tmp_path):
    """Each half renders for its own main model; what was asked is compared, not how it was rendered."""
    import shutil

    from lmx_models.zoo import catalogue

    other = tmp_path / "other"
    shutil.copytree(catalogue.resolve("tiny-base").pretrained, other)
    (other / "chat_template.jinja").write_text("{% for m in messages %}{{ m['content'] }}\n{% endfor %}->")
    path = tmp_path / "graph.yaml"
    nodes = {
        "plan": {"model": str(other), "method": "ar", "prompt": "{prompt}", "max_tokens": 8},
        "answer": {"model": "tiny-oracle", "method": "ar", "prompt": "{prompt} {plan}"},
    }
    path.write_text(yaml.safe_dump({"nodes": nodes}, sort_keys=False))

    def ask(**arguments):
        lm = HybridLM(graph=str(path), **SMALL, **arguments)
        context = lm.apply_chat_template([{"role": "user", "content": PROMPTS[0]}])
        request = Instance("generate_until", {}, (context, {"until": [], "max_gen_toks": 20}), 0, ("t", 0, 1))
        return lm.generate_until([request], disable_tqdm=True)

    buffer = str(tmp_path / "b.jsonl")
    ask(stage="make", cut="plan", buffer=buffer)
    assert ask(stage="consume", buffer=buffer) == ask()


def test_a_part_of_the_texts_may_be_consumed(graph, made):
    assert consume(graph(), made, n=2) == write(HybridLM(graph=graph(), **SMALL), n=2)


def test_a_buffer_is_made_from_a_journal_too(graph, tmp_path):
    def make(journal):
        path = tmp_path / "buffer.jsonl"
        lm = HybridLM(graph=graph(), stage="make", cut="plan", buffer=str(path), journal=str(journal), **SMALL)
        write(lm)
        lm.journal.journal.close()
        return lm.get_model_info()["decoding"]["texts_from_journal"], path.read_bytes()

    none, first = make(tmp_path / "journal")
    three, second = make(tmp_path / "journal")
    assert (none, three) == (0, 3)
    assert first == second


def test_repeats_and_tasks_have_lines_of_their_own(graph, tmp_path):
    path = str(tmp_path / "buffer.jsonl")
    todo = requests(n=1, repeats=3, **SAMPLED)
    HybridLM(graph=graph(), stage="make", cut="plan", buffer=path, **SMALL).generate_until(todo, disable_tqdm=True)
    consumed = HybridLM(graph=graph(), stage="consume", buffer=path, **SMALL).generate_until(todo, disable_tqdm=True)
    assert consumed == HybridLM(graph=graph(), **SMALL).generate_until(todo, disable_tqdm=True)
    assert len(set(consumed)) > 1


# Buffers that do not fit.


def _edit(path, number, change):
    """Change a line and seal it again, as someone would who knows the format."""
    lines = path.read_text().splitlines(keepends=True)
    content = json.loads(lines[number - 1])["content"]
    change(content)
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    lines[number - 1] = f'{{"sha256":"{hashlib.sha256(text.encode()).hexdigest()}","content":{text}}}\n'
    path.write_text("".join(lines))


def _replace(path, number, old, new):
    lines = path.read_text().splitlines(keepends=True)
    assert old in lines[number - 1]
    lines[number - 1] = lines[number - 1].replace(old, new)
    path.write_text("".join(lines))


def _lines(path, keep):
    path.write_text("".join(keep(path.read_text().splitlines(keepends=True))))


DAMAGE = {
    "a text changed": (lambda p: _replace(p, 3, '"text":"', '"text":"x'), "line 3 damaged"),
    "two texts changed": (
        lambda p: [_replace(p, n, '"finish":"', '"finish":"x') for n in (2, 4)],
        "lines 2, 4 damaged",
    ),
    "not JSON": (
        lambda p: _replace(
            p,
            2,
            "{",
            "",
        ),
        "line 2 damaged",
    ),
    "cut off in a line": (lambda p: p.write_text(p.read_text()[:-40]), "line 5 damaged"),
    "the end is missing": (lambda p: _lines(p, lambda lines: lines[:-1]), "ends at line 4 without"),
    "empty": (lambda p: p.write_text(""), "ends at line 0 without"),
    "a line is missing": (lambda p: _lines(p, lambda ls: [*ls[:2], *ls[3:]]), "line 4: says that 4 lines"),
    "lines moved": (lambda p: _lines(p, lambda ls: [ls[0], ls[2], ls[1], *ls[3:]]), "line 5: says that 4 lines"),
    "sealed again": (lambda p: _edit(p, 3, lambda c: c.update(prompt_hash="0")), "line 5: says that 4 lines"),
    "schema": (lambda p: _edit(p, 1, lambda c: c.update(schema=99)), f"line 1: schema 99, but this lmx reads {SCHEMA}"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_buffers(graph, made, damage):
    harm, message = DAMAGE[damage]
    harm(made)
    with pytest.raises(UserError, match=message) as caught:
        consume(graph(), made)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        ({"plan": {"prompt": "{prompt}!"}}, {}, "line 1: nodes.plan.prompt was '{prompt}' and is '{prompt}!'"),
        ({"plan": {"model": "tiny-oracle"}}, {}, "nodes.plan.model was 'tiny-base'"),
        ({"draft": {"settings": {"tau": 0.1}}}, {}, "nodes.draft.settings was None"),
        ({}, {"seed": 7}, "line 1: seed was 1234 and is 7"),
        ({}, {"add_bos_token": True}, "line 1: arguments.add_bos_token was None and is True"),
        ({}, {"cut": "plan"}, "was cut at 'draft'"),
        ({}, {"plan_temperature": 0.3}, "lines 2, 3, 4: node 'plan': temperature was 0.9 and is 0.3"),
        ({}, {"generation": {"max_gen_toks": 9}}, "lines 2, 3, 4: node 'draft': max_tokens was 24 and is 9"),
        ({}, {"n": 5}, "no line for 2 of 5 texts, the first of task some_task, document 3, request 0, repeat 0"),
    ],
)
def test_other_settings(graph, made, changes, arguments, message):
    import re

    with pytest.raises(UserError, match=re.escape(message)):
        consume(graph(**changes), made, **arguments)


def test_what_comes_after_the_cut_may_change(graph, made):
    changed = graph(answer={"prompt": "{draft} {plan} {side} {prompt}"}, side={"max_tokens": 5})
    assert consume(changed, made) == write(HybridLM(graph=changed, **SMALL))


def test_other_prompts(graph, made):
    lm = HybridLM(graph=graph(), stage="consume", buffer=str(made), **SMALL)
    todo = requests(n=3, **SAMPLED)
    todo[1].arguments = ("another prompt", todo[1].args[1])
    with pytest.raises(UserError, match="line 3: made from another prompt"):
        lm.generate_until(todo, disable_tqdm=True)


def test_a_buffer_of_another_run_is_not_overwritten_and_one_of_the_same_is(graph, made):
    before = made.read_bytes()
    with pytest.raises(UserError, match=r"is there already, and seed was 1234 and is 5: name another file"):
        HybridLM(graph=graph(), stage="make", cut="draft", buffer=str(made), seed=5, **SMALL)
    assert made.read_bytes() == before
    write(HybridLM(graph=graph(), stage="make", cut="draft", buffer=str(made), **SMALL))
    assert set(read_buffer(made).texts) == {("some_task", i, 0, 0) for i in range(3)}


def test_make_has_no_likelihoods_and_leaves_no_part_of_a_file(graph, tmp_path, monkeypatch):
    path = tmp_path / "folder" / "buffer.jsonl"
    lm = HybridLM(graph=graph(), stage="make", cut="plan", buffer=str(path), **SMALL)
    pair = Instance("loglikelihood", {}, ("a", "b"), 0, ("t", 0, 1))
    with pytest.raises(UserError, match="stage=make writes texts only"):
        lm.loglikelihood([pair], disable_tqdm=True)

    def die(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(lm, "decode", die)
    with pytest.raises(KeyboardInterrupt):
        write(lm)
    assert list(path.parent.iterdir()) == []


def test_the_same_text_twice(tmp_path):
    line = {"task": "t", "doc_id": 0, "idx": 0, "repeat": 0, "prompt_hash": "", "stages": []}
    write_buffer(tmp_path / "b", {"cut": "a"}, [line, {**line, "doc_id": 1}, line])
    with pytest.raises(UserError, match="line 2 of a text that stands there again"):
        read_buffer(tmp_path / "b")
