"""What a model computed for a text: keys and values, and activations of the components, kept for patching."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from lmx_probes.patching.components import COMPONENTS
from lmx_probes.patching.hooks import first, hooked, removing
from lmx_probes.patching.suffix import Row, Suffixes

Tensor = torch.Tensor


@dataclass(frozen=True)
class Run:
    """One text as the model computed it.

    Attributes:
        tokens: its token ids. logits: fp32 ``[vocabulary]``, of the token after the last.
        keys, values: by layer, ``[key heads, tokens, dim]``.
        activations: by component, by layer, ``[tokens, width]``; of ``head`` all heads side by side.
    """

    tokens: tuple[int, ...]
    logits: Tensor
    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]
    activations: dict[str, list[Tensor]] = field(default_factory=dict)

    def at(self, component: str, layer: int, positions: Sequence[int], columns: slice = slice(None)) -> Tensor:
        """Return activations ``[positions, columns]``."""
        return self.activations[component][layer][list(positions)][:, columns]


def capture(
    suffixes: Suffixes, texts: Sequence[Sequence[int]], components: Collection[str], bases: Sequence[Run] = ()
) -> list[Run]:
    """Run whole texts (token ids) in one forward and keep what patching needs.

    Args:
        components: which activations to keep, see `lmx_probes.patching.components`. ``residual`` always is.
        bases: for each text a run that begins alike. What they share, all but the last token at most, is taken from
            there and not computed again, so that it is equal bit for bit.
    """
    shared = [_shared(text, base) for text, base in zip(texts, bases, strict=True)] if bases else [0] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: (shared[i], len(texts[i])))
    rows = [
        Row(tuple(texts[i])[shared[i] :], shared[i], bases[i].keys, bases[i].values)
        if shared[i]
        else Row(tuple(texts[i]))
        for i in order
    ]
    wanted = [name for name in COMPONENTS if name == "residual" or name in components]
    seen: dict[str, list[Tensor]] = {name: [] for name in wanted}
    with torch.inference_mode(), _watched(suffixes, wanted, lambda name, value: seen[name].append(value)):
        logits, keys, values = suffixes.forward(rows, record=True)
    found: dict[int, Run] = {}
    begin = 0
    for row, i in enumerate(order):
        part = slice(begin, begin + len(rows[row].tokens))
        begin = part.stop
        n = shared[i]
        old = bases[i] if n else None
        activations = {
            name: [
                _after(old.activations[name][layer][:n] if old else None, each[part])
                for layer, each in enumerate(layers)
            ]
            for name, layers in seen.items()
        }
        keys_of, values_of = (
            tuple(_after(before[layer][:, :n] if before else None, each[:, part], 1) for layer, each in enumerate(now))
            for before, now in ((old.keys if old else None, keys), (old.values if old else None, values))
        )
        found[i] = Run(tuple(texts[i]), logits[row], keys_of, values_of, activations)
    return [found[i] for i in range(len(texts))]


def _shared(text: Sequence[int], base: Run) -> int:
    """Return how many tokens both begin with, less than all of the text."""
    most = min(len(text) - 1, len(base.tokens))
    return next((i for i in range(most) if text[i] != base.tokens[i]), most)


def _after(old: Tensor | None, new: Tensor, dim: int = 0) -> Tensor:
    return new if old is None else torch.cat([old, new], dim=dim)


@contextlib.contextmanager
def _watched(suffixes: Suffixes, components: Collection[str], keep: Callable[[str, Tensor], None]) -> Iterator[None]:
    """Call `keep` with each component's name and activation ``[tokens, width]``, layer after layer."""
    with contextlib.ExitStack() as stack:
        for number, block in enumerate(suffixes.sites.blocks):

            def of_layer(_m: Any, _a: Any, output: Any, number: int = number) -> None:
                suffixes.returns(number, first(output), output)

            stack.enter_context(removing(block.layer.register_forward_hook(of_layer)))
            for name in components:
                stack.enter_context(hooked(block, name, partial(_kept, keep, name)))
        yield


def _kept(keep: Callable[[str, Tensor], None], name: str, value: Tensor) -> None:
    keep(name, value[0])
