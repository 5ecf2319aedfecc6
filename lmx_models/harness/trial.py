"""Tries models' arguments without loading weights, so that a sweep finds a slip before its first arm runs.

A model's own checks run as far as they come before the weights: unknown arguments, values, folders that are not there.
Nothing is downloaded, and no server is asked.
"""

from __future__ import annotations

import functools
import json
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NoReturn
from unittest import mock

from lmx_files.errors import UserError
from lmx_models.zoo.resolved import Resolved
from lmx_plugins import discovery
from lmx_plugins.evaluation import asked


class _EnoughError(BaseException):
    """All that can be known without weights and network is right."""


def try_arguments(model: str, arguments: Mapping[str, Any], gen_kwargs: Any = None) -> None:
    """Raise a `UserError` for what `model` would refuse before it loads anything.

    Models that are not lmx's or made from its classes take what they are given; of them only a `pretrained` that is a
    path is looked at.
    """
    plugin = next((one for one in discovery.plugins_of("models") if one.name == model), None)
    cls = discovery.load(plugin) if plugin else None
    if cls is None or not hasattr(cls, "method"):
        _look_for_folder(arguments.get("pretrained"))
        return
    with _without_weights(), asked.announced(gen_kwargs=gen_kwargs):
        try:
            cls(**arguments)
        except _EnoughError:
            return


def _look_for_folder(pretrained: Any) -> None:
    if isinstance(pretrained, str) and pretrained.startswith(("/", "./", "../", "~")):
        path = Path(pretrained).expanduser()
        if not path.exists():
            raise UserError(f"pretrained={pretrained}: there is no such folder")


@contextmanager
def _without_weights() -> Iterator[None]:
    """Let models be made up to the moment where something is loaded, converted, downloaded or connected to."""
    from lm_eval.models.huggingface import HFLM

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
        except Exception:
            said.append(None)  # the run itself will say more than this trial could
    print(json.dumps(said))


if __name__ == "__main__":
    main()
