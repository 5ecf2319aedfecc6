"""Runs a model over given texts and hands out hidden states: packed flat batches, shared beginnings computed once.

Texts lie end to end in one flat batch, so nothing is padded and no text's numbers depend on what it is read beside
(fp32). Where texts begin alike, the common tokens are fed once; their keys and values are then copied to the rows of
the texts, which costs a hundredth of computing them.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from lmx_models.core.base import Feed
from lmx_models.engine.step_model import StepModel
from lmx_probes.models import ProbeModel
from lmx_probes.prefixes import LEVELS, Node, tree, walk

CACHE_BYTES = 512 << 20
"""Keys and values of all rows; a row holds the longest text."""


@dataclass(frozen=True)
class Text:
    """Token ids and the positions at which hidden states are wanted, ascending.

    The hidden state at position i sees tokens ``[0, i]``; logits made of it are of token i + 1.
    """

    tokens: Sequence[int]
    wanted: Sequence[int]


class HiddenModel(StepModel):
    """A model whose forwards over the slot cache end before its head: feeds are answered with hidden states."""

    checked = False  # who makes logits of the states knows the text and the token

    def __init__(self, probe: ProbeModel, rows: int, slots: int = 0) -> None:
        super().__init__(probe.model, rows, slots)
        if slots:
            self.cache.slots = slots  # no text is longer, so no room to grow is needed: of short texts a fourth
        self._decoder = probe.decoder

    def outputs(self, tokens: torch.Tensor, positions: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Return hidden states ``[wanted, width]``, after the last normalisation, in the model's own type."""
        hidden: torch.Tensor = self.run(self._decoder, tokens, positions).last_hidden_state
        return hidden[0, wanted]

    @torch.inference_mode()
    def copy(self, source: int, target: int, length: int) -> None:
        """Copy the first `length` slots of one row to another."""
        for layer in self.cache.layers:
            for tensor in (layer.keys, layer.values):
                tensor[target, :, :length] = tensor[source, :, :length]


