"""Hidden states on disk, a part a file: positions x width, some thirtieth of what log-probabilities would take."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import torch

from lmx_files import atomic
from lmx_files.errors import UserError
from lmx_files.reading import reason
from lmx_probes.heads import Head


class HiddenStore:
    """The hidden states of one model's parts, and its head, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def head(self) -> Path:
        """Where the head lies."""
        return self.folder / "head.safetensors"

    def path(self, number: int) -> Path:
        """Return where a part lies."""
        return self.folder / f"part-{number:05d}.safetensors"

    def has(self, number: int) -> bool:
        """Tell whether a part can be compared: its states are there, and the head."""
        return self.head.is_file() and self.path(number).is_file()

    def write(self, number: int, hidden: torch.Tensor) -> None:
        """Write the states ``[positions, width]`` of a part whole."""
        from safetensors.torch import save

        with _written(self.path(number)):
            atomic.write(self.path(number), save({"hidden": hidden.contiguous().cpu()}), sync=True)

    def write_head(self, head: Head) -> None:
        """Write the head."""
        with _written(self.head):
            head.save(self.head)

    def read(self, number: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """Read the states of a part."""
        from safetensors.torch import load_file

        with _read(self.path(number)):
            return load_file(self.path(number), device=str(device))["hidden"]

    def read_head(self, device: torch.device | str = "cpu") -> Head:
        """Read the head."""
        with _read(self.head):
            return Head.read(self.head, device)


@contextlib.contextmanager
def _written(path: Path) -> Iterator[None]:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise UserError(f"cannot write {path}: {reason(error)}. Make room and run again") from error


@contextlib.contextmanager
def _read(path: Path) -> Iterator[None]:
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"cannot read {path}: {reason(error)}. Remove it and run again: it is made anew") from error
