"""Where a model's weights were found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Resolved:
    """What to hand to `from_pretrained`, and where it came from.

    `pretrained` is a folder or a Hub id; `revision` is the Hub's commit where one is known; `note` goes into
    the results. `gguf_file` is always None: GGUF files are converted, see `lmx_models.zoo.gguf`.
    """

    pretrained: str
    gguf_file: str | None
    revision: str | None
    name: str
    origin: str  # 'shipped' | 'hub' | 'hub-cache' | 'wheel' | 'folder' | 'gguf'
    note: str