class Reader:
    """Reads many texts with one model.

    Args:
        rows: most texts in one forward; None: as many as `CACHE_BYTES` hold, at most 64.
        max_batched_tokens: most tokens in one forward (a longer text goes by itself). None: 512 on a CPU, 8192 else.
    """

    model_kind: ClassVar[type[HiddenModel]] = HiddenModel

    def __init__(self, probe: ProbeModel, rows: int | None = None, max_batched_tokens: int | None = None) -> None:
        self.probe = probe
        self.rows = rows
        self.max_batched_tokens = max_batched_tokens or (512 if probe.device.type == "cpu" else 8192)
        self.fed = 0
        """Tokens that went through the model so far."""

    def finish(self, pass_: Pass, leaf: Node) -> Any:
        """Return what a finished text gives; its tokens are still in the cache."""
        return pass_.gather(leaf)

    def read(self, texts: Sequence[Text]) -> Iterator[tuple[int, Any]]:
        """Yield each text's number and its hidden states ``[wanted, width]`` as it is finished; order as it comes.

        Only what a forward needs is computed: nothing behind the last wanted position is fed.

        Raises:
            ValueError: a wanted position is none of the text, or they do not ascend.
        """
        asked = [i for i, text in enumerate(texts) if len(text.wanted)]
        for i in asked:
            wanted = texts[i].wanted
            if (
                wanted[0] < 0
                or wanted[-1] >= len(texts[i].tokens)
                or any(a >= b for a, b in itertools.pairwise(wanted))
            ):
                raise ValueError(f"text {i}: wanted positions must ascend and lie in its {len(texts[i].tokens)} tokens")
        if asked:
            pass_ = Pass(self, [texts[i] for i in asked])
            for number, hidden in pass_.run():
                yield asked[number], hidden
            self.fed += pass_.fed

    def rows_for(self, longest: int) -> int:
        """Return how many rows of `longest` tokens the cache is to have beside those that hold shared beginnings."""
        config = self.probe.model.config.get_text_config()
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        size = next(self.probe.model.parameters()).element_size()
        row = 2 * config.num_hidden_layers * heads * dim * size * longest
        return max(1, min(self.rows or 64, CACHE_BYTES // max(1, row) - LEVELS))


class Pass:
    """One pass over some texts: which nodes of their tree can be fed, and which cache rows hold what."""

    def __init__(self, reader: Reader, texts: Sequence[Text]) -> None:
        self.most = reader.max_batched_tokens
        self.texts = texts
        tokens = [list(text.tokens[: text.wanted[-1] + 1]) for text in texts]
        self.tokens = tokens
        roots = tree(tokens)
        longest = max(map(len, tokens))
        fed = sum(node.end - node.begin for node in walk(roots))
        # No more rows than a forward fills with texts of the common length: each costs memory, and none saves time.
        self.at_once = min(reader.rows_for(longest), len(texts), -(-self.most * len(texts) // fed))
        rows = self.at_once + LEVELS
        self.reader = reader
        self.model = reader.model_kind(reader.probe, rows, longest)
        self.free = list(range(rows - 1, -1, -1))
        self.held: list[Node | None] = [None] * rows  # the innermost shared node whose tokens lie in a row
        self.row_of: dict[Node, int] = {}
        self.hidden: dict[Node, tuple[int, torch.Tensor]] = {}  # position of the first state, and the states
        self.ready = list(roots)
        self.first = {node: _first_wanted(node, texts) for node in walk(roots)}
        self.fed = 0

    def run(self) -> Iterator[tuple[int, Any]]:
        while self.ready:
            batch = self._take()
            feeds = []
            for node in batch:
                n = node.end - node.begin
                logits = max(0, node.end - max(node.begin, self.first[node]))
                tokens = self.tokens[node.texts[0]][node.begin : node.end]
                feeds.append((node, Feed("", tokens, at=node.begin, logits=logits)))
                self.fed += n
            states, _ = self.model.step(feeds)
            children: list[Node] = []
            for node, state in zip(batch, states, strict=True):
                self.hidden[node] = node.end - len(state), state
                if node.is_leaf:
                    yield node.texts[0], self.reader.finish(self, node)
                    del self.hidden[node]
                    self._release(node)
                else:
                    children += node.children
            self.ready = children + self.ready

    def _take(self) -> list[Node]:
        """Take nodes for one forward, in order, as long as there are rows and room."""
        batch: list[Node] = []
        tokens = 0
        for node in list(self.ready):
            tokens += node.end - node.begin
            # A shared node leaves rows for one below it on each further level, so that none waits for ever.
            left = 0 if node.is_leaf else LEVELS - node.level
            if (batch and tokens > self.most) or len(batch) == self.at_once or not self._place(node, left):
                break
            batch.append(node)
        del self.ready[: len(batch)]
        return batch

    def _place(self, node: Node, left: int) -> bool:
        """Give a node a row that holds its parent's tokens, copied there if need be; False if there is no row."""
        parent = node.parent
        last = parent is not None and parent.waiting == 1
        if len(self.free) + last <= left:
            return False
        if parent is None:
            row = self.free.pop()
        else:
            source = self.row_of[parent]
            parent.waiting -= 1
            if last:
                row = source
                self._close(parent)
            else:
                row = next((r for r in reversed(self.free) if self._holds(r, parent)), self.free[-1])
                self.free.remove(row)
                if not self._holds(row, parent):
                    self.model.copy(source, row, parent.end)
        self.held[row] = parent if node.is_leaf else node
        self.row_of[node] = row
        self.model.place(node, row, node.begin)
        return True

    def _holds(self, row: int, node: Node) -> bool:
        held = self.held[row]
        while held is not None and held is not node:
            held = held.parent
        return held is node

    def _close(self, node: Node) -> None:
        self.row_of.pop(node)
        self.model.forget(node)

    def _release(self, node: Node) -> None:
        """Free the row of a leaf, and forget the states of shared nodes of which it was the last."""
        self.free.append(self.row_of[node])
        self._close(node)
        parent: Any = node.parent
        while parent is not None:
            parent.children.remove(node)
            if parent.children:
                break
            self.hidden.pop(parent, None)
            node, parent = parent, parent.parent

    def gather(self, leaf: Node) -> torch.Tensor:
        """Return the states at the wanted positions of a leaf's text, from its own tokens and the shared ones."""
        wanted = self.texts[leaf.texts[0]].wanted
        parts: list[torch.Tensor] = []
        node: Node | None = leaf
        while node is not None:
            first, states = self.hidden[node]
            own = [p - first for p in wanted if node.begin <= p < node.end]
            if own:
                parts.append(states[own])
            node = node.parent
        return torch.cat(parts[::-1])


def _first_wanted(node: Node, texts: Sequence[Text]) -> int:
    """Return the first position in a node's tokens that a text below it wants; its end if none does."""
    return min((p for i in node.texts for p in texts[i].wanted if node.begin <= p < node.end), default=node.end)
