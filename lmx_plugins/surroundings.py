"""What lm_eval asks its surroundings for the results file: the current folder's commit, and this machine's programs.

It starts git, in whatever repository the folder is, and through torch a dozen programs, ``python -m pip`` among them,
which looks for modules in the current folder.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any


def guard_surroundings(module: ModuleType) -> None:
    """Let lm_eval read the commit and start nothing for it; runs after lm_eval's module of logging helpers."""
    module.get_git_commit_hash = lambda: _commit(".")  # type: ignore[attr-defined]
    module.get_commit_from_path = _commit  # type: ignore[attr-defined]
    module.add_env_info = _from_nowhere(module.add_env_info)  # type: ignore[attr-defined]


def _commit(folder: str | Path) -> str | None:
    from lmx_files.safety import git

    return git.commit(Path(os.path.realpath(folder)))


def _from_nowhere(original: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(original)
    def add_env_info(storage: Any) -> None:
        try:
            collect_env = importlib.import_module("torch.utils.collect_env")
        except ImportError:
            return original(storage)
        ask = collect_env.get_pretty_env_info

        def asked() -> str:
            with _empty_folder():
                return ask()

        collect_env.get_pretty_env_info = asked  # type: ignore[attr-defined]
        try:
            return original(storage)
        finally:
            collect_env.get_pretty_env_info = ask  # type: ignore[attr-defined]

    return add_env_info


@contextlib.contextmanager
def _empty_folder() -> Iterator[None]:
    """Make an empty folder the current one for a while, so that children find no modules in it."""
    before, path = os.getcwd(), os.environ.get("PYTHONSAFEPATH")
    with tempfile.TemporaryDirectory(prefix="lmx-empty-") as folder:
        os.environ["PYTHONSAFEPATH"] = "1"
        os.chdir(folder)
        try:
            yield
        finally:
            os.chdir(before)
            if path is None:
                del os.environ["PYTHONSAFEPATH"]
            else:
                os.environ["PYTHONSAFEPATH"] = path
