"""A key/value cache of slots: one row per sequence, written anywhere, rolled back by moving a length."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
from transformers.cache_utils import Cache, CacheLayerMixin


@dataclass(frozen=True, slots=True)
class Span:
    """Fed tokens ``[begin, begin + n)`` of the flat batch: they fill slots ``[at, at + n)`` of `row`.

    Token i sees slots ``[0, at + i]``, or all of ``[0, at + n)`` if `full`.
    """

    row: int
    at: int
    begin: int
    n: int
    full: bool


# Runs, pairs and the rest of the spans of a forward: what one call of an attention kernel takes together.
Groups: TypeAlias = tuple[list[list[Span]], list[tuple[Span, Span]], list[Span]]


@dataclass(slots=True)
class Plan:
    """One forward: where each token of the flat batch is written and what it may see."""

    spans: list[Span]
    rows: torch.Tensor  # [tokens] row of each token
    slots: torch.Tensor  # [tokens] slot of each token
    # Made once per forward and shared by the layers.
    masks: dict[Any, torch.Tensor] = field(default_factory=dict)
    groups: Groups | None = None


class SlotLayer(CacheLayerMixin):
    """Keys and values of one layer, shape ``[rows, heads, slots, head dimension]``."""

    def __init__(self) -> None:
        super().__init__()
        self.keys: torch.Tensor | None = None
        self.values: torch.Tensor | None = None
        self.plan: Plan | None = None
        self.rows = self.slots = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Allocate, keeping what is there, so that every row and slot of the plan exists."""
        old_keys, old_values = self.keys, self.values
        self.keys = key_states.new_zeros(self.rows, key_states.shape[1], self.slots, key_states.shape[3])
        self.values = value_states.new_zeros(self.rows, value_states.shape[1], self.slots, value_states.shape[3])
        if old_keys is not None and old_values is not None:
            self.keys[: old_keys.shape[0], :, : old_keys.shape[2]] = old_keys
            self.values[: old_values.shape[0], :, : old_values.shape[2]] = old_values
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the flat batch ``[1, heads, tokens, dim]`` to its slots and hand it back unchanged.

        What a token may see is read from `keys` and `values` by the attention function, not from this return value.
        """
        assert self.plan is not None
        if self.keys is None or self.keys.shape[0] < self.rows or self.keys.shape[2] < self.slots:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None
        assert self.values is not None
        rows, slots = self.plan.rows, self.plan.slots
        self.keys[rows, :, slots] = key_states[0].transpose(0, 1)
        self.values[rows, :, slots] = value_states[0].transpose(0, 1)
        return key_states, value_states

    # transformers asks these of any cache; with explicit positions and mask the answers are not used.
    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return query_length, 0

    def get_seq_length(self) -> int:
        return 0

    def get_max_length(self) -> int:
        return -1


class SlotCache(Cache):
    """The slots of all layers and the number of slots in use in each row.

    Layers are allocated when a forward first reaches them, and grow when a row needs more slots.
    """

    def __init__(self, rows: int) -> None:
        super().__init__(layers=[])
        self.lengths = [0] * rows
        self.slots = 0
        self.plan: Plan | None = None
        self.current = 0  # the layer written last, which the attention function then reads

    def reserve(self, slots: int) -> None:
        """Make room for at least `slots` tokens a row, in steps that keep regrowing rare."""
        if slots > self.slots:
            self.slots = max(-(-slots // 128) * 128, min(2 * self.slots, slots + 1024))

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, layer_idx: int, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write one layer's new keys and values (see `SlotLayer.update`)."""
        while len(self.layers) <= layer_idx:
            self.layers.append(SlotLayer())
        layer = self.layers[layer_idx]
        layer.plan, layer.rows, layer.slots = self.plan, len(self.lengths), self.slots
        self.current = layer_idx
        written: tuple[torch.Tensor, torch.Tensor] = layer.update(key_states, value_states)
        return written
