"""The manifest of a run or an analysis: what a reader needs to believe its numbers, and to make them again."""

from __future__ import annotations

import importlib.metadata as metadata
import json
import os
import platform
import shlex
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil

from lmx_files import atomic
from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_files.reading import reason
from lmx_files.safety import git, secrets

PACKAGES = ("lmx-eval", "lm_eval", "torch", "transformers", "datasets", "accelerate", "tokenizers", "numpy", "vllm")
# Variables that change what a run does; never one that may hold a secret.
VARIABLES = "CUDA_VISIBLE_DEVICES OMP_NUM_THREADS OMP_WAIT_POLICY GOMP_SPINCOUNT KMP_BLOCKTIME"
VARIABLES += " HF_HUB_OFFLINE LMX_CACHE SLURM_JOB_ID SLURM_ARRAY_TASK_ID WORLD_SIZE"
ANALYSES = ("lmx-eval", "numpy", "pandas", "pyarrow", "scipy", "statsmodels")
"""What the numbers of an analysis of files depend on."""


def describe(
    arguments: Sequence[str], results: Mapping[str, Any], files: Mapping[str, Any], started: str, seconds: float
) -> dict[str, Any]:
    """Return the manifest of a finished run.

    Args:
        arguments: of `lmx run`.
        results: what lm_eval wrote.
        files: names of the run's files by kind, relative to the manifest; see `with_hashes`.
        started: local time with offset, ISO 8601. `seconds`: by a clock that is never set.
    """
    config = results.get("config", {})
    decoding = config.get("decoding") or {}
    return {
        "manifest": 1,
        "command": secrets.redact_text(shlex.join(["lmx", "run", *arguments])),
        "folder": str(Path.cwd()),
        "started": started,
        "seconds": round(seconds, 2),
        "texts_from_journal": decoding.get("texts_from_journal"),
        "seeds": {
            **{name: config.get(name) for name in ("random_seed", "numpy_seed", "torch_seed", "fewshot_seed")},
            "decoding_seed": decoding.get("seed"),
        },
        "versions": versions(),
        "git": git_state(Path.cwd()),
        "machine": machine(),
        "environment": {name: os.environ[name] for name in VARIABLES.split() if name in os.environ},
        "files": files,
    }


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    return versions_of(PACKAGES)


def versions_of(packages: Sequence[str]) -> dict[str, str]:
    """Return the versions of Python and of those packages that are installed."""
    found = {"python": platform.python_version()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def of_analysis(
    inputs: Mapping[str, str] | Iterable[Path],
    settings: Mapping[str, Any],
    seeds: Mapping[str, Any] | None = None,
    packages: Sequence[str] = ANALYSES,
) -> dict[str, Any]:
    """Return what a reader needs to believe an analysis of files, and to make it again.

    Args:
        inputs: the files that were read, or their hashes by path, see `hashes`.
        settings: all that the numbers depend on beside the files; secrets are left out.
        seeds: of random draws, by what they are for. packages: that the numbers depend on.

    Raises:
        UserError: an input cannot be read.
    """
    return {
        "inputs": dict(inputs) if isinstance(inputs, Mapping) else hashes(inputs),
        "settings": secrets.redact(dict(settings)),
        "seeds": dict(seeds or {}),
        "versions": versions_of(packages),
        "git": git_state(Path.cwd()),
        "machine": machine(),
    }


def hashes(paths: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, by its path."""
    return {str(path): sha256(path) for path in paths}


def git_state(folder: Path) -> dict[str, Any] | None:
    """Return commit, branch and whether files differ from the commit; None outside a repository."""

    repository = git.find(folder)
    found = git.head(repository) if repository else None
    if repository is None or found is None:
        return None
    return {"commit": found[0], "branch": found[1], "changed_files": git.changed_files(repository, found[0])}


def machine() -> dict[str, Any]:
    """Return what the run ran on."""
    torch = sys.modules.get("torch")  # a model that used a GPU has imported it
    gpus = []
    if torch is not None and torch.cuda.is_available():
        gpus = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "host": platform.node(),
        "system": platform.platform(),
        "cores": psutil.cpu_count(logical=False),
        "threads": psutil.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "gpus": gpus,
    }


def with_hashes(paths: Sequence[Path]) -> dict[str, str]:
    """Return the SHA-256 of each file, by its name."""
    return {path.name: sha256(path) for path in paths}


def write(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        atomic.write(path, json.dumps(manifest, indent=2, ensure_ascii=False) + "\n", sync=True)
    except OSError as error:
        why = f"the manifest {path} cannot be written: {reason(error)}"
        raise UserError(f"{why}. The run's other files are whole; make room and run again") from error
