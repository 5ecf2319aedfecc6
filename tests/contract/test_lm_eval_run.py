"""What `lmx run` and the journal rely on in lm_eval. A failure says what stops working in lmx."""

import argparse
import inspect
from types import SimpleNamespace

import pytest

from tests.contract.lines import IS_0_4


@pytest.fixture(scope="module")
def run_parser():
    from lm_eval._cli.run import Run

    commands = argparse.ArgumentParser().add_subparsers(dest="command")
    Run.create(commands)
    return commands.choices["run"]


def test_the_run_command_brings_its_own_parser(run_parser):
    given = vars(run_parser.parse_args(["--tasks", "a,b", "c"]))
    missing = {"config", "tasks", "model", "model_args", "output_path", "include_path"} - set(given)
    assert not missing, f"lm_eval's run takes no {missing} any more: lmx run reads them before the run."
    assert given["output_path"] is None, "a default output path would hide lmx run's own."


def test_the_run_command_takes_a_namespace():
    from lm_eval._cli.run import Run

    assert isinstance(inspect.getattr_static(Run, "_execute"), staticmethod)
    assert list(inspect.signature(Run._execute).parameters) == ["args"]


def test_unknown_tasks_are_refused_before_anything_is_loaded(monkeypatch):
    """0.4: where it reads the configuration. 0.5: where it loads tasks. `lmx run` has looked before that."""
    from lm_eval.config.evaluate_config import EvaluatorConfig

    from lmx_plugins import bridge
    from lmx_runs.run import _mistake

    monkeypatch.setattr(bridge, "with_built_in_tasks", False)
    config = EvaluatorConfig(tasks=["no_such_task"])
    with pytest.raises((ValueError, KeyError), match="no_such_task") as error:
        config.process_tasks().load(config.tasks)
    assert error.type is (ValueError if IS_0_4 else KeyError)
    assert _mistake(error.value, SimpleNamespace(model="ar")), "lmx run shows this mistake with a traceback."


def test_likelihoods_are_handed_to_the_cache_hook_one_by_one():
    from lm_eval.models.huggingface import HFLM

    for method in (HFLM._loglikelihood_tokens, HFLM.loglikelihood_rolling):
        assert "self.cache_hook.add_partial(" in inspect.getsource(method), (
            f"HFLM.{method.__name__} no longer reports each result: likelihoods are not journaled while they are made."
        )
