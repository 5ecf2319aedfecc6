"""A transformer that was compiled from a program, not designed for these tests: see scripts/compile_counter.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

FILE = Path(__file__).parent / "data" / "compiled_counter.npz"


def load() -> tuple[Any, dict[str, int], list[str], dict[str, Any]]:
    """Return the model as a GPT-2 without normalisation, its tokens, its dimensions' labels and all arrays.

    Logits are the dimensions in which the program answers 0, 1, 2, ...
    """
    arrays = dict(np.load(FILE, allow_pickle=False))
    labels = [str(label) for label in arrays["labels"]]
    vocabulary = {str(token): number for number, token in enumerate(arrays["vocabulary"])}
    width, positions = len(labels), len(arrays["pos_embed/embeddings"])
    layers = len({name.split("/")[0] for name in arrays if name.startswith("layer_")})
    hidden = arrays["layer_0/mlp/linear_1/w"].shape[1]
    numbers = [k for k, label in enumerate(labels) if label.startswith("answer")]
    config = transformers.GPT2Config(
        vocab_size=max(len(vocabulary), len(numbers)), n_embd=width, n_layer=layers, n_head=1, n_positions=positions,
        n_inner=hidden, activation_function="relu", tie_word_embeddings=False, scale_attn_weights=False,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=0,
    )  # fmt: skip
    model = transformers.GPT2LMHeadModel(config).eval()

    def tensor(name: str) -> torch.Tensor:
        return torch.tensor(arrays[name])

    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.transformer.wte.weight[: len(vocabulary)] = tensor("token_embed/embeddings")
        model.transformer.wpe.weight[:] = tensor("pos_embed/embeddings")
        model.transformer.ln_f = torch.nn.Identity()
        for number, block in enumerate(model.transformer.h):
            block.ln_1, block.ln_2 = torch.nn.Identity(), torch.nn.Identity()
            at = f"layer_{number}"
            for part, name in enumerate(("query", "key", "value")):
                weight, bias = tensor(f"{at}/attn/{name}/w"), tensor(f"{at}/attn/{name}/b")
                scale = weight.shape[1] ** -0.5 if name == "query" else 1.0
                block.attn.c_attn.weight[:, part * width : part * width + weight.shape[1]] = weight * scale
                block.attn.c_attn.bias[part * width : part * width + weight.shape[1]] = bias * scale
            linear = tensor(f"{at}/attn/linear/w")
            block.attn.c_proj.weight[: len(linear)] = linear
            block.attn.c_proj.bias[:] = tensor(f"{at}/attn/linear/b")
            for module, name in ((block.mlp.c_fc, "linear_1"), (block.mlp.c_proj, "linear_2")):
                module.weight[:] = tensor(f"{at}/mlp/{name}/w")
                module.bias[:] = tensor(f"{at}/mlp/{name}/b")
        for row, dimension in enumerate(numbers):
            model.lm_head.weight[row, dimension] = 1.0
    return model, vocabulary, labels, arrays
