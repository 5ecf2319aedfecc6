"""Graphs of `--model hybrid`: prompts are filled strictly, and what cannot work is refused with a name."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_models.hybrid.graph import Template, make_graph, read_graph
from lmx_models.hybrid.presets import PRESETS, chosen_graph
from lmx_models.methods.method import Method, check_settings
from lmx_models.methods.registry import METHODS

CONFIGS = Path(__file__).parents[3] / "configs"


def node(prompt="{prompt}", **more):
    return {"model": "m", "method": "ar", "prompt": prompt, **more}


def graph(**nodes):
    return make_graph({"nodes": nodes})


def test_a_template_is_filled_in_one_pass():
    template = Template('Q: {prompt}\nPlan: {plan} {"keep": {"me": 1}} {{plan}} {0} {} }{', "here")
    assert template.inputs == ("prompt", "plan")
    filled = template.render({"prompt": "say {plan}", "plan": '{"prompt": "{prompt}", "n": {{x}}}'})
    assert filled == 'Q: say {plan}\nPlan: {"prompt": "{prompt}", "n": {{x}}} {"keep": {"me": 1}} {plan} {0} {} }{'


@given(st.text(), st.text())
def test_values_arrive_as_they_are(prompt, plan):
    assert Template("<{prompt}|{plan}|{prompt}>", "here").render({"prompt": prompt, "plan": plan}) == (
        f"<{prompt}|{plan}|{prompt}>"
    )


def test_the_order_is_that_of_need_and_the_last_node_in_the_file_answers():
    made = graph(b=node("{prompt} {a}"), a=node(), d=node(), c=node("{a} {b} {d}"))
    assert [one.name for one in made.nodes] == ["a", "b", "d", "c"]
    assert made.answer.name == "c"
    made = make_graph({"answer": "b", "nodes": {"b": node("{a}"), "a": node()}})
    assert [one.name for one in made.nodes] == ["a", "b"]


def test_a_part_has_what_its_last_node_needs():
    made = graph(a=node(), b=node(), c=node("{a}"), d=node("{b} {c}"))
    assert [one.name for one in made.up_to("c").nodes] == ["a", "c"]
    with pytest.raises(UserError, match="unknown node 'dd': did you mean 'd'"):
        made.up_to("dd")


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ({"a": node("{plan} {prompt}")}, r"unknown placeholder in the prompt of node 'a': '\{plan\}'"),
        ({"plan": node(), "a": node("{plan_text} {prompt}")}, r"'\{plan_text\}': did you mean '\{plan\}'"),
        ({"plan": node(), "a": node("{ plan }")}, r"'\{ plan \}' is not a placeholder: write \{plan\}"),
        ({"a": node("{prompt} {a}")}, r"'\{a\}'"),
        ({"a": node("{b}"), "b": node("{c}"), "c": node("{prompt} {a}")}, "in a circle: . needs . needs . needs ."),
        ({"plan": node(), "a": node()}, "node 'plan' never reaches the answer 'a'"),
        ({"plan": node(), "a": node("{plan}", inputs=["prompt", "plan"])}, r"does not use \{prompt\}"),
        ({"plan": node(), "a": node("{plan} {prompt}", inputs=["plan"])}, r"'\{prompt\}'"),
        ({"a": node("nothing")}, "the question would reach no model"),
        ({"a": node(max_tokens=5)}, "set max_gen_toks"),
        ({"prompt": node()}, "not 'prompt'"),
        ({"a-b": node()}, "node 'a-b': a name is a word"),
        ({"a": node(temprature=1)}, "unknown key of node 'a': 'temprature'"),
        ({"a": {"model": "m", "method": "ar"}}, "node 'a': prompt is missing"),
        ({"a": "tiny-base"}, "node 'a': a mapping"),
        ({"a": node(settings=[1])}, "settings must be a mapping"),
        ({"a": node(stop="x")}, "stop must be a list"),
        ({"a": node(stop=["x"])}, "stop needs max_tokens"),
        ({"b": node(max_tokens=0), "a": node("{b} {prompt}")}, "max_tokens=0"),
        ({"b": node(max_tokens="many"), "a": node("{b} {prompt}")}, "max_tokens='many' is not a whole number"),
        ({"a": node(expect="jsn")}, "expect of node 'a': 'jsn': did you mean 'json'"),
        ({"a": node(oracle="m")}, "method=guided needs oracle"),
        ({"a": {**node(), "method": "guided"}}, "method=guided needs oracle"),
        ({}, "a graph needs nodes"),
    ],
)
def test_bad_graphs(nodes, message):
    with pytest.raises(UserError, match=message) as caught:
        make_graph({"nodes": nodes})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nodes: {a: {model: m}, a: {model: m}}", "graph=.*: line 1: 'a' stands there twice"),
        ("nodes: [", "cannot read graph="),
        ("just text", "a graph needs nodes"),
        ("nods: {}\nnodes: {a: {model: m, method: ar, prompt: '{prompt}'}}", "'nods': did you mean 'nodes'"),
        ("answer: b\nnodes: {a: {model: m, method: ar, prompt: '{prompt}'}}", "unknown answer node 'b'"),
    ],
)
def test_bad_files(tmp_path, text, message):
    path = tmp_path / "graph.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=message):
        read_graph(str(path))
    with pytest.raises(UserError, match="cannot read graph="):
        read_graph(str(tmp_path / "none.yaml"))


@pytest.mark.parametrize("method", ["wedlm", "mdlm", "bd3lm", "of_a_plugin"])
@pytest.mark.parametrize("preset", PRESETS)
def test_presets(preset, method, monkeypatch):
    monkeypatch.setitem(METHODS, "of_a_plugin", Method("of_a_plugin", lambda *_: None))
    made = chosen_graph(preset, None, "the-ar", "the-diffusion", method)
    first, last = made.nodes
    assert last.template.inputs == ("prompt", first.name)
    assert {first.method, last.method} == {"ar", method}
    assert {node.model for node in made.nodes if node.method == "ar"} == {"the-ar"}
    assert (first.method == "ar") == (preset == "ar_to_diffusion")
    for node in made.nodes:
        check_settings(node.described, node.settings, node.name)
    assert make_graph(json.loads(json.dumps(made.as_dict()))) == made


def test_the_published_settings_of_the_presets():
    plan = chosen_graph("ar_to_diffusion", None, "a", "d", None).nodes[0]
    assert (plan.max_tokens, plan.settings, plan.expect) == (192, {"temperature": 0.7}, "json")
    refine = chosen_graph("diffusion_to_ar", None, "a", "d", None).answer
    assert refine.settings == {"temperature": 0.2}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None, None, None, None, None), "either preset="),
        (("ar_to_diffusion", "g.yaml", None, None, None), "either preset="),
        (("ar_to_difusion", None, "a", "d", None), "unknown preset 'ar_to_difusion': did you mean 'ar_to_diffusion'"),
        (("ar_to_diffusion", None, "a", None, None), "needs diffusion=MODEL"),
        (("ar_to_diffusion", None, "a", "d", "wedl"), "unknown diffusion_method 'wedl': did you mean 'wedlm'"),
        (
            ("ar_to_diffusion", None, "a", "d", "guided"),
            "diffusion_method=guided needs oracle=MODEL, which a preset has not",
        ),
        ((None, "g.yaml", "a", None, None), "ar belong to a preset"),
    ],
)
def test_bad_choices(arguments, message):
    with pytest.raises(UserError, match=message):
        chosen_graph(*arguments)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("hybrid_graph_*.yaml")), ids=lambda path: path.stem)
def test_the_example_graphs(path):
    for one in read_graph(str(path)).nodes:
        check_settings(one.described, one.settings, one.name)
