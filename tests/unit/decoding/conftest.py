"""Fixtures of this folder's tests."""

import pytest

from tests.unit.decoding.decoding_tools import random_model


@pytest.fixture(scope="module")
def models():
    """Random models, sharp enough that some masks are surer than others."""
    made = {name: random_model(name) for name in ("llama", "qwen2", "qwen3")}
    for model in made.values():
        model.lm_head.weight.data.mul_(4)
    return made
