"""The code on docs/extend.md is run, and agrees with the package that the end-to-end tests install."""

import re
import sys
from pathlib import Path
from types import SimpleNamespace

import lm_eval.api.metrics
import lm_eval.api.registry as registries
import pytest
import yaml

from lmx_plugins.errors import UserError

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "tests" / "plugin_pkg"
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")


def block(language, containing):
    """Return the one code block of a language that holds some text."""
    blocks = [text for kind, text in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL) if kind == language]
    (found,) = [text for text in blocks if containing in text]
    return found


def run(code, monkeypatch, **names):
    space = {"__file__": str(PACKAGE / "lmx_example" / "tasks" / "data.py"), "__name__": "page"} | names
    exec(compile(code, "docs/extend.md", "exec"), space)
    return space


def test_the_first_plugin_is_short_and_works(monkeypatch):
    code = block("python", "class EchoLM")
    assert len([line for line in code.splitlines() if line.strip()]) <= 15
    model = run(code, monkeypatch)["EchoLM"].create_from_arg_string("shout=True", {"batch_size": 1})
    assert model.generate_until([SimpleNamespace(args=("abc", {}))]) == ["CBA"]


@pytest.mark.parametrize("group", ["models", "tasks", "metrics"])
def test_entry_points_agree_with_the_package(group):
    header = f'[project.entry-points."lm_eval.{group}"]'
    on_page = block("toml", header).split(header)[1].split("[")[0].strip()
    in_package = (PACKAGE / "pyproject.toml").read_text().split(header)[1].split("[")[0].strip()
    # Only the names of the distribution and its modules differ; the page's first plugin is one module.
    same = in_package.replace("lmx_example.model:", "lmx_example:")
    assert on_page == same.replace("lmx_example", "my_plugin").replace("lmx-example", "my-plugin")


def test_task_file_is_part_of_the_packages_own():
    class Loader(yaml.SafeLoader):
        pass

    Loader.add_multi_constructor("!", lambda loader, suffix, node: node.value)
    on_page = yaml.load(block("yaml", "task: backwards"), Loader)
    in_package = yaml.load((PACKAGE / "lmx_example" / "tasks" / "backwards.yaml").read_text(), Loader)
    assert on_page.pop("metric_list")[0] in in_package.pop("metric_list")
    assert on_page.items() <= in_package.items()


def test_data_is_read_wherever_the_package_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    data = run(block("python", "# data.py"), monkeypatch)["load"](version=1.0)
    assert len(data["test"]) == 4


def test_metric_registers_itself(monkeypatch):
    names = ("metric_registry", "metric_agg_registry", "higher_is_better_registry")
    for name in names:
        monkeypatch.setattr(getattr(registries, name), "_objs", dict(getattr(registries, name)._objs))
        getattr(registries, name)._objs.pop("vowel_share", None)
    metric = run(block("python", "@register_metric"), monkeypatch)["vowel_share"]
    assert metric([], ["aeiou"]) == 1.0
    assert registries.get_metric_aggregation("vowel_share") is lm_eval.api.metrics.mean


def test_error_example(monkeypatch):
    code = block("python", "unknown(")
    with pytest.raises(UserError) as error:
        run(code, monkeypatch)
    assert f"# lmx: error: {error.value}" in code
    assert sys.modules["lmx_plugins.errors"].UserError is UserError
