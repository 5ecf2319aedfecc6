"""Hidden states on disk, a part a file: positions x width, some thirtieth of what log-probabilities would take."""

from __future__ import annotations

from pathlib import Path

import torch

from lmx_files import atomic
from lmx_files.errors import UserError
from lmx_files.reading import reason


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

    def write(self, number: int, hidden: torch.Tensor) -> None:
        """Write the states ``[positions, width]`` of a part whole."""
        from safetensors.torch import save

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            atomic.write(self.path(number), save({"hidden": hidden.contiguous().cpu()}), sync=True)
        except OSError as error:
            raise UserError(f"cannot write {self.path(number)}: {reason(error)}. Make room and run again") from error

    def read(self, number: int, device: torch.device | str = "cpu") -> torch.Tensor:
        """Read the states of a part."""
        from safetensors.torch import load_file

        return load_file(self.path(number), device=str(device))["hidden"]
