"""What the base model computed for whole texts: logits at chosen positions, queries and keys of the last layer.

One causal forward a text serves all its positions. The model's class is transformers' own; an attention function that
is registered with transformers looks at the last layer's queries and keys as they enter the dot product, so that
their normalisation and rotation are the model's own, and leaves the computation to PyTorch's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lmx_files.errors import UserError

if TYPE_CHECKING:
    import torch

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
NAME = "lmx_guided_stats"
TOLERANCE = {"torch.float32": 1e-4, "torch.float64": 1e-6}
_seen: ContextVar[dict[str, Any]] = ContextVar("lmx_guided_stats_seen")


@dataclass(frozen=True)
class Reading:
    """What one text's forward gave.

    Attributes:
        logits: at the positions asked for, ``[positions, vocabulary]``.
        query: ``[heads, tokens, dim]`` of the last layer. key: ``[key heads, tokens, dim]``.
        visible: which keys each query may see, ``[tokens, tokens]``. scaling: of q.k before the softmax.
    """

    logits: Floats
    query: Floats
    key: Floats
    visible: Bools
    scaling: float


class Reader:
    """Runs a causal language model of transformers and reads its last layer.

    Args:
        model: the model; outside `read` it is as it was.

    Raises:
        UserError: its attention is not softmax(scaling q.k) over visible keys, as a test on a few tokens shows.
    """

    def __init__(self, model: Any) -> None:
        self.model = model.eval()
        _register()
        self._check()

    def read(self, texts: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[Reading]:
        """Return a reading of each text (token ids); `positions` of its tokens are those whose logits are wanted."""
        import torch

        longest = max(map(len, texts))
        ids = torch.zeros(len(texts), longest, dtype=torch.long)
        for row, text in enumerate(texts):
            ids[row, : len(text)] = torch.tensor(list(text))
        rows = [row for row, wanted in enumerate(positions) for _ in wanted]
        columns = [column for wanted in positions for column in wanted]
        head = self.model.get_output_embeddings()
        # only the wanted positions go through the head, whose output is the vocabulary's size a position
        hook = head.register_forward_pre_hook(lambda _module, args: (args[0][rows, columns].unsqueeze(0),))
        seen: dict[str, Any] = {"layer": self.model.config.get_text_config().num_hidden_layers - 1}
        token = _seen.set(seen)
        before = self.model.config.get_text_config()._attn_implementation
        self.model.set_attn_implementation(NAME)
        try:
            # padding stands at the end, where no earlier token sees it, so no mask is needed
            with torch.inference_mode():
                logits = self.model(input_ids=ids.to(self.model.device), use_cache=False).logits[0]
        finally:
            self.model.set_attn_implementation(before)
            _seen.reset(token)
            hook.remove()
        found = []
        start = 0
        for row, (text, wanted) in enumerate(zip(texts, positions, strict=True)):
            n = len(text)
            part = logits[start : start + len(wanted)]
            start += len(wanted)
            visible = _visible(seen["mask"], row, n)
            query, key = _array(seen["query"][row, :, :n]), _array(seen["key"][row, :, :n])
            found.append(Reading(_array(part), query, key, visible, float(seen["scaling"])))
        return found

    def _check(self) -> None:
        """Compare the softmax over what was seen with the attention weights that the stock model reports."""
        import torch

        n = 12
        ids = [(7 * i) % self.model.config.get_text_config().vocab_size for i in range(n)]
        before = self.model.config.get_text_config()._attn_implementation
        self.model.set_attn_implementation("eager")
        with torch.inference_mode():
            output = self.model(torch.tensor([ids], device=self.model.device), output_attentions=True, use_cache=False)
        self.model.set_attn_implementation(before)
        try:
            reading = self.read([ids], [[n - 1]])[0]
        except KeyError as error:
            raise UserError(_refusal(self.model, "its attention cannot be read")) from error
        repeat = len(reading.query) // len(reading.key)
        scores = np.einsum("hqd,htd->hqt", reading.query, np.repeat(reading.key, repeat, axis=0)) * reading.scaling
        scores = np.where(reading.visible, scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        difference = float(np.abs(weights - _array(output.attentions[-1][0])).max())
        if not difference < TOLERANCE.get(str(self.model.dtype), 0.03):
            raise UserError(_refusal(self.model, f"its attention weights differ by {difference:.2g} from softmax(q.k)"))


def _refusal(model: Any, why: str) -> str:
    return (
        f"{type(model).__name__} is not supported by guided-stats: {why}. Llama, Qwen2, Qwen3, Mistral and other "
        "models with plain softmax attention are"
    )


def _register() -> None:
    from transformers import AttentionInterface
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

    def attention(
        module: Any, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: Any, **kwargs: Any
    ) -> Any:
        seen = _seen.get()
        if module.layer_idx == seen["layer"]:
            seen |= {
                "query": query,
                "key": key,
                "mask": mask,
                "scaling": kwargs.get("scaling") or query.shape[-1] ** -0.5,
            }
        return sdpa_attention_forward(module, query, key, value, mask, **kwargs)

    AttentionInterface.register(NAME, attention)
    AttentionMaskInterface.register(NAME, sdpa_mask)


def _visible(mask: Any, row: int, n: int) -> Bools:
    if mask is None:
        return np.tril(np.ones((n, n), dtype=np.bool_))
    part = mask[min(row, len(mask) - 1), 0, :n, :n]
    return np.asarray((part if part.dtype.is_floating_point is False else part >= 0).cpu().numpy(), dtype=np.bool_)


def _array(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy())
