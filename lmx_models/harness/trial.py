"""Tries models' arguments without loading weights, so that a sweep finds a slip before its first arm runs.

A model's own checks run as far as they come before the weights: unknown arguments, values, folders that are not there.
Nothing is downloaded, and no server is asked.
"""

from __future__ import annotations

import difflib
import functools
import inspect
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from lmx_files.errors import UserError
from lmx_models.settings.arguments import read_as_declared
from lmx_models.zoo.resolved import Resolved
from lmx_plugins import discovery
from lmx_plugins.evaluation import asked


class _EnoughError(BaseException):
    """All that can be known without weights and network is right."""


def try_arguments(model: str, arguments: Mapping[str, Any], gen_kwargs: Any = None) -> None:
    """Raise a `UserError` for what `model` would refuse before it loads anything.

    Models that are not lmx's or made from its classes take what they are given; of them only what is certain is told:
    a path that is not there, an argument that is missing, one that is spelt nearly as one that there is, and of `hf` a
    batch size that is none.
    """
    plugin = next((one for one in discovery.plugins_of("models") if one.name == model), None)
    cls = discovery.load(plugin) if plugin else None
    if cls is None or not hasattr(cls, "method"):
        _look_for_folders(arguments)
        if cls is None:
            _look_at_signature(model, arguments)
        return
    _look_for_folders(arguments, ("tokenizer",))
    with _without_weights(), asked.announced(gen_kwargs=gen_kwargs):
        try:
            cls(**arguments)
        except _EnoughError:
            return


def _look_for_folders(
    arguments: Mapping[str, Any], names: tuple[str, ...] = ("pretrained", "tokenizer", "peft", "delta")
) -> None:
    for name in names:
        given = arguments.get(name)
        is_path = isinstance(given, str) and given.startswith(("/", "./", "../", "~"))
        if is_path and not Path(str(given)).expanduser().exists():
            raise UserError(f"{name}={given}: there is no such folder")


def _look_at_signature(model: str, arguments: Mapping[str, Any]) -> None:
    """Tell what the constructor of a model of lm_eval's own cannot mean."""
    from lm_eval.api.registry import get_model

    try:
        parameters = inspect.signature(get_model(model).__init__).parameters
    except Exception:  # a package that the model needs is not here: the run says which
        return
    kinds = {name: one for name, one in parameters.items() if name != "self"}
    named = [name for name, one in kinds.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    missing = [name for name in named if kinds[name].default is inspect.Parameter.empty and name not in arguments]
    for name in arguments:
        near = difflib.get_close_matches(name, named, n=1, cutoff=0.8)
        if name not in named and near and near[0] not in arguments:
            raise UserError(f"unknown --model {model} argument {name!r}: did you mean {near[0]!r}?")
    if missing:
        raise UserError(f"--model {model} needs {missing[0]}=: give it among model_args")
    if model in ("hf", "hf-auto", "huggingface") and "batch_size" in arguments:
        read_as_declared(get_model(model).__init__, {"batch_size": arguments["batch_size"]})


@contextmanager
def _without_weights() -> Iterator[None]:
    """Let models be made up to the moment where something is loaded, converted, downloaded or connected to."""
    from lm_eval.models.huggingface import HFLM

    from lmx_models.harness import decoder_lm
    from lmx_models.zoo import catalogue

    real = catalogue.resolve

    def enough(*_: Any, **__: Any) -> NoReturn:
        raise _EnoughError

    def resolve(name: str, *, revision: str | None = None) -> Any:
        here = name.startswith(("/", ".", "~", "tiny-")) or Path(name).expanduser().exists()
        if here and not name.endswith(".gguf"):
            return real(name, revision=revision)
        return Resolved(name, None, None, name, "untried", "")

    with ExitStack() as stack:
        for target, attribute, stand_in in (
            (catalogue, "resolve", resolve),
            (catalogue, "available", lambda name: False),
            (decoder_lm, "quiet_loading", enough),  # with which loading begins, wherever the weights are
            (HFLM, "__init__", functools.wraps(HFLM.__init__)(enough)),  # its signature says which arguments there are
            (socket.socket, "connect", enough),
        ):
            stack.enter_context(mock.patch.object(target, attribute, stand_in))
        yield


def main() -> None:
    """Read a JSON list of ``{"model", "model_args", "gen_kwargs"}`` and print one message or null for each."""
    said: list[str | None] = []
    for one in json.load(sys.stdin):
        try:
            try_arguments(one["model"], one["model_args"], one.get("gen_kwargs"))
            said.append(None)
        except UserError as error:
            said.append(" ".join(str(error).split()))
        except Exception:  # of any plugin: the run itself will say more than this trial could
            said.append(None)
    print(json.dumps(said))


if __name__ == "__main__":
    main()
