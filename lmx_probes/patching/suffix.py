"""Forwards of the ends of texts, from any layer up, over keys and values that an earlier forward left.

A patched run differs from its base only from the patched position on and above the patched layer. So only that part is
computed: the tokens of all rows lie in one sequence ``[1, tokens]`` (as in `lmx_models.engine.slot_attention`), the
layers below are passed over, and attention reads what stands before a row's first token from the base's run. The model
classes are transformers' own; outside `forward` the model is as it was.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import torch
from transformers import AttentionInterface

from lmx_models.engine.slot_attention import attention_by, configs_of
from lmx_probes.patching.attend import attend, beside, beside_fits, whole
from lmx_probes.patching.components import Sites

NAME = "lmx_suffix"
Tensor = torch.Tensor


@dataclass(frozen=True)
class Row:
    """The tokens of one text from position `start` on.

    Attributes:
        keys, values: by layer, ``[key heads, tokens, dim]``, of the text before `start`; empty where start is 0.
    """

    tokens: Sequence[int]
    start: int = 0
    keys: Sequence[Tensor] = ()
    values: Sequence[Tensor] = ()


@dataclass
class _State:
    """One forward: groups of adjacent rows with the same start and length, and what attention leaves behind."""

    groups: list[tuple[int, list[Row]]]  # first token in the flat batch, rows
    record: bool = False
    dummy: bool = False
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    narrow: str = ""  # "", "keys" (stop once they are known), "last" (queries of last tokens only)
    own: tuple[Tensor, Tensor] | None = None


class _KeysAreKnown(Exception):  # noqa: N818
    """Leaves a layer whose keys and values are all that was wanted."""


_active: ContextVar[_State] = ContextVar("lmx_suffix_state")


class Suffixes:
    """Runs ends of texts through a model.

    Args:
        narrow: let the last layer compute the last token of each row only; the others' outputs are not read.
    """

    def __init__(self, model: Any, sites: Sites, narrow: bool = True) -> None:
        self.model, self.sites, self.narrow = model, sites, narrow
        self._configs = configs_of(model)
        self._tuples: dict[int, bool] = {}

    def forward(
        self,
        rows: Sequence[Row],
        record: bool = False,
        first: int = 0,
        hidden: Tensor | None = None,
        only: int | None = None,
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """Run `rows` and return logits ``[rows, vocabulary]`` of their last tokens, and keys and values by layer.

        Args:
            record: return the keys and values of the flat batch, ``[key heads, tokens, dim]``; else empty lists.
            first: layers below are passed over, and `hidden` ``[tokens, width]`` is what layer first - 1 hands on.
            only: run this layer alone, without attention (its output is zero where no hook replaces it).
        """
        ids = [token for row in rows for token in row.tokens]
        positions = [row.start + i for row in rows for i in range(len(row.tokens))]
        ends = list(itertools.accumulate(len(row.tokens) for row in rows))
        device = self.model.device
        last = torch.tensor([end - 1 for end in ends], device=device)
        state = _State(_groups(rows), record, only is not None)
        top = self.sites.layers - 1
        narrow = self.narrow and not record and only is None and first <= top and len(rows) < len(ids)
        with contextlib.ExitStack() as stack:
            stack.enter_context(_attention(self._configs, state))
            # oneDNN's packed weights (`lmx_models.engine.packed_linear`) gain nothing at hundreds of rows a product
            for layer in range(self.sites.layers):
                if layer < first or (only is not None and layer != only):
                    stack.enter_context(self._passed(layer, hidden if layer == first - 1 else None))
            if narrow:
                stack.enter_context(self._narrowed(top, state, last))
            output = self.model(
                input_ids=torch.tensor([ids], device=device),
                position_ids=torch.tensor([positions], device=device),
                # transformers hands a 4-D mask on as it is; the attention function knows the rows instead.
                attention_mask=torch.ones(1, 1, 1, 1, dtype=torch.bool, device=device),
                use_cache=False,
                logits_to_keep=last if only is None else last[-1:],
            )
        return output.logits[0].float(), state.keys, state.values

    def returns(self, layer: int, hidden: Tensor, output: Any = None) -> Any:
        """Return `hidden` in the form in which a layer hands it on; `output` is what the layer returned once."""
        if output is not None:
            self._tuples[layer] = isinstance(output, tuple)
        return (hidden,) if self._tuples.get(layer, False) else hidden

    @contextlib.contextmanager
    def _passed(self, layer: int, hidden: Tensor | None) -> Iterator[None]:
        def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
            return self.returns(layer, hidden_states if hidden is None else hidden.unsqueeze(0))

        with _replaced(self.sites.blocks[layer].layer, forward):
            yield

    @contextlib.contextmanager
    def _narrowed(self, layer: int, state: _State, last: Tensor) -> Iterator[None]:
        """Let a layer compute keys and values of all tokens, and everything else of the last ones only."""
        module = self.sites.blocks[layer].layer
        stock = module.forward

        def forward(hidden_states: Tensor, *args: Any, **kwargs: Any) -> Any:
            state.narrow = "keys"
            with contextlib.suppress(_KeysAreKnown):
                stock(hidden_states, *args, **kwargs)
            state.narrow = "last"
            tokens = hidden_states.shape[1]
            taken = [_taken(value, last, tokens) for value in args]
            named = {name: _taken(value, last, tokens) for name, value in kwargs.items()}
            output = stock(hidden_states[:, last], *taken, **named)
            whole = torch.zeros_like(hidden_states)  # some models count the tokens again afterwards
            whole[:, last] = output[0] if isinstance(output, tuple) else output
            return (whole, *output[1:]) if isinstance(output, tuple) else whole

        with _replaced(module, forward):
            yield


@contextlib.contextmanager
def _replaced(module: torch.nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    module.__dict__["forward"] = forward
    try:
        yield
    finally:
        module.__dict__.pop("forward", None)


@contextlib.contextmanager
def _attention(configs: list[Any], state: _State) -> Iterator[None]:
    token = _active.set(state)
    try:
        with attention_by(configs, NAME):
            yield
    finally:
        _active.reset(token)


def _taken(value: Any, index: Tensor, tokens: int) -> Any:
    """Return the rows of per-token arguments of a layer, as rotary embeddings ``[1, tokens, dim]`` are."""
    if isinstance(value, Tensor):
        return value[:, index] if value.dim() > 1 and value.shape[1] == tokens else value
    return tuple(_taken(each, index, tokens) for each in value) if isinstance(value, tuple) else value


def _groups(rows: Sequence[Row]) -> list[tuple[int, list[Row]]]:
    groups, begin = [], 0
    for _, found in itertools.groupby(rows, lambda row: (row.start, len(row.tokens))):
        members = list(found)
        groups.append((begin, members))
        begin += len(members) * len(members[0].tokens)
    return groups


def suffix_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attend from each token to those before it in its own text.

    Args:
        query: ``[1, heads, tokens, dim]``. key, value: ``[1, key heads, tokens, dim]`` of the same tokens.
        sliding_window: a token sees this many positions, itself included.

    Returns:
        ``[1, tokens, heads, dim]``, and None for the weights.
    """
    if kwargs.get("s_aux") is not None:
        raise NotImplementedError("attention sinks")  # the check at load turns this into a refusal
    state = _active.get()
    out = query.new_zeros(query.shape[2], query.shape[1], value.shape[3])
    if state.dummy:
        return out.unsqueeze(0), None
    if state.record:
        state.keys.append(key[0])
        state.values.append(value[0])
    if state.narrow == "keys":
        state.own = key, value
        raise _KeysAreKnown
    if state.narrow == "last":
        assert state.own is not None
        key, value = state.own
    layer = int(module.layer_idx)  # type: ignore[arg-type]
    begin_q = 0
    for begin, rows in state.groups:
        n, start = len(rows[0].tokens), rows[0].start
        k, v = (_own(tensor, begin, len(rows), n) for tensor in (key, value))
        queries = 1 if state.narrow == "last" else n
        end_q = begin_q + len(rows) * queries
        q = _own(query, begin_q, len(rows), queries)
        if beside_fits(q, v, start, sliding_window, softcap):
            before = [(row.keys[layer][:, :start], row.values[layer][:, :start]) for row in rows]
            o = beside(q, k, v, before, scaling)
        else:
            k, v = (whole(own, rows, start, layer, name) for own, name in ((k, "keys"), (v, "values")))
            o = attend(q, k, v, scaling, sliding_window, softcap)
        out[begin_q:end_q] = o.transpose(1, 2).flatten(0, 1)
        begin_q = end_q
    return out.unsqueeze(0), None


def _own(flat: Tensor, begin: int, rows: int, n: int) -> Tensor:
    """Return ``[rows, heads, n, dim]`` of a flat batch ``[1, heads, tokens, dim]``."""
    part = flat[0, :, begin : begin + rows * n]
    return part.reshape(flat.shape[1], rows, n, flat.shape[3]).transpose(0, 1)


AttentionInterface.register(NAME, suffix_attention)
