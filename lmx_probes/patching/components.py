"""Where a transformer's activations are: residual stream, attention output, MLP output and the inputs of heads.

Names are looked up once, at load, so that a hook that would never fire is an error before anything is measured.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch

from lmx_files.errors import UserError, unknown

COMPONENTS = ("residual", "attention", "mlp", "head")
"""``residual``: what a block hands on. ``attention``, ``mlp``: outputs of these modules, before a norm that may follow.
``head``: a head's columns of the attention's output projection's input, which are a head's own under grouped queries
too, where its keys and values are shared."""
_ATTENTION = ("self_attn", "attn", "attention", "self_attention")
_PROJECTION = ("o_proj", "c_proj", "out_proj", "dense", "wo")
_MLP = ("mlp", "feed_forward", "ffn")


@dataclass(frozen=True)
class Block:
    """The modules of one layer: the whole, its attention, the attention's output projection, its MLP."""

    layer: torch.nn.Module
    attention: torch.nn.Module
    projection: torch.nn.Module
    mlp: torch.nn.Module


@dataclass(frozen=True)
class Sites:
    """The places of a model.

    Attributes:
        blocks: one a layer. heads: query heads a layer. head_dim: columns of a head in the projection's input.
        width: of the residual stream.
    """

    blocks: tuple[Block, ...]
    heads: int
    head_dim: int
    width: int

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.blocks)

    def columns(self, head: int | None) -> slice:
        """Return a head's columns of the projection's input; all of them for None."""
        return slice(None) if head is None else slice(head * self.head_dim, (head + 1) * self.head_dim)

    def check(self, component: str, layer: int, head: int | None) -> None:
        """Refuse a place that the model does not have.

        Raises:
            UserError: no such component, layer or head; a head is named for another component, or none for ``head``.
        """
        if component not in COMPONENTS:
            raise unknown("component", component, COMPONENTS)
        if not 0 <= layer < self.layers:
            raise UserError(f"no layer {layer}: the model's are 0 to {self.layers - 1}")
        if component == "head" and not (head is not None and 0 <= head < self.heads):
            raise UserError(f"no head {head} in layer {layer}: the model's are 0 to {self.heads - 1}")
        if component != "head" and head is not None:
            raise UserError(f"component {component!r} has no heads: name head {head} with component 'head'")


def sites_of(model: Any) -> Sites:
    """Find the places of a causal language model of transformers.

    Raises:
        UserError: its modules are not those of a decoder with attention and MLP in each layer; it names what is there.
    """
    config = model.config.get_text_config()
    count = int(config.num_hidden_layers)
    lists = [m for m in model.modules() if isinstance(m, torch.nn.ModuleList) and len(m) == count]
    if not lists:
        raise _refusal(model, f"it has no list of {count} layers")
    blocks = []
    for number, layer in enumerate(lists[0]):
        attention = _child(model, layer, _ATTENTION, f"attention of layer {number}")
        projection = _child(model, attention, _PROJECTION, f"output projection of the attention of layer {number}")
        blocks.append(Block(layer, attention, projection, _child(model, layer, _MLP, f"MLP of layer {number}")))
    heads, columns = int(config.num_attention_heads), {_inputs(block.projection) for block in blocks}
    if len(columns) != 1 or next(iter(columns)) % heads:
        raise _refusal(model, f"its output projections take {sorted(columns)} columns, for {heads} heads")
    return Sites(tuple(blocks), heads, next(iter(columns)) // heads, int(config.hidden_size))


def _inputs(projection: torch.nn.Module) -> int:
    """Return how many columns a projection takes; transformers' Conv1D, as in GPT-2, keeps its weights transposed."""
    inputs = getattr(projection, "in_features", None)
    return int(inputs if inputs is not None else projection.weight.shape[0])  # type: ignore[index]


def _child(model: Any, module: torch.nn.Module, names: Iterable[str], what: str) -> torch.nn.Module:
    children = dict(module.named_children())
    for name in names:
        if name in children:
            return children[name]
    raise _refusal(model, f"no {what}: looked for {', '.join(names)}, found {', '.join(children) or 'nothing'}")


def _refusal(model: Any, why: str) -> UserError:
    return UserError(
        f"activations of {type(model).__name__} cannot be patched: {why}. Models shaped like Llama, Qwen, Mistral, "
        "Gemma and GPT-2 can"
    )
