"""Statistics at consultations, against a two-layer model computed by hand in numpy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from lmx_files.errors import UserError
from lmx_probes import models
from lmx_probes.attention import Reader
from lmx_probes.guided_stats import measures

SHAPE: dict[str, Any] = {
    "vocab_size": 41, "hidden_size": 24, "intermediate_size": 40, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64, "initializer_range": 0.4,
    "rope_parameters": {"rope_type": "default", "rope_theta": 100.0}, "tie_word_embeddings": False,
}  # fmt: skip
IDS = [3, 14, 15, 9, 26, 5, 35, 8, 9, 7, 9, 32]


def build(kind: str) -> Any:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SHAPE)) if kind == "llama" else Qwen3ForCausalLM(Qwen3Config(**SHAPE))
    with torch.no_grad():  # norms of one would hide that they are left out
        for name, weight in model.named_parameters():
            if "norm" in name:
                weight.copy_(0.5 + torch.rand_like(weight))
    return model


class Vocabulary:
    """Stands for a tokenizer of all ids of a model."""

    def get_vocab(self) -> dict[str, int]:
        return {str(number): number for number in range(SHAPE["vocab_size"])}


def reader_of(model: Any) -> Reader:
    return Reader(models.probe(model, Vocabulary(), "made"))


# The model by hand, in float64.


def by_hand(model: Any, ids: list[int]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return logits ``[tokens, vocabulary]``, and the last layer's queries and keys ``[heads, tokens, dim]``."""
    w = {name: weight.detach().double().numpy() for name, weight in model.state_dict().items()}
    heads, groups, dim = SHAPE["num_attention_heads"], SHAPE["num_key_value_heads"], SHAPE["head_dim"]
    n = len(ids)
    x = w["model.embed_tokens.weight"][ids]
    for layer in range(SHAPE["num_hidden_layers"]):
        at = f"model.layers.{layer}."
        h = norm(x, w[at + "input_layernorm.weight"])
        q, k, v = (
            (h @ w[f"{at}self_attn.{part}_proj.weight"].T).reshape(n, count, dim).transpose(1, 0, 2)
            for part, count in (("q", heads), ("k", groups), ("v", groups))
        )
        if f"{at}self_attn.q_norm.weight" in w:
            q, k = norm(q, w[f"{at}self_attn.q_norm.weight"]), norm(k, w[f"{at}self_attn.k_norm.weight"])
        q, k = rotate(q), rotate(k)
        k, v = np.repeat(k, heads // groups, axis=0), np.repeat(v, heads // groups, axis=0)
        out = np.zeros((n, heads, dim))
        for head in range(heads):
            for t in range(n):
                out[t, head] = attention_row(q[head, t], k[head, : t + 1]) @ v[head, : t + 1]
        x = x + out.reshape(n, -1) @ w[at + "self_attn.o_proj.weight"].T
        h = norm(x, w[at + "post_attention_layernorm.weight"])
        gate, up = (h @ w[f"{at}mlp.{part}_proj.weight"].T for part in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[at + "mlp.down_proj.weight"].T
    return norm(x, w["model.norm.weight"]) @ w["lm_head.weight"].T, q, k


def norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + 1e-6) * weight


def rotate(x: np.ndarray) -> np.ndarray:
    """Turn dimensions i and i + dim/2 of position t by the angle t / theta^(2 i / dim)."""
    _, n, dim = x.shape
    out = np.empty_like(x)
    for t in range(n):
        for i in range(dim // 2):
            angle = t / SHAPE["rope_parameters"]["rope_theta"] ** (2 * i / dim)
            a, b = x[:, t, i], x[:, t, i + dim // 2]
            out[:, t, i] = a * math.cos(angle) - b * math.sin(angle)
            out[:, t, i + dim // 2] = b * math.cos(angle) + a * math.sin(angle)
    return out


def attention_row(query: np.ndarray, keys: np.ndarray) -> np.ndarray:
    weights = np.exp(keys @ query / math.sqrt(len(query)))
    return weights / weights.sum()


def bits(p: np.ndarray) -> float:
    return float(-sum(x * math.log2(x) for x in p if x > 0))


def expected(model: Any, ids: list[int]) -> dict[str, float]:
    """Return the corrected statistics at the last token of `ids`, from their definitions."""
    logits, q, k = by_hand(model, ids)
    p = np.exp(logits[-1]) / np.exp(logits[-1]).sum()
    rows = [attention_row(q[head, -1], k[head]) for head in range(len(q))]
    mean = sum(rows) / len(rows)
    entropies = [bits(row) for row in rows]
    ordered = sorted(p, reverse=True)
    return {
        "entropy": bits(p),
        "varentropy": sum(x * (math.log2(x) + bits(p)) ** 2 for x in p),
        "top_prob": ordered[0],
        "prob_top2_diff": ordered[0] - ordered[1],
        "attn_entropy": sum(entropies) / len(entropies),
        "attn_varentropy": float(np.var(entropies)),
        "agreement": 1 - sum(0.5 * sum(abs(row - mean)) for row in rows) / len(rows),
        "interaction_strength": float(
            np.mean([abs(q[h, -1] @ k[h, j]) for h in range(len(q)) for j in range(len(ids))])
        )
        / math.sqrt(SHAPE["head_dim"]),
    }


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_corrected_equals_the_model_by_hand(kind: str) -> None:
    """One forward over all tokens, next to a longer text in the batch, read at two positions."""
    model = build(kind)
    _, reading = reader_of(model).read([[*IDS, 1, 2, 3], IDS], [[0], [6, len(IDS) - 1]])
    for which, position in enumerate((6, len(IDS) - 1)):
        end = position + 1
        found = measures.token_measures(reading.logits[which]) | measures.corrected(
            reading.query[:, position], reading.key[:, :end], reading.visible[position, :end], reading.scaling
        )
        assert found == pytest.approx(expected(model, IDS[:end]), abs=1e-5)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_seed_mode_has_the_published_flaws(kind: str) -> None:
    model = build(kind)
    reading = reader_of(model).read([IDS], [[0]])[0]
    found = measures.seed(reading.query, reading.key, reading.visible, reading.scaling)
    n = len(IDS)
    assert found["interaction_strength"] == pytest.approx(1 / n)
    _, q, k = by_hand(model, IDS)
    once = np.zeros((len(q), n, n))
    for head in range(len(q)):
        for t in range(n):
            once[head, t, : t + 1] = attention_row(q[head, t], k[head, : t + 1])
    twice = np.exp(once) / np.exp(once).sum(axis=-1, keepdims=True)
    entropies = np.array([[bits(row) for row in head] for head in twice])
    assert found["attn_entropy"] == pytest.approx(entropies.mean(), abs=1e-5)
    assert found["attn_entropy"] > math.log2(n) - 0.2
    over_queries = [np.var(head, ddof=1) for head in entropies]
    assert found["attn_varentropy"] == pytest.approx(np.mean(over_queries), abs=1e-6)
    assert found["agreement"] == pytest.approx(np.abs(twice - twice.mean(axis=0)).mean(), abs=1e-6)


def test_seed_mode_in_blocks_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    reading = reader_of(build("llama")).read([IDS], [[0]])[0]
    arguments = (reading.query, reading.key, reading.visible, reading.scaling)
    whole = measures.seed(*arguments)
    monkeypatch.setattr(measures, "BLOCK", 1)
    assert measures.seed(*arguments) == pytest.approx(whole)


def test_a_sliding_window_hides_keys() -> None:
    torch.manual_seed(0)
    windowed = {**SHAPE, "use_sliding_window": True, "sliding_window": 4, "max_window_layers": 0}
    model = Qwen3ForCausalLM(Qwen3Config(**windowed))
    assert reader_of(model).read([IDS], [[0]])[0].visible.sum(axis=1).tolist() == [1, 2, 3] + [4] * 9


def test_attention_that_is_no_softmax_of_products_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    model = build("llama")
    for layer in model.model.layers:
        layer.self_attn.scaling = 0.1
    reader_of(model)  # another scaling is fine
    original = Reader.read

    def other(self: Reader, *arguments: Any) -> Any:
        return [type(each)(**{**each.__dict__, "scaling": 0.2}) for each in original(self, *arguments)]

    monkeypatch.setattr(Reader, "read", other)
    with pytest.raises(UserError, match="LlamaForCausalLM is not supported"):
        reader_of(model)


def test_certain_and_uniform_distributions() -> None:
    uniform = measures.token_measures(np.zeros(8))
    assert uniform == pytest.approx({"entropy": 3, "varentropy": 0, "top_prob": 1 / 8, "prob_top2_diff": 0}, abs=1e-12)
    certain = measures.token_measures(np.array([0.0, 5000.0, -np.inf]))
    assert certain == pytest.approx({"entropy": 0, "varentropy": 0, "top_prob": 1, "prob_top2_diff": 1})
