"""Linear layers with oneDNN's packed weights, for fp32 on CPUs.

A decoding step multiplies a few rows with every weight matrix. PyTorch's fp32 path packs the whole matrix again in
every call, and on some CPUs runs slow kernels besides; oneDNN packs it once
(`benchmarks/decoding/packed_linear.py` measures it). The price is a second copy of the weights in memory, so
it is done only where that fits easily.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

Forward = Callable[[torch.Tensor], torch.Tensor]
# Packed for this many rows; any other number works as well.
_ROWS_HINT = 8


class PackedLinears:
    """Packed copies of all fp32 linear layers of a model on a CPU; used only inside `active`."""

    def __init__(self, model: torch.nn.Module) -> None:
        self.forwards: list[tuple[torch.nn.Module, Forward]] = []
        if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
            return
        for module in model.modules():
            if type(module) is torch.nn.Linear and module.weight.dtype == torch.float32 and not module.weight.is_cuda:
                packed = torch.ops.mkldnn._reorder_linear_weight(module.weight.detach(), _ROWS_HINT)
                bias = None if module.bias is None else module.bias.detach()
                self.forwards.append((module, functools.partial(_linear, packed, bias)))

    @contextmanager
    def active(self) -> Iterator[None]:
        """Inside the block the model's linear layers use the packed weights; outside it is as it was."""
        for module, forward in self.forwards:
            module.__dict__["forward"] = forward
        try:
            yield
        finally:
            for module, _ in self.forwards:
                module.__dict__.pop("forward", None)


def _linear(weight: torch.Tensor, bias: torch.Tensor | None, x: torch.Tensor) -> torch.Tensor:
    y: torch.Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return y


def fits(model: torch.nn.Module) -> bool:
    """Tell whether a second copy of the linear weights takes less than half of the memory that is free."""
    import psutil

    size = sum(
        module.weight.numel() * module.weight.element_size()
        for module in model.modules()
        if isinstance(module, torch.nn.Linear)
    )
    return size < psutil.virtual_memory().available / 2


_packed: weakref.WeakKeyDictionary[torch.nn.Module, PackedLinears] = weakref.WeakKeyDictionary()


def packed(model: torch.nn.Module) -> PackedLinears | None:
    """Return the packed layers of `model`, made once; None where packing does not apply or does not fit."""
    if model not in _packed:
        if next(model.parameters()).device.type != "cpu" or not fits(model):
            return None
        _packed[model] = PackedLinears(model)
    return _packed[model]
