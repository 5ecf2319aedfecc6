"""Sweep files: what they mean, and one line for each mistake, before anything starts."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import pytest

from lmx_files.errors import UserError
from lmx_runs.sweep import arms, config, flags, plan
from lmx_runs.sweep.state import ArmState, State

BASE = {"model": "scripted", "tasks": ["quiz"]}


@pytest.fixture
def expand(tmp_path):
    """Return the arms of a sweep file given as a mapping."""

    def expand(entries, **top):
        text = json.dumps({"name": "s", "output_path": "out", "defaults": BASE, "arms": entries} | top)
        (tmp_path / "s.yaml").write_text(text)
        return arms.expand(config.load(tmp_path / "s.yaml"), tmp_path / "out")

    return expand


def named(found):
    return {arm.name: arm for arm in found}


def value_of(arm, flag):
    """Return what follows a flag in an arm's command."""
    return arm.command[arm.command.index(flag) + 1]


def test_a_matrix_makes_every_combination_and_reaches_flags_arguments_and_variables(expand):
    matrix = {"c": [0, 3], "gen_kwargs.temperature": [0.5], "limit": [2], "model_args.seed": [1, 2], "env.X": ["v"]}
    found = expand([{"name": "guided", "model_args": {"k": 5}, "matrix": matrix}])
    assert [arm.name for arm in found] == [
        f"guided/c={c},temperature=0.5,limit=2,seed={seed},X=v" for c in (0, 3) for seed in (1, 2)
    ]
    arm = found[2]
    assert json.loads(value_of(arm, "--model_args")) == {"k": 5, "c": 3, "seed": 1}
    assert json.loads(value_of(arm, "--gen_kwargs")) == {"temperature": 0.5}
    assert value_of(arm, "--limit") == "2"
    assert arm.environment == {"X": "v"}
    assert arm.folder.name == "guided__c=3,temperature=0.5,limit=2,seed=1,X=v"
    assert value_of(arm, "--output_path") == str(arm.folder)
    assert plan.command_line(arm)[0] == "X=v"


def test_defaults_are_merged_key_by_key_and_null_takes_a_flag_away(expand):
    defaults = BASE | {"model_args": {"a": 1, "b": 1}, "limit": 5, "env": {"X": 1}}
    entry = {"name": "x", "model_args": {"b": 2}, "limit": None, "env": {"Y": "2"}}
    (arm,) = expand([entry], defaults=defaults)
    assert arm.flags == BASE | {"model_args": {"a": 1, "b": 2}, "limit": None}
    assert "--limit" not in arm.command
    assert arm.env == {"X": "1", "Y": "2"}


def test_values_keep_their_types_and_characters_on_the_command_line(expand):
    awkward = {"text": 'a,b = "c"\n{prompt}', "n": "0", "yes": True, "list": [1, "x"], "none": None}
    flags_ = {"apply_chat_template": True, "fewshot_as_multiturn": False, "write_out": False, "tasks": ["a", "b"]}
    (arm,) = expand([{"name": "x", "model_args": awkward, **flags_}])
    from lmx_runs.options import parse

    parsed = parse(shlex.split(shlex.join(arm.command))[4:])
    assert parsed.lm_eval.model_args == awkward
    assert parsed.tasks == ("a", "b")
    assert parsed.lm_eval.apply_chat_template is True
    assert parsed.lm_eval.fewshot_as_multiturn is False
    assert not hasattr(parsed.lm_eval, "write_out")


def test_arms_come_after_what_they_need_by_name_or_by_reference(expand):
    entries = [
        {"name": "use", "model_args": {"buffer": "{arms.make.output_path}/b.jsonl", "log": "{arm.output_path}/l"}},
        {"name": "other"},
        {"name": "make"},
        {"name": "last", "needs": ["use", "other"]},
    ]
    found = expand(entries)
    assert [arm.name for arm in found] == ["make", "use", "other", "last"]
    use = named(found)["use"]
    assert use.needs == ("make",)
    arguments = json.loads(value_of(use, "--model_args"))
    assert arguments["buffer"] == f"{named(found)['make'].folder}/b.jsonl"
    assert arguments["log"] == f"{use.folder}/l"
    assert named(found)["last"].needs == ("use", "other")


def test_entries_with_the_same_matrix_keys_are_paired(expand):
    entries = [
        {"name": "make", "matrix": {"model_args.seed": [1, 2]}},
        {"name": "use", "matrix": {"model_args.seed": [2, 1], "x": [0]}, "env": {"B": "{arms.make.output_path}"}},
        {"name": "all", "needs": ["make"]},
        {"name": "one", "needs": ["make/seed=2"]},
    ]
    found = named(expand(entries))
    assert found["use/seed=2,x=0"].needs == ("make/seed=2",)
    assert found["use/seed=1,x=0"].environment == {"B": str(found["make/seed=1"].folder)}
    assert found["all"].needs == ("make/seed=1", "make/seed=2")
    assert found["one"].needs == ("make/seed=2",)


