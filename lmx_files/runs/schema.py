"""What is read of a results file and of a manifest: the types that every reader may rely on.

Fields that are not named here are kept as they are. lm_eval's own files have more than these; other versions of it
leave some out, or write null for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, ValidationError

from lmx_files.errors import UserError

LARGEST = 1 << 62
"""What is counted is below this."""


def _or_empty(value: Any) -> Any:
    return {} if value is None else value


def _count(value: Any) -> Any:
    """Take a whole number that lm_eval wrote as a float (``--limit`` was one); no text and no truth value."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError("a whole number is needed")
    return value


Count = Annotated[int, BeforeValidator(_count), Field(ge=0, le=LARGEST)]
Number = Annotated[float, BeforeValidator(_count)]
Section = Annotated[dict[str, Any], BeforeValidator(_or_empty)]
Sections = Annotated[dict[str, Section], BeforeValidator(_or_empty)]


class _Read(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=True)


class Samples(_Read):
    """How many documents a task has, and how many of them were evaluated."""

    original: Count | None = None
    effective: Count | None = None


class Decoding(_Read):
    """What lmx's models leave in the results of a run."""

    settings: Section = {}
    settings_by_task: Sections = {}
    finish: Annotated[dict[str, Count], BeforeValidator(_or_empty)] = {}
    texts: Count | None = None
    texts_from_journal: Count | None = None
    tokens_kept: Count | None = None
    tokens_fed: Count | None = None
    forwards: Count | None = None
    seconds: Number | None = None
    model_seconds: Number | None = None
    tokens_per_forward: Number | None = None
    tokens_per_second: Number | None = None
    oracle_share: Number | None = None
    seed: StrictInt | None = None
    notes: list[str] | None = None


class Config(_Read):
    """What a run was asked for."""

    model: Any = None
    model_args: dict[str, Any] | str | None = None
    decoding: Decoding | None = None
    bootstrap_iters: Count | None = None


class Results(_Read):
    """A results file of lm_eval."""

    results: dict[str, Section]
    groups: Sections = {}
    group_subtasks: Annotated[dict[str, list[str]], BeforeValidator(_or_empty)] = {}
    configs: Sections = {}
    config: Annotated[Config, BeforeValidator(_or_empty)] = Config()
    versions: Section = {}
    task_hashes: Section = {}
    n_shot: Section = Field({}, alias="n-shot")
    higher_is_better: Annotated[
        dict[str, Annotated[dict[str, StrictBool | None], BeforeValidator(_or_empty)]], BeforeValidator(_or_empty)
    ] = {}
    n_samples: Annotated[dict[str, Samples], BeforeValidator(_or_empty)] = Field({}, alias="n-samples")


class Files(_Read):
    """Names of a run's files beside its manifest."""

    samples: list[str] = []
    traces: list[str] = []


class Manifest(_Read):
    """What `lmx run` writes of a run."""

    files: Annotated[Files, BeforeValidator(_or_empty)] = Files()
    versions: Section = {}


class Segment(_Read):
    """Who wrote the tokens from `start` to before `end`."""

    source: str
    start: Count
    end: Count


class Consultation(_Read):
    """One time that the oracle was asked: tokens of the answer before its first token, and tokens it wrote."""

    at: Count
    tokens: Count


class Extra(_Read):
    """What the guided loop adds to a trace."""

    consultations: list[Consultation] = []


class GuidedTrace(_Read):
    """A trace as analyses of guided runs read it."""

    tokens: list[StrictInt]
    segments: list[Segment]
    prompt_tokens: Count = 0
    extra: Annotated[Extra, BeforeValidator(_or_empty)] = Extra()


class Limits(_Read):
    """Settings that every guided run has; ``inf`` is no limit."""

    policy: str
    c: Annotated[float, Field(ge=0)]
    k: Annotated[float, Field(ge=0)]
    max_oracle_tokens: Annotated[float, Field(ge=0)] = float("inf")


def problem(model: type[_Read], value: Any) -> str | None:
    """Return what makes a value none of `model`, in words; None if nothing does."""
    try:
        model.model_validate(value)
    except ValidationError as error:
        return _in_words(error)
    return None


def checked(model: type[_Read], value: Mapping[str, Any], path: Path, what: str) -> dict[str, Any]:
    """Return what was read of a file with the types of `model`; only fields that were there are in it.

    Raises:
        UserError: a field has another type; it names the first one.
    """
    try:
        found = model.model_validate(value)
    except ValidationError as error:
        raise UserError(f"{path} is not {what}: {_in_words(error)}") from error
    return _in_order(value, found.model_dump(by_alias=True, exclude_unset=True))


def _in_order(value: Mapping[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """Return `found` with the keys in the order of `value`."""
    return {
        key: _in_order(value[key], each) if isinstance(each, dict) and isinstance(value[key], dict) else each
        for key, each in ((key, found[key]) for key in value if key in found)
    }


def _in_words(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"]))
    others = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "missing":
        return f'it has no "{where}"{others}'
    shown = repr(first["input"])
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    return f"{where} is {shown}: {first['msg'].removeprefix('Value error, ')}{others}"
