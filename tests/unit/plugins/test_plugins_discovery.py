"""Finding plugins: entry points of any quality, task folders in every form, and who shadows whom."""

import logging
import sys

import pytest

from lmx_files.errors import UserError
from lmx_plugins import discovery, status
from lmx_plugins.discovery import Plugin


def plugin(kind="models", name="p", target="json:JSONDecoder", distribution="dist", version="1.0"):
    return Plugin(kind, name, target, distribution, version)


@pytest.fixture
def installed(monkeypatch):
    """Pretend that just these plugins are installed."""

    def install(*plugins):
        monkeypatch.setattr(discovery, "find_plugins", lambda: plugins)
        monkeypatch.setattr(status, "find_plugins", lambda: plugins)
        discovery.all_task_folders.cache_clear()

    yield install
    discovery.all_task_folders.cache_clear()


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write an importable module and forget it afterwards."""

    def write(name, source):
        (tmp_path / f"{name}.py").write_text(source)
        monkeypatch.syspath_prepend(str(tmp_path))
        monkeypatch.delitem(sys.modules, name, raising=False)
        return tmp_path

    return write


@pytest.mark.parametrize(
    ("kind", "target", "fault"),
    [
        ("models", "json:JSONDecoder", None),
        ("tasks", "json", None),
        ("models", "json", "not an object in it"),
        ("models", "not a module:x", "not of the form"),
        ("models", "json:", "not of the form"),
        ("tasks", "", "not of the form"),
        ("models", "no_such_module_here.sub:X", "no module 'no_such_module_here'"),
    ],
)
def test_faults_are_seen_without_importing(kind, target, fault):
    found = discovery.fault_of(plugin(kind, target=target))
    assert found is None if fault is None else fault in found


def test_faulty_plugins_are_left_out_with_a_warning_that_names_them(installed, caplog):
    good = plugin(name="good")
    installed(good, plugin(name="bad", target="no_such_module_here:X", distribution="bad-dist"))
    assert discovery.plugins_of("models") == [good]
    assert "'bad' of bad-dist 1.0" in caplog.text


@pytest.mark.parametrize("source", ["raise RuntimeError('boom')", "import no_such_module_here", "x = 1"])
def test_loading_a_broken_plugin_says_whose_it_is(module, source):
    module("lmx_test_broken", source)
    with pytest.raises(UserError, match=r"'p' of dist 1\.0 cannot be loaded.*pip uninstall dist"):
        discovery.load(plugin(target="lmx_test_broken:Thing"))


def test_load_follows_attributes():
    assert discovery.load(plugin(target="json.decoder:JSONDecoder.decode")).__name__ == "decode"


@pytest.mark.parametrize("form", ["str(here)", "here", "[here]", "lambda: here", "lambda: [str(here)]"])
def test_task_folders_of_every_form(module, form):
    folder = module("lmx_test_tasks", f"from pathlib import Path\nhere = Path(__file__).parent\nwhere = {form}\n")
    assert discovery.task_folders(plugin("tasks", target="lmx_test_tasks:where")) == [folder.resolve()]


def test_task_package_is_not_imported(module, tmp_path):
    module("unused", "")
    inner = tmp_path / "lmx_test_package" / "tasks"
    inner.mkdir(parents=True)
    (tmp_path / "lmx_test_package" / "__init__.py").write_text("raise RuntimeError('imported')")
    assert discovery.task_folders(plugin("tasks", target="lmx_test_package.tasks")) == [inner.resolve()]


def test_task_folders_that_are_not_there(installed, caplog):
    installed(plugin("tasks", target="json.no_such_folder"))
    assert discovery.all_task_folders() == ()
    assert "there is no folder" in caplog.text


def test_one_broken_tasks_plugin_does_not_hide_the_others(installed, module, caplog):
    folder = module("lmx_test_boom", "raise RuntimeError('boom')")
    (folder / "lmx_test_good").mkdir()
    good = plugin("tasks", "good", "lmx_test_good")
    installed(plugin("tasks", "broken", "lmx_test_boom:f"), good)
    with caplog.at_level(logging.WARNING):
        assert discovery.all_task_folders() == ((good, (folder / "lmx_test_good").resolve()),)
    assert "boom" in caplog.text


def test_status_of_shadowed_and_broken_plugins(installed, module):
    module("lmx_test_raises", "raise RuntimeError('boom')")
    plugins = (
        plugin(name="hf"),
        plugin(name="twice", distribution="a"),
        plugin(name="twice", distribution="b"),
        plugin(name="raises", target="lmx_test_raises:X"),
        plugin(name="gone", target="no_such_module_here:X"),
        plugin("metrics", "exact_match"),
        plugin("tasks", "hf", "json"),
    )
    installed(*plugins)
    unchecked = {(p.name, p.distribution, p.kind): s.text for p, s in status.statuses()}
    assert unchecked["hf", "dist", "models"] == "shadowed by built-in"
    assert unchecked["hf", "dist", "tasks"] == "ok"
    assert unchecked["twice", "b", "models"] == "shadowed by a"
    assert unchecked["raises", "dist", "models"] == "ok"
    assert unchecked["gone", "dist", "models"].startswith("broken: there is no module")
    assert unchecked["exact_match", "dist", "metrics"] == "shadowed by built-in"
    checked = {p.name: s for p, s in status.statuses(check=True)}
    assert checked["raises"].broken
    assert "boom" in checked["raises"].text


def test_real_environment_is_listed_without_importing_anything():
    before = set(sys.modules)
    discovery.find_plugins.cache_clear()
    names = {p.name for p in discovery.find_plugins() if p.kind == "models"}
    assert not {m for m in set(sys.modules) - before if m.startswith(("lmx_models", "torch", "lm_eval"))}
    if any(p.distribution == "lmx-eval" for p in discovery.find_plugins()):
        assert {"ar", "guided", "scripted"} <= names