def test_a_fingerprint_changes_with_the_arm_and_what_it_needs_and_with_nothing_else(expand, tmp_path):
    def prints(value=1, **top):
        entries = [
            {"name": "make", "model_args": {"x": value}},
            {"name": "use", "needs": ["make"]},
            {"name": "free", "env": {"A": "1"}},
        ]
        return {name: arm.fingerprint for name, arm in named(expand(entries, **top)).items()}

    base = prints()
    assert prints() == base
    assert prints(output_path="elsewhere", max_parallel=4, slurm={"mem": "1G"}) == base
    changed = prints(2)
    assert {name for name in base if base[name] != changed[name]} == {"make", "use"}
    assert all(value != base[name] for name, value in prints(defaults=BASE | {"limit": 3}).items())


def test_awkward_values_get_folders_of_their_own(expand):
    found = expand([{"name": "x", "matrix": {"pretrained": ["a/b", "a_b", "a b", "x" * 300], "t": [["p", "q"]]}}])
    folders = [arm.folder.name for arm in found]
    assert len(set(folders)) == 4
    assert all(len(folder) < 120 and not set(folder) & set("/ ") for folder in folders)
    assert folders[1] == "x__pretrained=a_b,t=p+q"


def test_python_is_a_path_or_a_program_and_ours_if_left_out(expand):
    found = named(expand([{"name": "own"}, {"name": "other", "python": sys.executable}]))
    assert found["own"].python == sys.executable
    assert found["own"].fingerprint == found["other"].fingerprint


ONE = [{"name": "a"}]
MISTAKES = {
    "unknown key": ({"arm": []}, r"unknown key 'arm': did you mean 'arms'\?"),
    "unknown flag in defaults": ({"defaults": {"limt": 3}}, r"defaults: unknown key 'limt': did you mean 'limit'\?"),
    "unknown flag": (
        {"arms": [{"name": "a", "model_arg": {}}]},
        r"arms\.a: unknown key 'model_arg': did you mean 'model_args'",
    ),
    "bad value of a flag": (
        {"arms": [{"name": "a", "limit": "many"}]},
        r"arm a: .*--limit.*invalid float value: 'many'",
    ),
    "arguments as text": ({"arms": [{"name": "a", "model_args": "x=1"}]}, r"arm a: model_args must be a mapping"),
    "no model": ({"defaults": {"tasks": ["t"]}}, r"arm a: no model: give it under the arm"),
    "no tasks": ({"defaults": {"model": "ar"}}, r"arm a: no tasks: give it"),
    "output path": (
        {"arms": [{"name": "a", "output_path": "x"}]},
        r"output_path is not for an arm to set: every arm gets",
    ),
    "lm_eval config": ({"defaults": {"config": "x.yaml"}}, r"config is not for an arm to set: write its lines"),
    "no arms": ({"arms": []}, r"arms: list should have at least 1 item"),
    "name missing": ({"arms": [{"model": "x"}]}, r"'name' is missing"),
    "bad name": ({"arms": [{"name": "a/b"}]}, r"'a/b' must begin with a letter or digit"),
    "executor": ({"executor": "pbs"}, r"executor: input should be 'local' or 'slurm' \(it is 'pbs'\)"),
    "parallel": ({"max_parallel": 0}, r"max_parallel: input should be greater than or equal to 1 \(it is 0\)"),
    "two of a name": ({"arms": [{"name": "a"}, {"name": "a"}]}, r"two arms are named 'a'"),
    "two of a value": ({"arms": [{"name": "a", "matrix": {"x": [1, 1]}}]}, r"two arms are named 'a/x=1'"),
    "unknown need": (
        {"arms": [{"name": "a", "needs": ["mak"]}, {"name": "make"}]},
        r"unknown arm in the needs of a 'mak': did you mean 'make'",
    ),
    "itself": ({"arms": [{"name": "a", "needs": ["a"]}]}, r"arm a needs itself"),
    "circle": (
        {"arms": [{"name": "a", "needs": ["b"]}, {"name": "b", "needs": ["c"]}, {"name": "c", "needs": ["a"]}]},
        r"arms need each other in a circle: .*a needs b needs c",
    ),
    "unknown reference": (
        {"arms": [{"name": "a", "env": {"X": "{arms.b.output_path}"}}]},
        r"unknown arm in the needs of a 'b'",
    ),
    "meaningless reference": (
        {"arms": [{"name": "a", "env": {"X": "{arms.a.folder}"}}]},
        r"arm a: \{arms\.a\.folder\} means nothing here",
    ),
    "ambiguous reference": (
        {"arms": [{"name": "m", "matrix": {"x": [1, 2]}}, {"name": "a", "env": {"X": "{arms.m.output_path}"}}]},
        r"may be any of m/x=1, m/x=2: name one of them in full",
    ),
    "no partner": (
        {"arms": [{"name": "m", "matrix": {"x": [1]}}, {"name": "a", "needs": ["m"], "matrix": {"x": [2]}}]},
        r"arm a/x=2 needs m, but no arm of m has the same x",
    ),
    "seed": (
        {"arms": [{"name": "a", "matrix": {"seed": [1]}}]},
        r"'seed' may mean two things: write model_args\.seed .* flags\.seed",
    ),
    "matrix group": (
        {"arms": [{"name": "a", "matrix": {"gen_kwarg.t": [1]}}]},
        r"unknown group in the matrix key 'gen_kwarg\.t': did you mean 'gen_kwargs\.t'",
    ),
    "matrix flag": (
        {"arms": [{"name": "a", "matrix": {"flags.limt": [1]}}]},
        r"unknown flag in a matrix 'limt': did you mean 'limit'",
    ),
    "empty matrix": (
        {"arms": [{"name": "a", "matrix": {"x": []}}]},
        r"arms\.a\.matrix\.x: list should have at least 1 item",
    ),
    "no such python": ({"arms": [{"name": "a", "python": "/no/python"}]}, r"arm a: there is no program '/no/python'"),
    "secret variable": (
        {"arms": [{"name": "a", "env": {"HF_TOKEN": "x"}}]},
        r"env\.HF_TOKEN looks like a secret.*export it in your shell",
    ),
    "secret in defaults": ({"defaults": {"env": {"OPENAI_API_KEY": "x"}}}, r"env\.OPENAI_API_KEY looks like a secret"),
    "secret in a matrix": (
        {"arms": [{"name": "a", "matrix": {"env.DB_PASSWORD": ["x"]}}]},
        r"env\.DB_PASSWORD looks like a secret",
    ),
    "secret argument": (
        {"arms": [{"name": "a", "model_args": {"api_key": "x"}}]},
        r"model_args\.api_key looks like a secret",
    ),
    "secret for the Hub": (
        {"arms": [{"name": "a", "hf_hub_log_args": {"token": "x"}}]},
        r"hf_hub_log_args\.token looks like a secret",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_are_one_line_that_says_where_and_what(name, expand):
    top, pattern = MISTAKES[name]
    with pytest.raises(UserError, match=pattern) as caught:
        expand(
            **({"entries": top["arms"]} if "arms" in top else {"entries": ONE}),
            **{k: v for k, v in top.items() if k != "arms"},
        )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["TOKENIZERS_PARALLELISM", "LMX_MAX_TOKENS", "CUDA_VISIBLE_DEVICES", "KEYBOARD"])
def test_harmless_variables_are_taken(name, expand):
    (arm,) = expand([{"name": "a", "env": {name: "1"}, "hf_hub_log_args": {"token": True}}])
    assert arm.environment == {name: "1"}


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("a: [", "is not valid YAML"),
        ("- a", "is not a sweep file: it must hold name, output_path and arms"),
        ("name: x\noutput_path: y\n", "'arms' is missing"),
        (None, "cannot read the sweep file"),
    ],
)
def test_files_that_are_none(text, pattern, tmp_path):
    path = tmp_path / "x.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=pattern):
        config.load(path)


