"""What a model computed for whole texts: logits at chosen positions, queries and keys of the last layer.

The texts are read by `lmx_probes.reader` (packed, shared beginnings once); the attention of its forwards looks at the
last layer's queries and keys as they enter the dot product, so that their normalisation and rotation are the model's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmx_files.errors import UserError
from lmx_models.engine.slot_attention import attend_by, plain_attention
from lmx_probes.models import ProbeModel
from lmx_probes.prefixes import Node
from lmx_probes.reader import HiddenModel, Pass, Text
from lmx_probes.reader import Reader as HiddenReader

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
TOLERANCE = {"torch.float32": 1e-4, "torch.float64": 1e-6}


@dataclass(frozen=True)
class Reading:
    """What one text's forward gave.

    Attributes:
        logits: at the positions asked for, ``[positions, vocabulary]``, without rows of the head that are no token.
        query: ``[heads, tokens, dim]`` of the last layer. key: ``[key heads, tokens, dim]``.
        visible: which keys each query may see, ``[tokens, tokens]``. scaling: of q.k before the softmax.
    """

    logits: Floats
    query: Floats
    key: Floats
    visible: Bools
    scaling: float


class AttentionModel(HiddenModel):
    """Hidden states with the last layer's queries behind them: ``[wanted, width + heads * dim]``, fp32."""

    def __init__(self, probe: ProbeModel, rows: int, slots: int = 0) -> None:
        super().__init__(probe, rows, slots)
        self.last = int(probe.model.config.get_text_config().num_hidden_layers) - 1
        self.query: torch.Tensor | None = None
        self.scaling: float | None = None
        self.window: int | None = None
        attend_by(self.cache, self._attend)

    def _attend(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        values: torch.Tensor,
        plan: Any,
        out: torch.Tensor,
        scaling: float | None,
        window: int | None,
        softcap: float | None,
    ) -> None:
        if self.cache.current == self.last:
            self.query, self.scaling, self.window = query, scaling, window
        plain_attention(query, keys, values, plan, out, scaling, window, softcap)

    def outputs(self, tokens: torch.Tensor, positions: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """Return hidden states and queries of the wanted tokens."""
        hidden = super().outputs(tokens, positions, wanted)
        if self.query is None:
            raise KeyError("attention")
        return torch.cat([hidden.float(), self.query[:, wanted].transpose(0, 1).flatten(1).float()], dim=-1)


class _Passes(HiddenReader):
    """Reads whole texts; each comes with the keys of its last layer and what its attention was."""

    model_kind = AttentionModel

    def finish(self, pass_: Pass, leaf: Node) -> Any:
        model = pass_.model
        assert isinstance(model, AttentionModel)
        keys = model.cache.layers[model.last].keys[pass_.row_of[leaf], :, : leaf.end]
        return pass_.gather(leaf), _array(keys), model


class Reader:
    """Reads a causal language model's last layer.

    Raises:
        UserError: its attention is not softmax(scaling q.k) over visible keys, as a test on a few tokens shows.
    """

    def __init__(self, probe: ProbeModel) -> None:
        self.probe = probe
        self._check()

    def read(self, texts: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]) -> list[Reading]:
        """Return a reading of each text (token ids); `positions` of its tokens are those whose logits are wanted."""
        found: dict[int, Reading] = {}
        for number, (states, key, model) in _Passes(self.probe).read([Text(ids, range(len(ids))) for ids in texts]):
            n, width = len(states), self.probe.width
            hidden = states[list(positions[number]), :width].to(self.probe.head.weight.dtype)
            query = states[:, width:].reshape(n, -1, key.shape[-1]).transpose(0, 1)
            scaling = model.scaling if model.scaling is not None else key.shape[-1] ** -0.5
            logits = _array(self.probe.head.logits(hidden))
            found[number] = Reading(logits, _array(query), key, _visible(n, model.window), float(scaling))
        return [found[number] for number in range(len(texts))]

    def _check(self) -> None:
        """Compare the softmax over what was seen with the attention weights that the stock model reports."""
        n, model = 12, self.probe.model
        ids = [(7 * i) % self.probe.head.vocabulary for i in range(n)]
        before = model.config.get_text_config()._attn_implementation
        model.set_attn_implementation("eager")
        try:
            with torch.inference_mode():
                output = model(torch.tensor([ids], device=model.device), output_attentions=True, use_cache=False)
        finally:
            model.set_attn_implementation(before)
        try:
            reading = self.read([ids], [[n - 1]])[0]
        except KeyError as error:
            raise UserError(_refusal(model, "its attention cannot be read")) from error
        repeat = len(reading.query) // len(reading.key)
        scores = np.einsum("hqd,htd->hqt", reading.query, np.repeat(reading.key, repeat, axis=0)) * reading.scaling
        scores = np.where(reading.visible, scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        difference = float(np.abs(weights - _array(output.attentions[-1][0])).max())
        if not difference < TOLERANCE.get(str(model.dtype), 0.03):
            raise UserError(_refusal(model, f"its attention weights differ by {difference:.2g} from softmax(q.k)"))


def _refusal(model: Any, why: str) -> str:
    return (
        f"{type(model).__name__} is not supported by guided-stats: {why}. Llama, Qwen2, Qwen3, Mistral and other "
        "models with plain softmax attention are"
    )


def _visible(n: int, window: int | None) -> Bools:
    """Return which keys each query sees: those up to its own, of a sliding window the last `window`."""
    seen = np.tril(np.ones((n, n), dtype=np.bool_))
    return seen if window is None else seen & ~np.tril(seen, -window)


def _array(tensor: torch.Tensor) -> Floats:
    return np.asarray(tensor.float().cpu().numpy())
