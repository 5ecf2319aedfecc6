"""Guided decoding as a method: its policies, of lmx and of users, and the oracle beside the default base."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import inspect
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lmx_files import jsonl
from lmx_files.errors import UserError
from lmx_models.core.base import Decoding
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.policies import POLICIES, Policy, PolicyConfig, calibrate
from lmx_models.harness.decoder_lm import DEFAULT_MODEL
from lmx_models.methods.method import Method
from lmx_models.methods.weights import Weights
from lmx_models.records.fingerprint import file_identity
from lmx_models.records.traces import RunStatistics, ratio
from lmx_models.settings.arguments import build
from lmx_models.settings.requests import Request
from lmx_models.zoo import catalogue

DEFAULT_ORACLE = "smollm2-360m"


def start(request: Request, weights: Mapping[str, Weights], **handover: Any) -> Decoding:
    """Return the decoder of one text. `handover`: arguments of `guided` for models on servers or of two families."""
    config: GuidedConfig = build(GuidedConfig, request.values)
    return guided(
        request.prompt,
        config,
        policy_of(build(PolicyConfig, request.values), config.k),
        request.sampling,
        request.stopping,
        request.rng("sample"),
        request.rng("policy"),
        **handover,
    )


def policy_of(config: PolicyConfig, k: float) -> Policy:
    """Return the policy of one text: made anew, or the user's own function.

    Raises:
        UserError: the user's own cannot be imported, or the calibration file cannot be read or holds no signal.
    """
    if config.policy not in POLICIES:
        return _import_policy(config.policy)
    if config.policy == "quantile" and config.threshold is None:
        config = dataclasses.replace(config, threshold=_calibrated(config, k)[0])
    return POLICIES[config.policy](config)


def _import_policy(path: str) -> Policy:
    module, _, name = path.partition(":")
    try:
        policy = getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the user's module does
        raise UserError(f"policy={path!r} cannot be imported ({error}): name it module:callable") from error
    if not callable(policy):
        raise UserError(f"policy={path!r} is not callable: it must take a Point and return a bool")
    return policy


def _calibrated(config: PolicyConfig, k: float) -> tuple[float, int]:
    """Return the threshold that a calibration file gives, and from how many values."""
    path = str(config.calibration)  # PolicyConfig sees to it that there is one
    try:
        stat = os.stat(path)
    except OSError as error:
        raise UserError(f"cannot read calibration={path}: {error.strerror or error}") from error
    return _threshold(path, stat.st_size, stat.st_mtime_ns, config.signal, config.share, k)


@functools.cache
def _threshold(path: str, _size: int, _modified: int, signal: str, share: float, k: float) -> tuple[float, int]:
    values = _read_signal(Path(path), signal)
    return calibrate(values, signal, share, k), len(values)


def _read_signal(path: Path, signal: str) -> list[float]:
    """Read the values of `signal` that a run with ``record=<signal>`` left in its traces file."""
    values: list[float] = []
    for number, line in jsonl.numbered(path, "a traces file", last="skip"):
        try:
            recorded = line["trace"]["extra"].get("signal", {"name": signal, "values": []})
            if recorded["name"] == signal:
                values.extend(float(value) for _, value in recorded["values"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"calibration={path}, line {number}: not a line of a traces file ({error!r})") from error
    return values


def _identity(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a policy's name or file stands for: the content of the user's code and of the calibration."""
    config: PolicyConfig = build(PolicyConfig, values)
    files = [config.calibration]
    if config.policy not in POLICIES:
        files.append(_source_of(config.policy))
    return {"policy_files": [file_identity(file) for file in files if file]}


def _source_of(path: str) -> str | None:
    """Return the file of a policy; of an object that is no function, the file of the module that it is named in."""
    policy = _import_policy(path)
    try:
        return inspect.getsourcefile(inspect.unwrap(policy))
    except TypeError:
        return inspect.getsourcefile(importlib.import_module(path.partition(":")[0]))


def _notes(values: Mapping[str, Any]) -> Sequence[str]:
    config: PolicyConfig = build(PolicyConfig, values)
    if config.policy != "quantile" or config.threshold is not None:
        return ()
    threshold, n = _calibrated(config, build(GuidedConfig, values).k)
    return (f"quantile: threshold {threshold:.4f} on {config.signal} from {n} values",)


def _counts(extra: Mapping[str, Any]) -> Mapping[str, int]:
    return {"consultations": len(extra["consultations"])} if "consultations" in extra else {}


def _summary(run: RunStatistics) -> Mapping[str, Any]:
    """Return consultations and the oracle's share of the tokens, unless it was neither asked nor wrote."""
    consultations = run.counts.get("consultations", 0)
    if not consultations and "oracle" not in run.by_source:
        return {}
    return {"consultations": consultations, "oracle_share": ratio(run.by_source.get("oracle", 0), run.kept)}


def _importable(weights: Mapping[str, Weights], values: Mapping[str, Any]) -> None:
    """Refuse a policy of the user's own that is not there, before a text is begun."""
    config: PolicyConfig = build(PolicyConfig, values)
    if config.policy not in POLICIES:
        _import_policy(config.policy)


def _oracle_beside(base: Any) -> tuple[str, str | None] | None:
    """Return the oracle of the default base, with a note if it is not what was wished for; another base has none."""
    if base != DEFAULT_MODEL:
        return None
    if catalogue.available(DEFAULT_ORACLE):
        return DEFAULT_ORACLE, None
    return DEFAULT_MODEL, (
        f"the oracle {DEFAULT_ORACLE} is neither cached nor reachable: the oracle is {DEFAULT_MODEL} itself, decoded "
        "greedily. Scores show the method at work, not what a larger oracle brings"
    )


GUIDED = Method(
    "guided",
    start,
    ("base", "oracle"),
    (GuidedConfig, PolicyConfig),
    models={"oracle": _oracle_beside},
    fit=_importable,
    identity=_identity,
    notes=_notes,
    counts=_counts,
    summary=_summary,
)
