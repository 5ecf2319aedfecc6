"""The output head of a causal model by itself: hidden states in, logits of the tokenizer's vocabulary out.

Hidden states are those after the last normalisation. A head is a matrix, perhaps a bias, a factor (Cohere's
``logit_scale``, Granite's ``logits_scaling``) and a soft cap (Gemma 2: ``cap * tanh(logits / cap)``). Whether that is
all that a model does is found by comparing with its own logits when it is loaded, see `lmx_probes.models`.

Rows beyond the tokenizer's ids, with which many models pad their matrix, stand for no token: they are left out of every
distribution (as if their logits were minus infinity).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812

from lmx_files import atomic

CHUNK_BYTES = 16 << 20
"""Size of the logits of one chunk of positions, fp32: small enough for the caches of a CPU."""


@dataclass(frozen=True)
class Head:
    """The last step of a model.

    Attributes:
        weight: ``[vocabulary, width]``, only the rows that stand for tokens. bias: ``[vocabulary]`` or None.
        scale: logits are multiplied by it. softcap: the largest size of a logit, None for no cap.
        padding: rows that were left out.
        product: computes ``hidden @ weight.T`` faster (packed layers); gives at least `vocabulary` columns.
    """

    weight: torch.Tensor
    bias: torch.Tensor | None = None
    scale: float = 1.0
    softcap: float | None = None
    padding: int = 0
    product: Callable[[torch.Tensor], torch.Tensor] | None = None

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return int(self.weight.shape[0])

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """Return fp32 logits ``[positions, vocabulary]`` of hidden states ``[positions, width]``.

        The product is made in the weights' own type, as the model makes it.
        """
        if self.product is not None:
            z = self.product(hidden.to(self.weight.dtype))[:, : self.vocabulary]
        else:
            z = F.linear(hidden.to(self.weight.dtype), self.weight, self.bias)
        if self.scale != 1.0:
            z = z * self.scale
        if self.softcap is not None:
            z = torch.tanh(z / self.softcap) * self.softcap
        return z.float()

    def chunks(self, positions: int) -> Iterator[slice]:
        """Yield slices of positions whose logits take `CHUNK_BYTES`."""
        size = max(1, CHUNK_BYTES // (4 * self.vocabulary))
        for begin in range(0, positions, size):
            yield slice(begin, min(positions, begin + size))

    def save(self, path: Path) -> None:
        """Write the head as safetensors; equal heads give equal bytes."""
        from safetensors.torch import save

        tensors = {"weight": self.weight.detach().contiguous().cpu()}
        if self.bias is not None:
            tensors["bias"] = self.bias.detach().contiguous().cpu()
        # in one entry: safetensors writes several in an order that is another each time
        about = {"scale": self.scale, "softcap": self.softcap or 0.0, "padding": self.padding}
        atomic.write(path, save(tensors, {"head": json.dumps(about)}))

    @classmethod
    def read(cls, path: Path, device: torch.device | str = "cpu") -> Head:
        """Read what `save` wrote."""
        from safetensors import safe_open

        with safe_open(path, "pt", device=str(device)) as file:
            about = json.loads(file.metadata()["head"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (a handle, no dict)
        weight, bias = tensors["weight"], tensors.get("bias")
        return cls(
            weight,
            bias,
            float(about["scale"]),
            float(about["softcap"]) or None,
            int(about["padding"]),
            packed_product(weight, bias),
        )


def packed_product(weight: torch.Tensor, bias: torch.Tensor | None) -> Callable[[torch.Tensor], torch.Tensor] | None:
    """Return the product with a matrix packed once for oneDNN; None where packing does not apply."""
    mkldnn: Any = torch.backends.mkldnn
    if weight.dtype != torch.float32 or weight.device.type != "cpu" or not mkldnn.is_available():
        return None
    packed = torch.ops.mkldnn._reorder_linear_weight(weight.detach(), 64)
    return lambda x: torch.ops.mkldnn._linear_pointwise(x, packed, bias, "none", [], "")


def scale_of(config: Any) -> float:
    """Return the factor of a model's logits that its configuration names; 1 where it names none."""
    if (divisor := getattr(config, "logits_scaling", None)) is not None:
        return 1.0 / float(divisor)
    return float(getattr(config, "logit_scale", None) or 1.0)


def softcap_of(config: Any) -> float | None:
    """Return the soft cap of a model's logits, None where there is none."""
    cap = getattr(config, "final_logit_softcapping", None)
    return float(cap) if cap else None
