"""Statistics at consultations, against a two-layer model computed by hand in numpy."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM
from typer.testing import CliRunner

from lmx_analysis.guided_stats import measures
from lmx_analysis.guided_stats.statistics import Base, Options, guided_statistics
from lmx_cli.main import app
from lmx_files.errors import UserError
from lmx_probes import models
from lmx_probes.attention import Reader
from tests.unit.guided.guided_tools import answer, write_guided_run

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


# From runs to files, with the shipped tiny pair's base.


@pytest.fixture(scope="module")
def tiny() -> Base:
    probe = models.load("tiny-base", device="cpu")
    return Base(probe.model, probe.tokenizer, "tiny-base", "shipped", Reader(probe))


@pytest.fixture
def run(tmp_path: Path, tiny: Base) -> Path:
    """Twelve answers of different lengths; two consultations in each but the last."""
    answers = []
    for number in range(12):
        prompt = f"<|user|>Name {number} animals.<|eos|><|assistant|>"
        pieces = [
            ("base", "Goal:\nLearn", 0),
            ("oracle", " if the", 0),
            ("base", " smell of maize" * (1 + number % 3), 0),
        ]
        pieces += [("oracle", " depends on dust.", 0)] if number < 11 else []
        pieces = pieces if number < 11 else [("base", "Goal:\nLearn", 0)]
        ids = [tiny.tokenizer.encode(text, add_special_tokens=False) for _, text, _ in pieces]
        counted = [(source, text, len(part)) for (source, text, _), part in zip(pieces, ids, strict=True)]
        fed = len(tiny.tokenizer.encode(prompt, add_special_tokens=False))
        tokens = [token for part in ids for token in part]
        answers.append(answer(number, counted, prompt, tokens=tokens, prompt_tokens=fed, acc=float(number % 2)))
    return write_guided_run(tmp_path / "run", answers, base="tiny-base")


def test_rows_are_those_of_one_text_alone(run: Path, tiny: Base) -> None:
    together = guided_statistics([run], Options(batch_size=5), lambda name: tiny)
    alone = guided_statistics([run], Options(batch_size=1), lambda name: tiny)
    assert len(together.rows) == 22
    for a, b in zip(together.rows, alone.rows, strict=True):
        assert a == pytest.approx(b, abs=1e-5)
    first = together.rows[0]
    assert (first["doc_id"], first["consultation"], first["acc"]) == (0, 0, 0.0)
    tokens = json.loads(next(run.glob("traces_*")).read_text().splitlines()[0])["trace"]["tokens"]
    assert first["normalized_position"] == first["position"] / len(tokens)
    prompt = tiny.tokenizer.encode("<|user|>Name 0 animals.<|eos|><|assistant|>", add_special_tokens=False)
    context = [*prompt, *tokens[: first["position"]]]
    assert first["context_tokens"] == len(context)
    logits = tiny.model(torch.tensor([context])).logits[0, -1]
    p = logits.detach().double().softmax(-1)
    assert first["entropy"] == pytest.approx(float(-(p * p.log2()).sum()), abs=1e-4)


def test_command_writes_everything(run: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["guided-stats", str(run), "-o", str(output), "--no-plots", "--bootstrap", "200", "--device", "cpu"]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.exception
    table, text = pd.read_parquet(output / "consultations.parquet"), pd.read_csv(output / "consultations.csv")
    assert list(table) == list(text)
    assert len(table) == len(text) == 22
    lines = [json.loads(line) for line in (output / "guided_stats.jsonl").read_text().splitlines()]
    assert [len(line["analysis_result"]) for line in lines] == [2] * 11 + [0]
    assert [line["acc"] for line in lines] == [float(number % 2) for number in range(12)]
    assert lines[0]["cheat_positions"] == [each["position"] for each in lines[0]["analysis_result"]]
    manifest = json.loads((output / "guided_stats_manifest.json").read_text())
    assert manifest["base"]["name"] == "tiny-base"
    assert len(manifest["inputs"][0]["sha256"]) == 3
    assert len(pd.read_csv(output / "correlations.csv")) == 20


def test_tables_are_made_again_without_a_model(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, again = tmp_path / "out", tmp_path / "again"
    arguments = ["--no-plots", "--bootstrap", "200"]
    CliRunner().invoke(app, ["guided-stats", str(run), "-o", str(first), *arguments, "--device", "cpu"])
    monkeypatch.setattr("lmx_cli.analyses.guided._load", refuse)
    outcome = CliRunner().invoke(app, ["guided-stats", str(first), "-o", str(again), *arguments])
    assert outcome.exit_code == 0, outcome.exception
    for file in first.iterdir():
        assert (again / file.name).read_bytes() == file.read_bytes(), file.name
    outcome = CliRunner().invoke(app, ["guided-stats", str(first), "-o", str(again), "--mode", "seed"])
    assert isinstance(outcome.exception, UserError)
    (first / "texts.parquet").write_bytes(b"PAR1")
    outcome = CliRunner().invoke(app, ["guided-stats", str(first), "-o", str(again)])
    assert "does not hold what lmx guided-stats measured" in str(outcome.exception)


def test_seed_mode_by_command_gives_one_over_the_context(run: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    arguments = ["guided-stats", str(run), "-o", str(tmp_path / "out"), "--mode", "seed", "--bootstrap", "200"]
    outcome = CliRunner().invoke(app, [*arguments, "--device", "cpu"])
    assert outcome.exit_code == 0, outcome.exception
    table = pd.read_csv(tmp_path / "out" / "consultations.csv")
    assert np.allclose(table["interaction_strength"], 1 / table["context_tokens"])
    for name in ("correlations", "distributions"):
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert b"<svg" in (tmp_path / "out" / f"{name}.svg").read_bytes()


def test_another_tokenizer_or_template_is_refused(run: Path, tiny: Base) -> None:
    traces = next(run.glob("traces_*"))
    lines = [json.loads(line) for line in traces.read_text().splitlines()]
    lines[3]["trace"]["prompt_tokens"] += 1
    traces.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match=r"document 3 of toy: the prompt has \d+ tokens .* the run fed"):
        guided_statistics([run], Options(), lambda name: tiny)
    lines[3]["trace"]["prompt_tokens"] -= 1
    lines[3]["trace"]["tokens"].reverse()
    traces.write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(UserError, match="document 3 of toy: the token ids of the trace are not its text"):
        guided_statistics([run], Options(), lambda name: tiny)


def refuse(name: str) -> Base:
    raise AssertionError("no model should be loaded")


def test_mistakes_are_found_before_a_model_is_loaded(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="did you mean 'corrected'"):
        Options(mode="correct")
    nothing = write_guided_run(tmp_path / "nothing", [answer(0, [("base", "b", 2)], acc=1.0)], c=0.0)
    with pytest.raises(UserError, match="the oracle was not asked"):
        guided_statistics([nothing], Options(), refuse)
    pieces = [("base", "b", 2), ("oracle", "o", 2)]
    remote = write_guided_run(tmp_path / "r", [answer(0, pieces, acc=1.0)], base="openai:http://localhost/v1#m")
    with pytest.raises(UserError, match="is an endpoint"):
        guided_statistics([remote], Options(), refuse)
    with pytest.raises(UserError, match="several bases"):
        guided_statistics([remote, run], Options(), refuse)
