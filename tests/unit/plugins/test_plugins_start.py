"""The start-up file: it waits for lm_eval, costs no import, and cannot break Python's start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
START = (ROOT / "lmx_plugins" / "_start.py").read_text(encoding="utf-8")


def python(code, tmp_path, **env):
    """Run code in a process that site-packages' own start-up files do not reach (-S), after ours."""
    script = f"import sys; sys.path[:0] = {[str(tmp_path)]!r}\nexec({START!r})\n{code}"
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "LMX_NO_AUTOLOAD")}
    command = [sys.executable, "-S", "-c", script]
    return subprocess.run(command, capture_output=True, text=True, env=kept | env, cwd=tmp_path)


@pytest.fixture
def fake_lm_eval(tmp_path):
    """An lm_eval with the modules that the bridge prepares, each saying when it runs."""
    package = tmp_path / "lm_eval"
    for module in ("__init__", "models/__init__"):
        path = package / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"print('runs {module}')\n")
    return package


def fake_hooks(tmp_path, guards, bridge):
    """A stand-in for lmx_plugins with the real autoload and the given hook modules."""
    package = tmp_path / "lmx_plugins"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "autoload.py").write_text((ROOT / "lmx_plugins" / "autoload.py").read_text())
    (package / "guards.py").write_text(guards)
    (package / "bridge.py").write_text(bridge)


def test_start_imports_nothing_of_lmx(tmp_path):
    code = "print([m for m in sys.modules if 'lmx' in m], type(sys.meta_path[0]).__name__)"
    assert python(code, tmp_path).stdout.strip() == "[] WaitForLmEval"


@pytest.mark.parametrize(("value", "waits"), [("1", False), ("yes", False), ("0", True), ("", True)])
def test_no_autoload(tmp_path, value, waits):
    code = "print(any(type(f).__name__ == 'WaitForLmEval' for f in sys.meta_path))"
    assert python(code, tmp_path, LMX_NO_AUTOLOAD=value).stdout.strip() == str(waits)


def test_half_removed_lmx_leaves_lm_eval_alone(tmp_path, fake_lm_eval):
    done = python("import lm_eval.models; print('fine')", tmp_path)
    assert (done.stdout.split("\n")[-2], done.stderr, done.returncode) == ("fine", "", 0)


def test_hooks_run_after_their_module_and_once(tmp_path, fake_lm_eval):
    hook = "def {0}(module): print('after', module.__name__)\n"
    fake_hooks(tmp_path, hook.format("prepare"), hook.format("register_models"))
    done = python("import lm_eval.models, lm_eval", tmp_path)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "runs __init__",
        "after lm_eval",
        "runs models/__init__",
        "after lm_eval.models",
    ]


def test_failing_hook_only_warns(tmp_path, fake_lm_eval):
    fake_hooks(tmp_path, "def prepare(module): 1 / 0\n", "raise RuntimeError('half written')\n")
    done = python("import lm_eval.models; print('fine')", tmp_path)
    assert done.returncode == 0
    assert done.stdout.endswith("fine\n")
    assert "could not prepare lm_eval for plugins: ZeroDivisionError" in done.stderr
    assert "could not prepare lm_eval.models for plugins: RuntimeError('half written')" in done.stderr


def test_missing_lm_eval_is_still_a_plain_import_error(tmp_path):
    fake_hooks(tmp_path, "", "")
    done = python("import lm_eval", tmp_path)
    assert done.stderr.strip().endswith("ModuleNotFoundError: No module named 'lm_eval'")


def test_start_file_is_one_ascii_line():
    # hatch-autorun writes it with repr(); site reads it with the locale's encoding on older Pythons.
    assert START.isascii()
    assert "\n" not in repr(START)


def test_reading_the_file_twice_waits_once(tmp_path):
    code = f"exec({START!r})\nprint([type(f).__name__ for f in sys.meta_path].count('WaitForLmEval'))"
    assert python(code, tmp_path).stdout.strip() == "1"
