"""The sweep file: its keys, their types, and one-line messages about what is wrong in it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from lmx_files.errors import UserError, unknown
from lmx_files.safety import secrets
from lmx_files.yaml import read_yaml
from lmx_runs.sweep import flags as lm_eval_flags

Value = str | int | float | bool | None
_DEEPEST = 30
ArmName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Settings(_Strict):
    """What an arm may set and `defaults` may set for all arms: lm_eval's flags beside keys of our own.

    Attributes:
        flags: lm_eval's flags by their long names; in the file they stand directly under the arm.
        python: the interpreter of the arm's process; `None` is the one that runs the sweep.
        env: environment variables of the arm's process, beside those it inherits.
        slurm: settings of its Slurm job, over the sweep's own.
    """

    flags: dict[str, Any] = {}
    python: str | None = None
    env: dict[str, str | int | float] = {}
    slurm: dict[str, Any] = {}

    @model_validator(mode="before")
    @classmethod
    def _gather_flags(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        known = lm_eval_flags.names()
        found = {key: value for key, value in data.items() if key in known}
        return {key: value for key, value in data.items() if key not in known} | {"flags": found}

    @field_validator("flags")
    @classmethod
    def _nothing_reserved(cls, flags: dict[str, Any]) -> dict[str, Any]:
        for name, mend in lm_eval_flags.RESERVED.items():
            if name in flags:
                raise ValueError(f"{name} is not for an arm to set: {mend}")
        return flags

    @field_validator("env")
    @classmethod
    def _no_secrets(cls, env: dict[str, str | int | float]) -> dict[str, str]:
        for name, value in env.items():
            lm_eval_flags.check_variable(name, value)
        return {name: str(value) for name, value in env.items()}


class ArmSettings(Settings):
    """One entry of `arms`: an arm, or with `matrix` one arm for each combination of its values.

    Attributes:
        command: a program and its arguments, which are run instead of lm_eval; then no flags are given.
        outputs: what such a command leaves in the arm's folder; without them it counts as failed.
    """

    name: ArmName
    command: Annotated[list[str | int | float], Field(min_length=1)] | None = None
    outputs: list[str] = []
    matrix: dict[str, Annotated[list[Value | list[Value]], Field(min_length=1)]] = {}
    needs: list[str] = []

    @model_validator(mode="after")
    def _command_or_flags(self) -> ArmSettings:
        if self.command is None and self.outputs:
            raise ValueError("outputs are those of a command: give one, or leave them out")
        if self.command is not None and self.flags:
            raise ValueError(f"a command takes no flags of lm_eval: leave out {', '.join(sorted(self.flags))}")
        return self


class SweepConfig(_Strict):
    """A sweep file."""

    name: ArmName
    output_path: Annotated[str, Field(min_length=1)]
    executor: Literal["local", "slurm"] = "local"
    max_parallel: Annotated[int, Field(ge=1)] | None = None
    slurm: dict[str, Any] = {}
    defaults: Settings = Settings()
    arms: Annotated[list[ArmSettings], Field(min_length=1)]


def load(path: str | Path) -> SweepConfig:
    """Read and check a sweep file; a `UserError` names the place, the value and the nearest valid key."""
    data = read_yaml(path, f"the sweep file {path}")
    if not isinstance(data, dict):
        raise UserError(f"{path} is not a sweep file: it must hold name, output_path and arms. See docs/sweep.md")
    try:
        _check_texts(data)
        config = SweepConfig.model_validate(data)
        lm_eval_flags.refuse_secrets(data)
        return config
    except ValidationError as error:
        raise _readable(path, data, error.errors()[0]) from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from error


def _check_texts(value: Any, depth: int = 0) -> None:
    """Refuse texts that no command line and no file can hold, and a depth that nobody writes."""
    if depth > _DEEPEST:
        raise UserError(f"it is nested more than {_DEEPEST} levels deep")
    if isinstance(value, str):
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise UserError(
                f"{value[:40]!r} holds a character that no argument can hold (NUL, or half a surrogate pair)"
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            _check_texts(key, depth + 1)
            _check_texts(item, depth + 1)
    elif isinstance(value, (list, tuple, set)):
        for item in value:
            _check_texts(item, depth + 1)


def _readable(path: str | Path, data: dict[str, Any], error: ErrorDetails) -> UserError:
    place, key = _place(data, error["loc"][:-1]), str(error["loc"][-1]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return UserError(f"{path}: {place}{unknown('key', key, _valid_keys(error['loc'][:-1]))}")
    if error["type"] == "missing":
        return UserError(f"{path}: {place}{key!r} is missing. See docs/sweep.md")
    where = _place(data, error["loc"])
    if error["type"] == "string_pattern_mismatch":
        what = "must begin with a letter or digit and hold only letters, digits and . _ + -"
        return UserError(f"{path}: {where}{_short(error['input'])} {what}")
    message = error["msg"].removeprefix("Value error, ")
    shown = "" if error["type"] == "value_error" else f" (it is {_short(error['input'])})"
    return UserError(f"{path}: {where}{message[0].lower() + message[1:]}{shown}")


def _short(value: Any) -> str:
    text = repr(secrets.redact(value))
    return text if len(text) <= 200 else f"{text[:200]}..."


def _place(data: Any, location: tuple[int | str, ...]) -> str:
    """Return where in the file, with an arm's name instead of its number: ``arms.guided.matrix: ``."""
    parts: list[str] = []
    value = data
    for step in location:
        if step in ("flags", "list[union[str,int,float,bool,none]]"):
            continue
        try:
            value = value[step]
        except (KeyError, IndexError, TypeError):
            break
        named = isinstance(value, dict) and isinstance(step, int) and isinstance(value.get("name"), str)
        parts.append(value["name"] if named else str(step))
    return ".".join(parts) + ": " if parts else ""


def _valid_keys(location: tuple[int | str, ...]) -> set[str]:
    if not location:
        return set(SweepConfig.model_fields)
    model = ArmSettings if location[0] == "arms" else Settings
    flags = lm_eval_flags.names() - lm_eval_flags.RESERVED.keys()
    return (set(model.model_fields) - {"flags"}) | flags
