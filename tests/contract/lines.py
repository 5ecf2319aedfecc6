"""Which line of lm_eval is installed: 0.4, or 0.5 whose pre-releases are tested too."""

import importlib.metadata

from lm_eval.api.task import ConfigurableTask, Task

VERSION = importlib.metadata.version("lm_eval")
IS_0_4 = VERSION.startswith("0.4.")
IS_0_5 = VERSION.startswith("0.5.")
assert IS_0_4 or IS_0_5, f"lm_eval {VERSION} is of a line that lmx has not seen: pyproject.toml should not allow it"


def task_of(config):
    """Return a task of a configuration: 0.5 has a class for each kind, and its ConfigurableTask makes no requests."""
    return Task.from_config(config) if IS_0_5 else ConfigurableTask(config=config)
