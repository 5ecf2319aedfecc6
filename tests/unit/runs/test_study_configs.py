"""The sweep files of the constraint study: every arm can be run, and arms differ in the method alone."""

import sys
from pathlib import Path

import pytest

from lmx_plugins.discovery import plugins_of
from lmx_runs.sweep.arms import expand
from lmx_runs.sweep.config import load

CONFIGS = Path(__file__).parents[3] / "configs"
STUDIES = sorted(str(path.relative_to(CONFIGS)) for path in CONFIGS.rglob("*study*.yaml"))
# What an arm's own method is made of; everything else must be the same in all arms of a study.
OWN = {"pretrained", "preset", "ar", "diffusion", "diffusion_method", "inner", "rounds", "answer_temperature"}
OWN |= {f"{part}{name}" for part in ("", "answer_", "draft_") for name in ("block_length", "threshold")}


def arms_of(name: str, tmp_path: Path):
    text = (CONFIGS / name).read_text()
    for placeholder in ("envs/plain/bin/python", "envs/flash/bin/python"):
        text = text.replace(placeholder, sys.executable)
    file = tmp_path / Path(name).name
    file.write_text(text)
    return expand(load(file), tmp_path)


@pytest.mark.parametrize("name", STUDIES)
def test_every_arm_is_a_model_of_ours(name, tmp_path):
    known = {plugin.name for plugin in plugins_of("models")}
    assert {arm.flags["model"] for arm in arms_of(name, tmp_path)} <= known


@pytest.mark.parametrize("name", ["tiny_study.yaml", "study/study_06b.yaml", "study/study_8b.yaml"])
def test_arms_differ_in_the_method_alone(name, tmp_path):
    def shared(arm):
        arguments = {key: value for key, value in arm.flags["model_args"].items() if key not in OWN}
        return {**arm.flags, "model": None, "model_args": arguments}

    first, *others = map(shared, arms_of(name, tmp_path))
    assert all(other == first for other in others)


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("tiny_study.yaml", ("wedlm", "mdlm", "bd3lm")),
        ("study/study_06b.yaml", ("mdlm", "bd3lm")),
        ("study/study_8b.yaml", ("wedlm",)),
    ],
)
def test_each_study_has_the_whole_matrix(name, methods, tmp_path):
    wanted = {"ar", "iterative_ar"}
    for method in methods:
        wanted |= {method, f"ar_to_{method}", f"{method}_to_ar", f"iterative_{method}"}
    assert {arm.name for arm in arms_of(name, tmp_path)} == wanted
