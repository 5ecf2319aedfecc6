"""A transformers model as the scheduler sees it: rows to open and close, feeds in, logits out."""

from __future__ import annotations

import inspect
import time
from collections.abc import Hashable, Sequence
from contextlib import nullcontext
from typing import Any, ClassVar

import torch

from lmx_models.core.base import Feed
from lmx_models.core.distributions import NotFiniteError
from lmx_models.engine.packed_linear import packed
from lmx_models.engine.slot_attention import configs_of, slots_active
from lmx_models.engine.slot_cache import Plan, SlotCache, Span


def cache_argument(model: Any) -> str:
    """Return what a model's forward calls its cache: ``past_key_values``, or from transformers 5.40 on ``cache``."""
    names = inspect.signature(model.forward).parameters
    return "cache" if "cache" in names and "past_key_values" not in names else "past_key_values"


class StepModel:
    """One set of weights, with a slot cache of `rows` rows. `slots`: tokens a row will hold, if that is known.

    Any unmodified causal model of transformers works whose attention goes through its `AttentionInterface` and takes
    ``position_ids``; `lmx_models.engine.self_check.check` tells whether a model does.
    """

    checked: ClassVar[bool] = True
    """Whether what forwards give is looked through for NaN and infinity."""

    def __init__(self, model: Any, rows: int, slots: int = 0) -> None:
        self.model = model
        self.cache = SlotCache(rows)
        self.cache.reserve(slots)
        self._packed = packed(model)
        self._configs = configs_of(model)
        self._cache_argument = cache_argument(model)
        self._free = list(range(rows - 1, -1, -1))
        self._row: dict[Hashable, int] = {}

    @property
    def device(self) -> torch.device:
        """Where the model's inputs go."""
        device: torch.device = self.model.device
        return device

    def open(self, key: Hashable) -> None:
        """Give the sequence `key` an empty row."""
        row = self._free.pop()
        self._row[key] = row
        self.cache.lengths[row] = 0

    def close(self, key: Hashable) -> None:
        """Take the row of `key` back, if it has one."""
        if (row := self._row.pop(key, None)) is not None:
            self._free.append(row)

    def place(self, key: Hashable, row: int, length: int | None = None) -> None:
        """Let `key` use a row that its caller gives out, and that others may use too.

        Args:
            length: tokens of the row that are there for `key`; None: all that are.
        """
        self._row[key] = row
        if length is not None:
            self.cache.lengths[row] = length

    def forget(self, key: Hashable) -> None:
        """Let `key` no longer use its row, which is not taken back: the counterpart of `place`."""
        del self._row[key]

    def has(self, key: Hashable) -> bool:
        """Tell whether `key` has a row."""
        return key in self._row

    def row(self, key: Hashable) -> int:
        """Return the cache row of `key`."""
        return self._row[key]

    def length(self, key: Hashable) -> int:
        """Return the number of tokens cached for `key`."""
        return self.cache.lengths[self._row[key]]

    @torch.inference_mode()
    def step(self, feeds: Sequence[tuple[Hashable, Feed]]) -> tuple[list[torch.Tensor], float]:
        """Run one forward for all `feeds` (at most one a key).

        Returns:
            For each feed its logits, fp32 ``[feed.logits, vocabulary]`` on the model's device, and the seconds taken.

        Raises:
            NotFiniteError: logits of a feed are NaN or infinite; its key, and the slot of the token that gave them.
        """
        started = time.perf_counter()
        spans: list[Span] = []
        tokens: list[int] = []
        positions: list[int] = []
        slots: list[int] = []
        wanted: list[int] = []
        feeds_by_row = sorted(feeds, key=lambda pair: self._row[pair[0]])
        for key, feed in feeds_by_row:
            row, n = self._row[key], len(feed.tokens)
            at = self.cache.lengths[row] if feed.at is None else feed.at
            if n == 0 or at > self.cache.lengths[row]:
                raise ValueError(f"cannot feed {n} tokens at slot {at} of a row with {self.cache.lengths[row]}")
            spans.append(Span(row, at, len(tokens), n, feed.full))
            tokens.extend(feed.tokens)
            positions.extend(range(at, at + n) if feed.positions is None else feed.positions)
            slots.extend(range(at, at + n))
            wanted.extend(range(len(tokens) - feed.logits, len(tokens)))
        self.cache.reserve(max(slots) + 1)

        def tensor(values: list[int]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.long, device=self.device)  # also of none

        rows = [span.row for span in spans for _ in range(span.n)]
        self.cache.plan = Plan(spans, tensor(rows), tensor(slots))
        fast = self._packed.active() if self._packed else nullcontext()
        with slots_active(self._configs, self.cache), fast:
            logits = self.outputs(tensor(tokens).unsqueeze(0), tensor(positions).unsqueeze(0), tensor(wanted))
        self.cache.plan = None
        # Minus infinity is a token that cannot be. A NaN would be the argmax, and its text would look like any other.
        if self.checked and len(logits) and not bool(logits.amax(-1).isfinite().all()):
            raise _not_finite(logits, feeds_by_row, spans)
        by_key: dict[Hashable, torch.Tensor] = {}
        begin = 0
        for (key, feed), span in zip(feeds_by_row, spans, strict=True):
            self.cache.lengths[span.row] = span.at + (span.n if feed.keep is None else feed.keep)
            by_key[key] = logits[begin : begin + feed.logits]
            begin += feed.logits
        return [by_key[key] for key, _ in feeds], time.perf_counter() - started

    def outputs(self, tokens: torch.Tensor, positions: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Run the model on a flat batch ``[1, tokens]``; return fp32 logits ``[wanted, vocabulary]``."""
        return self.run(self.model, tokens, positions, logits_to_keep=wanted).logits[0].float()

    def run(self, module: Any, tokens: torch.Tensor, positions: torch.Tensor, **more: Any) -> Any:
        """Call the model, or a part of it that takes tokens, on a flat batch over the cache."""
        return module(
            input_ids=tokens,
            position_ids=positions,
            # transformers hands a 4-D mask on as it is; the attention function reads the plan instead.
            attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=self.device),
            **{self._cache_argument: self.cache},
            use_cache=True,
            **more,
        )


def _not_finite(logits: torch.Tensor, feeds: Sequence[tuple[Hashable, Feed]], spans: Sequence[Span]) -> NotFiniteError:
    first = int((~logits.amax(-1).isfinite()).nonzero()[0, 0])
    for (key, feed), span in zip(feeds, spans, strict=True):
        if first < feed.logits:
            return NotFiniteError(span.at + span.n - feed.logits + first, key)
        first -= feed.logits
    raise IndexError(first)
