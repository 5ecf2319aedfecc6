"""What lmx's plugin bridge relies on in lm_eval without lm_eval promising it.

A failure here means that lm_eval has changed under us; each message says what stops working in lmx. The
bridge is in `lmx_plugins/bridge.py`, `placeholder.py` and `guards.py`.
"""

import importlib
import importlib.metadata as metadata
import inspect
import subprocess
import sys

import pytest

from lmx_plugins import autoload, status
from tests.contract.lines import IS_0_4, IS_0_5

REGISTRIES = {
    "models": "model_registry",
    "metrics": "metric_registry",
    "filters": "filter_registry",
    "aggregations": "aggregation_registry",
}
OF_0_4 = ("metric_agg_registry", "higher_is_better_registry")


@pytest.fixture(scope="module")
def registries():
    import lm_eval.api.metrics
    import lm_eval.filters
    import lm_eval.models
    import lm_eval.tasks  # noqa: F401

    return importlib.import_module("lm_eval.api.registry")


@pytest.mark.parametrize("module", sorted(set(autoload.AFTER_IMPORT) - {"lm_eval.tasks.manager"}))
def test_hooked_modules_exist(module):
    assert importlib.util.find_spec(module), (
        f"lm_eval has no module {module} any more: the hook {autoload.AFTER_IMPORT[module]} never runs. "
        "Find where its contents went and change AFTER_IMPORT in lmx_plugins/autoload.py."
    )


def test_task_manager_is_in_a_hooked_module():
    from lm_eval.tasks import TaskManager

    assert TaskManager.__module__ in autoload.AFTER_IMPORT, (
        f"TaskManager is in {TaskManager.__module__} now: add that to AFTER_IMPORT, or plugins' tasks are not found."
    )


@pytest.mark.parametrize("name", [*(OF_0_4 if IS_0_4 else ()), *REGISTRIES.values()])
def test_registries(registries, name):
    registry = getattr(registries, name, None)
    assert registry is not None, f"lm_eval.api.registry.{name} is gone: its plugins are not registered."
    assert isinstance(registry._objs, dict), f"{name}._objs is no dict: collisions are no longer recognised."
    assert len(registry), f"{name} is empty after lm_eval's own modules ran: plugins would hide built-ins."


def test_what_a_metric_is(registries):
    has_settings_apart = [hasattr(registries, name) for name in OF_0_4]
    assert has_settings_apart == [IS_0_4] * 2, "see bridge.register_metrics"
    if IS_0_5:
        from lm_eval.api.metrics.metric import Metric

        metric = registries.metric_registry.get("exact_match")
        assert isinstance(metric, Metric)
        assert metric.output_type <= set(registries.DEFAULT_METRIC_REGISTRY), "a plain metric would fit no task."


def test_entry_points_are_placeholders(registries):
    registry = registries.Registry("contract")
    entry = metadata.EntryPoint("name", "json:JSONDecoder", "group")
    registry.register("name", target=entry)
    assert registry._objs["name"] is entry, "Registry.register imports an EntryPoint at once: not lazy."
    assert registry.get("name").__name__ == "JSONDecoder", "Registry.get does not load an EntryPoint."


def test_registering_another_object_under_a_name_is_refused(registries):
    registry = registries.Registry("contract")
    registry.register("name", target="json:loads")
    with pytest.raises(ValueError, match="already registered"):
        registry.register("name", target="json:dumps")


def test_placeholder_gives_way_to_the_decorated_object(registries):
    from lmx_plugins.discovery import Plugin
    from lmx_plugins.placeholder import placeholder

    registry = registries.Registry("contract")
    plugin = Plugin("metrics", "dumps", "json:dumps", "dist", "1")
    registry.register("dumps", target=placeholder(plugin, "lm_eval.metrics"))
    registry.register("dumps")(importlib.import_module("json").dumps)
    assert callable(registry._objs["dumps"]), (
        "Registry.register no longer compares the present entry with `!=`: a plugin with an entry point and a "
        "@register_ decorator collides with itself."
    )


def test_importing_models_first_matters(registries):
    source = inspect.getsource(registries.get_model)
    assert "len(model_registry) == 0" in source or hasattr(registries, "load_plugins"), (
        "get_model no longer imports lm_eval.models on an empty registry: check that our models are still "
        "registered after the built-in ones, whatever is imported first."
    )


def test_models_are_registered_without_importing_a_backend():
    code = (
        "import sys, lm_eval.models; from lm_eval.api.registry import model_registry as r; "
        "print('hf' in r, len(r) > 20, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["True", "True", "False"], (
        f"importing lm_eval.models no longer fills the registry lazily: {done.stdout}{done.stderr}"
    )


def test_model_mapping_holds_the_built_in_names(registries):
    from lm_eval.models import MODEL_MAPPING

    assert "hf" in MODEL_MAPPING, "lm_eval.models.MODEL_MAPPING no longer names the built-in models."


@pytest.mark.parametrize("kind", sorted(REGISTRIES))
def test_built_in_names_are_found_in_the_source(registries, kind):
    read = status.built_in_names(kind)
    # Plugins add to a registry but never to lm_eval's source.
    assert read, f"lmx_plugins.status finds no built-in {kind} in lm_eval's source any more."
    # lm_eval has a filter that it does not import; a plugin of that name would still get in its way.
    missing = read - set(getattr(registries, REGISTRIES[kind]).keys()) - {"decontaminate"}
    assert not missing, f"`lmx plugins` wrongly calls {kind} named {sorted(missing)} shadowed."


def test_known_releases_discover_nothing_themselves(registries):
    if metadata.version("lm_eval") in ("0.4.13", "0.5.0.dev1"):
        assert not hasattr(registries, "load_plugins"), "neither release that lmx was written for discovers plugins"


def test_task_manager_signature():
    from lm_eval.tasks.manager import TaskManager

    names = list(inspect.signature(TaskManager.__init__).parameters)
    assert names[:4] == ["self", "verbosity", "include_path", "include_defaults"], (
        f"TaskManager.__init__ takes {names}: the wrapper in lmx_plugins/bridge.py passes plugins' folders as "
        "include_path and must follow."
    )


def test_later_task_folders_win(tmp_path):
    from lm_eval.tasks.manager import TaskManager

    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "t.yaml").write_text("task: t\ndataset_path: json\n")
    folders = [str(tmp_path / "first"), str(tmp_path / "second")]
    manager = TaskManager(include_path=folders, include_defaults=False)
    index = manager.task_index if IS_0_4 else manager._task_index
    assert index["t"].yaml_path.parent.name == "second", (
        "the last include path no longer wins: built-in tasks or a user's own may lose to a plugin's."
    )


def test_override_warning_has_the_form_that_is_filtered(tmp_path, monkeypatch):
    import logging

    from lm_eval.tasks._index import TaskIndex

    (tmp_path / "t.yaml").write_text("task: t\ndataset_path: json\n")
    log = logging.getLogger("lm_eval.tasks._index")
    records = []
    monkeypatch.setattr(log, "filters", [lambda record: records.append(record) is not None])
    TaskIndex().build([tmp_path, tmp_path])
    assert records, "TaskIndex warns of overridden tasks no more: drop the filter in lmx_plugins/bridge.py."
    assert "overrides existing task" in str(records[-1].msg)
    assert [str(path) for path in records[-1].args[-2:]] == [str(tmp_path / "t.yaml")] * 2, (
        "the warning's last two arguments are not the two files any more: naming a folder twice makes noise."
    )
