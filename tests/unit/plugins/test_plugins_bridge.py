"""Handing plugins to lm_eval's registries and task manager, against the lm_eval that is installed."""

import logging
import sys

import lm_eval.api.metrics
import lm_eval.api.registry as registries
import lm_eval.filters
import lm_eval.models
import pytest
from lm_eval.tasks import manager

from lmx_files.errors import UserError
from lmx_plugins import bridge, discovery
from lmx_plugins.discovery import Plugin

METRIC = """
from lm_eval.api.registry import register_metric
@register_metric(metric="lmx_test_metric", higher_is_better=False, aggregation="mean")
def metric(references, predictions): return 1.0
"""
NAMES = ["model", "metric", "metric_agg", "higher_is_better", "aggregation", "filter"]
REGISTRIES = [name for name in NAMES if hasattr(registries, f"{name}_registry")]
of_0_4 = pytest.mark.skipif(
    "metric_agg" not in REGISTRIES, reason="lm_eval 0.5 keeps a metric's settings in the metric"
)


@pytest.fixture(autouse=True)
def _old_lm_eval(monkeypatch):
    """Keep lm_eval's registries as they were, and make it one that discovers nothing itself."""
    before = {name: dict(getattr(registries, f"{name}_registry")._objs) for name in REGISTRIES}
    monkeypatch.delattr(registries, "load_plugins", raising=False)
    yield
    for name, objects in before.items():
        getattr(registries, f"{name}_registry")._objs = objects
    registries._materialise_placeholder.cache_clear()


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Install plugins of one kind whose code is given."""

    def install(kind, name, source, target="lmx_test_plugin:{name}"):
        (tmp_path / "lmx_test_plugin.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, "lmx_test_plugin", raising=False)
        found = Plugin(kind, name, target.format(name=name), "test-dist", "1.0")
        monkeypatch.setattr(discovery, "find_plugins", lambda: (found,))
        return found

    return install


def test_model_is_lazy_and_may_carry_its_decorator(installed):
    installed(
        "models",
        "lmx_test_model",
        "from lm_eval.api.model import LM\nfrom lm_eval.api.registry import register_model\n"
        "@register_model('lmx_test_model')\nclass Model(LM):\n    pass\n",
        "lmx_test_plugin:Model",
    )
    bridge.register_models(sys)
    assert "lmx_test_plugin" not in sys.modules
    assert registries.get_model("lmx_test_model").__name__ == "Model"
    assert registries.get_model("lmx_test_model") is sys.modules["lmx_test_plugin"].Model


def test_broken_model_fails_only_when_asked_for(installed):
    installed("models", "lmx_test_model", "raise RuntimeError('boom')")
    bridge.register_models(sys)
    with pytest.raises(UserError, match=r"'lmx_test_model' of test-dist 1\.0 cannot be loaded.*boom"):
        registries.get_model("lmx_test_model")


def test_built_in_wins_with_a_warning(installed, caplog):
    before = registries.model_registry._objs["hf"]
    installed("models", "hf", "")
    bridge.register_models(lm_eval.models)
    assert registries.model_registry._objs["hf"] is before
    assert "left out models plugin 'hf' of test-dist 1.0" in caplog.text


def test_registering_twice_is_silent(installed, caplog):
    installed("models", "lmx_test_model", "class lmx_test_model: pass")
    bridge.register_models(sys)
    bridge.register_models(sys)
    registries.model_registry.get("lmx_test_model")
    bridge.register_models(sys)
    assert caplog.text == ""


@of_0_4
@pytest.mark.parametrize("first", ["get_metric", "is_higher_better", "get_metric_aggregation"])
def test_metric_settings_come_from_its_decorator_whatever_is_asked_first(installed, first):
    installed("metrics", "lmx_test_metric", METRIC, "lmx_test_plugin:metric")
    bridge.register_metrics(lm_eval.api.metrics)
    assert "lmx_test_plugin" not in sys.modules
    getattr(registries, first)("lmx_test_metric")
    assert registries.get_metric("lmx_test_metric") is sys.modules["lmx_test_plugin"].metric
    assert registries.is_higher_better("lmx_test_metric") is False
    assert registries.get_metric_aggregation("lmx_test_metric") is registries.get_aggregation("mean")


@of_0_4
def test_metric_re_exported_from_another_module(installed, tmp_path):
    (tmp_path / "lmx_test_inner.py").write_text(METRIC)
    installed("metrics", "lmx_test_metric", "from lmx_test_inner import metric", "lmx_test_plugin:metric")
    bridge.register_metrics(lm_eval.api.metrics)
    assert registries.is_higher_better("lmx_test_metric") is False
    del sys.modules["lmx_test_inner"]


@of_0_4
def test_metric_without_decorator_has_no_settings(installed):
    installed("metrics", "plain", "def plain(references, predictions): return 0.0")
    bridge.register_metrics(lm_eval.api.metrics)
    assert registries.get_metric("plain")([], []) == 0.0
    assert registries.is_higher_better("plain") is None
    assert registries.get_metric_aggregation("plain") is None


def test_filters_and_aggregations(installed):
    installed("aggregations", "lmx_test_total", "lmx_test_total = sum")
    bridge.register_metrics(lm_eval.api.metrics)
    assert registries.get_aggregation("lmx_test_total")([1, 2]) == 3
    installed("filters", "lmx_test_filter", "class lmx_test_filter: pass")
    bridge.register_filters(sys)
    assert registries.get_filter("lmx_test_filter").__name__ == "lmx_test_filter"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """Three folders with a task `shared` each and one of their own, and a TaskManager that knows them."""
    made = {}
    for name in ("built_in", "plugin", "user"):
        made[name] = tmp_path / name
        made[name].mkdir()
        for task in ("shared", f"of_{name}"):
            (made[name] / f"{task}.yaml").write_text(f"task: {task}\ndataset_path: json\n")
    owner = Plugin("tasks", "p", "x", "d", "1")
    monkeypatch.setattr(discovery, "all_task_folders", lambda: ((owner, made["plugin"].resolve()),))

    class Manager(manager.TaskManager):
        pass

    plain = getattr(manager.TaskManager.__init__, "__wrapped__", manager.TaskManager.__init__)
    monkeypatch.setattr(Manager, "__init__", bridge._with_plugin_folders(plain, made["built_in"]))
    log = logging.getLogger("lm_eval.tasks._index")
    log.addFilter(bridge._not_the_same_file)
    yield made, Manager
    log.removeFilter(bridge._not_the_same_file)


def source_of(made, task_manager, task):
    index = getattr(task_manager, "_task_index", None) or task_manager.task_index
    path = str(index[task].yaml_path)
    return next(name for name, folder in made.items() if path.startswith(str(folder)))


def test_plugin_tasks_are_there_and_lose_to_built_in_ones(folders):
    made, manager_class = folders
    tasks = manager_class()
    assert {"of_built_in", "of_plugin"} <= set(tasks.all_tasks)
    assert source_of(made, tasks, "shared") == "built_in"


@pytest.mark.parametrize("form", [str, lambda path: path, lambda path: [path], lambda path: (str(path),)])
def test_the_users_include_path_wins(folders, form):
    made, manager_class = folders
    tasks = manager_class(include_path=form(made["user"]))
    assert source_of(made, tasks, "shared") == "user"
    assert {"of_built_in", "of_plugin", "of_user"} <= set(tasks.all_tasks)
    assert tasks.include_path == form(made["user"])


def test_without_defaults_plugins_remain(folders):
    made, manager_class = folders
    tasks = manager_class(include_defaults=False)
    assert source_of(made, tasks, "shared") == "plugin"
    assert "of_built_in" not in tasks.all_tasks


@pytest.mark.full
def test_naming_a_plugins_folder_again_makes_no_noise(folders, monkeypatch, caplog):
    made, manager_class = folders
    monkeypatch.setattr(logging.getLogger("lm_eval"), "propagate", True)
    (made["plugin"] / "shared.yaml").unlink()
    for again in (made["plugin"], made["plugin"].parent / "user" / ".." / "plugin"):
        manager_class(include_path=str(again))
    sub = made["plugin"] / "sub"
    sub.mkdir()
    (sub / "deep.yaml").write_text("task: deep\ndataset_path: json\n")
    tasks = manager_class(include_path=str(sub))
    assert "deep" in tasks.all_tasks
    assert "overrides" not in caplog.text
