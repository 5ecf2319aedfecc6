"""One way to see, or to replace, what a component hands on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch

from lmx_probes.patching.components import Block

Tensor = torch.Tensor


@contextlib.contextmanager
def hooked(block: Block, component: str, see: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
    """Show a component's activation ``[1, tokens, width]`` to a function, inside the block.

    Args:
        component: one of `lmx_probes.patching.components.COMPONENTS`; of ``head`` all heads side by side.
        see: what it returns stands in the activation's place; None leaves it.
    """

    def argument(_module: Any, args: Any) -> Any:
        replaced = see(args[0])
        return None if replaced is None else (replaced, *args[1:])

    def output(_module: Any, _args: Any, found: Any) -> Any:
        replaced = see(first(found))
        if replaced is None:
            return None
        return (replaced, *found[1:]) if isinstance(found, tuple) else replaced

    if component == "head":
        handle: Any = block.projection.register_forward_pre_hook(argument)
    else:
        module = {"residual": block.layer, "attention": block.attention, "mlp": block.mlp}[component]
        handle = module.register_forward_hook(output)
    with removing(handle):
        yield


def first(output: Any) -> Tensor:
    """Return the tensor of a module's output, which may be a tuple that begins with it."""
    tensor: Tensor = output[0] if isinstance(output, tuple) else output
    return tensor


@contextlib.contextmanager
def removing(handle: Any) -> Iterator[None]:
    """Remove a hook at the end of the block."""
    try:
        yield
    finally:
        handle.remove()
