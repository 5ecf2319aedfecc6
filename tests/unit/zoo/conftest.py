"""Fixtures of this folder's tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from lmx_models.zoo import catalogue, hub
from tests.unit.zoo.tiny_tools import EOS, MASK, PAD, VOCABULARY


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def network():
    """A small random Qwen3 whose outputs are far from flat."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "head_dim": 8}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    ids = {"vocab_size": VOCABULARY, "eos_token_id": EOS, "bos_token_id": None, "pad_token_id": PAD}
    config = Qwen3Config(**shape, **heads, **ids, mask_token_id=MASK, max_position_embeddings=128)
    model = Qwen3ForCausalLM(config).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.mul_(6)
    return model


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Give every test empty caches, and a Hub that fails the test when it is asked unexpectedly."""
    from huggingface_hub import constants

    monkeypatch.setenv("LMX_CACHE", str(tmp_path / "lmx"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(catalogue, "TINY", tmp_path / "tiny")
    monkeypatch.setattr(hub, "_question", lambda repo, revision: pytest.fail(f"the Hub was asked for {repo}"))
    hub.forget()


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Make the Hub unreachable; the list collects what it was asked."""
    asked: list[str] = []

    def question(repo: str, revision: str | None) -> hub.Answer:
        asked.append(repo)
        return hub.Answer(False, "name not known")

    monkeypatch.setattr(hub, "_question", question)
    return asked