def test_a_setup_line_may_set_variables_but_no_secrets():
    flags.check_setup_line("export OMP_NUM_THREADS=4; module load cuda")
    with pytest.raises(UserError, match=r"slurm\.setup sets HF_TOKEN"):
        flags.check_setup_line("export HF_TOKEN=abc")


def test_shipped_sweep_file(tmp_path):
    found = arms.expand(config.load(Path(__file__).parents[3] / "configs" / "sweep_tiny.yaml"), tmp_path)
    assert len(found) == 6


def test_only_names_patterns_and_what_they_need(expand, tmp_path):
    found = expand([{"name": "m"}, {"name": "g", "matrix": {"x": [1, 2]}, "needs": ["m"]}, {"name": "z"}])

    def chosen(*only, state=None, retry=False):
        return [arm.name for arm in plan.selected(found, state or State(), only, retry)]

    assert chosen() == ["m", "g/x=1", "g/x=2", "z"]
    assert chosen("g") == ["m", "g/x=1", "g/x=2"]
    assert chosen("*=2", "z") == ["m", "g/x=2", "z"]
    with pytest.raises(UserError, match=r"unknown arm for --only 'gg'"):
        chosen("gg")
    failed = State(arms={"g/x=2": ArmState(status="failed"), "z": ArmState(status="done")})
    assert chosen(state=failed, retry=True) == ["m", "g/x=2"]


def test_a_python_without_lmx_is_found_before_anything_starts(expand, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(UserError, match=r"arm a: its python .*python has no lmx\. Install it there"):
        plan.check_pythons(expand([{"name": "a", "python": str(script)}]))
    script.write_text("no program")
    os.chmod(script, 0o755)
    with pytest.raises(UserError, match=r"its python .* cannot be run"):
        plan.check_pythons(expand([{"name": "a", "python": str(script)}]))
