"""An lm_eval that finds plugins by itself, as its pull requests 4013 and 4014 (merged) and 4015 (tasks, open) do it.

Both orders are tried: lm_eval looks for plugins when a name is first asked for, and may do so when it is imported.
"""

import importlib.metadata
import logging
import sys
from pathlib import Path

import lm_eval.api.metrics
import lm_eval.api.registry as registries
import lm_eval.filters
import lm_eval.models
import pytest
from lm_eval.tasks import manager

from lmx_files.errors import UserError
from lmx_plugins import bridge, discovery
from lmx_plugins.discovery import Plugin
from lmx_runs import fast_start

NAMES = ["model", "metric", "metric_agg", "higher_is_better", "aggregation", "filter"]
REGISTRIES = [f"{name}_registry" for name in NAMES if hasattr(registries, f"{name}_registry")]
MODEL = """
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
@register_model("lmx_test_model")
class Model(LM):
    pass
"""
METRIC = """
from lm_eval.api.registry import register_metric
@register_metric(metric="lmx_test_metric", higher_is_better=False, aggregation="mean", output_type="generate_until")
def metric(references, predictions): return 1.0
"""
ORDERS = pytest.mark.parametrize("lm_eval_first", [True, False])


@pytest.fixture(autouse=True)
def _registries(monkeypatch):
    """Give lm_eval its `load_plugins`, which registers entry points whose names are free, and clean up afterwards."""
    before = {name: dict(getattr(registries, name)._objs) for name in REGISTRIES}

    def load_plugins(group, registry):
        for entry in entries(group):
            if entry.name not in registry:
                registry.register(entry.name, target=entry)

    def entries(group):
        found = [plugin for plugin in discovery.find_plugins() if discovery.GROUPS[plugin.kind] == group]
        return [importlib.metadata.EntryPoint(plugin.name, plugin.target, group) for plugin in found]

    monkeypatch.setattr(registries, "load_plugins", load_plugins, raising=False)
    yield
    for name, objects in before.items():
        getattr(registries, name)._objs = objects
    registries._materialise_placeholder.cache_clear()


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install a plugin with the given code and let it be found, by lm_eval or by lmx first."""

    def install(lm_eval_first, kind, name, target, source=""):
        (tmp_path / "lmx_test_plugin.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "lmx_test_plugin", raising=False)
        monkeypatch.setattr(discovery, "find_plugins", lambda: (Plugin(kind, name, target, "test-dist", "1.0"),))
        registry = getattr(registries, f"{kind.removesuffix('s')}_registry")
        ours = {
            "models": bridge.register_models,
            "metrics": bridge.register_metrics,
            "aggregations": bridge.register_metrics,
            "filters": bridge.register_filters,
        }[kind]
        steps = [
            lambda: registries.load_plugins(discovery.GROUPS[kind], registry),
            lambda: ours(lm_eval.api.metrics if kind in ("metrics", "aggregations") else sys),
        ]
        for step in steps if lm_eval_first else reversed(steps):
            step()
        return registry

    return install


@ORDERS
def test_a_model_is_registered_once_and_lazily(installed, lm_eval_first, caplog):
    registry = installed(lm_eval_first, "models", "lmx_test_model", "lmx_test_plugin:Model", MODEL)
    assert [name for name in registry if name == "lmx_test_model"] == ["lmx_test_model"]
    assert "lmx_test_plugin" not in sys.modules
    assert registries.get_model("lmx_test_model") is sys.modules["lmx_test_plugin"].Model
    assert caplog.text == ""


@ORDERS
@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("lmx_test_plugin:Model", "RuntimeError: boom"),
        ("lmx_no_such_package:Model", "there is no module 'lmx_no_such_package'"),
        ("lmx_test_plugin", "names a module, not an object"),
        ("not a target", "not of the form"),
    ],
)
def test_a_broken_plugin_is_one_clear_line_and_only_when_asked_for(installed, lm_eval_first, target, why):
    installed(lm_eval_first, "models", "lmx_test_model", target, "raise RuntimeError('boom')")
    assert registries.get_model("hf").__name__ == "HFLM"
    with pytest.raises(UserError, match=r"'lmx_test_model' of test-dist 1\.0 cannot be loaded") as error:
        registries.get_model("lmx_test_model")
    assert why in str(error.value)
    assert "\n" not in str(error.value)


@ORDERS
def test_a_built_in_name_is_kept_and_not_silently(installed, lm_eval_first, caplog):
    before = registries.model_registry._objs["hf"]
    registry = installed(lm_eval_first, "models", "hf", "lmx_test_plugin:Model", MODEL)
    assert registry._objs["hf"] is before
    assert "left out models plugin 'hf' of test-dist 1.0" in caplog.text


@ORDERS
def test_a_metric_brings_its_settings(installed, lm_eval_first, caplog):
    registry = installed(lm_eval_first, "metrics", "lmx_test_metric", "lmx_test_plugin:metric", METRIC)
    assert "lmx_test_plugin" not in sys.modules
    if "metric_agg_registry" in REGISTRIES:
        assert registries.is_higher_better("lmx_test_metric") is False
        assert registries.get_metric("lmx_test_metric")([], []) == 1.0
    else:
        metric = registry.get("lmx_test_metric")
        assert (metric.higher_is_better, metric.aggregation) == (False, lm_eval.api.metrics.mean)
        assert metric.fn([""], ["a"]) == [1.0]
    assert caplog.text == ""


@ORDERS
@pytest.mark.parametrize("kind", ["filters", "aggregations"])
def test_filters_and_aggregations(installed, lm_eval_first, kind):
    registry = installed(lm_eval_first, kind, "lmx_test_thing", "lmx_test_plugin:thing", "def thing(values): return 3")
    assert registry.get("lmx_test_thing")([]) == 3


@pytest.fixture
def task_manager(tmp_path, monkeypatch):
    """Return the folders by whose they are, and a TaskManager that searches its own, the plugins', and the user's."""
    made = {}
    for name in ("built_in", "plugin", "computed", "user"):
        made[name] = tmp_path / name
        made[name].mkdir()
        for task in ("shared", f"of_{name}"):
            (made[name] / f"{task}.yaml").write_text(f"task: {task}\ndataset_path: json\n")
    (made["user"] / "shared.yaml").unlink()
    (tmp_path / "lmx_test_tasks.py").write_text(f"def where(): return {str(made['computed'])!r}")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "lmx_test_tasks", raising=False)
    plugins = (
        Plugin("tasks", "a", "plugin", "d", "1"),
        Plugin("tasks", "b", "lmx_test_tasks:where", "d", "1"),
        Plugin("tasks", "c", "lmx_no_such_package.tasks", "bad-dist", "2.0"),
    )
    monkeypatch.setattr(discovery, "find_plugins", lambda: plugins)
    discovery.all_task_folders.cache_clear()
    plain = getattr(manager.TaskManager.__init__, "__wrapped__", manager.TaskManager.__init__)

    def discovering(self, verbosity=None, include_path=None, include_defaults=True, metadata=None):
        asked = list(include_path) if isinstance(include_path, list | tuple) else [include_path]
        own = [made["built_in"]] if include_defaults else []
        plain(self, verbosity, [str(path) for path in [*own, made["plugin"], *asked] if path], False, metadata)

    class Manager(manager.TaskManager):
        pass

    monkeypatch.setattr(Manager, "__init__", bridge._with_plugin_folders(discovering, made["built_in"]))
    log = logging.getLogger("lm_eval.tasks._index")
    log.addFilter(bridge._not_the_same_file)
    yield made, Manager
    log.removeFilter(bridge._not_the_same_file)
    discovery.all_task_folders.cache_clear()


def home_of(tasks, name):
    index = getattr(tasks, "_task_index", None) or tasks.task_index
    return Path(index[name].yaml_path).parent.name


def test_tasks_of_all_plugins_are_found_and_built_in_ones_win(task_manager):
    _, manager_class = task_manager
    tasks = manager_class()
    assert {"of_built_in", "of_plugin", "of_computed"} <= set(tasks.all_tasks)
    assert tasks.all_tasks.count("of_plugin") == 1
    assert home_of(tasks, "shared") == "built_in"


def test_the_users_folder_wins_over_both(task_manager):
    made, manager_class = task_manager
    (made["user"] / "shared.yaml").write_text("task: shared\ndataset_path: json\n")
    assert home_of(manager_class(include_path=[str(made["user"])]), "shared") == "user"


def test_a_broken_tasks_plugin_is_one_line(task_manager, caplog):
    _, manager_class = task_manager
    assert "of_plugin" in manager_class().all_tasks
    (line,) = [record.getMessage() for record in caplog.records if "bad-dist" in record.getMessage()]
    assert "left out tasks plugin 'c' of bad-dist 2.0: there is no module 'lmx_no_such_package'" in line


def test_a_folder_that_both_find_makes_no_noise(task_manager, monkeypatch, caplog):
    made, manager_class = task_manager
    for name in ("plugin", "computed"):
        (made[name] / "shared.yaml").unlink()
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    manager_class()
    assert "overrides" not in caplog.text


def test_the_fast_start_leaves_built_in_tasks_out(task_manager, monkeypatch):
    _, manager_class = task_manager
    monkeypatch.setattr(bridge, "with_built_in_tasks", True)
    assert fast_start.skip_built_in_tasks(["of_plugin", "of_computed"])
    tasks = manager_class()
    assert {"of_plugin", "of_computed"} <= set(tasks.all_tasks)
    assert "of_built_in" not in tasks.all_tasks
    monkeypatch.setattr(bridge, "with_built_in_tasks", True)
    assert not fast_start.skip_built_in_tasks(["of_built_in"])
    assert "of_built_in" in manager_class().all_tasks


def test_a_task_manager_of_another_form_is_left_alone():
    def init(self, folders):
        pass

    with pytest.raises(TypeError, match="TaskManager takes self, folders; tasks of plugins need --include_path"):
        bridge._with_plugin_folders(init, Path("."))
