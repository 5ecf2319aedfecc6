"""Compile a program that keeps a running count into a transformer, and export its plain weights for the tests.

    python -m venv envs/tracr && envs/tracr/bin/pip install tracr-pypi==1.0.0
    envs/tracr/bin/python scripts/compile_counter.py tests/unit/mediation/data/compiled_counter.npz

Needs jax, which lmx does not; the file it writes is NumPy's and holds no code. The program (RASP: G. Weiss et al.,
arXiv 2106.06981; compiled as in D. Lindner et al., Tracr, arXiv 2301.05062) counts the x among the tokens so far, at
every position, and answers with the count that the position before the last one holds.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

LENGTH = 8


def program() -> Any:
    """Return the program: what each position answers is the running count of the position before it."""
    from tracr.rasp import rasp

    member = rasp.Map(lambda token: int(token == "x"), rasp.tokens)
    running = rasp.SelectorWidth(rasp.Select(member, member, lambda key, query: key == 1)).named("running_count")
    before = rasp.Select(rasp.indices, rasp.indices, lambda key, query: key == query - 1)
    return rasp.Aggregate(before, running).named("answer")


def export(path: str) -> None:
    """Write the compiled model's weights, its dimensions' labels and its vocabulary."""
    from tracr.compiler import compiling

    model = compiling.compile_rasp_to_model(
        program(), vocab={"x", "y"}, max_seq_len=LENGTH, compiler_bos="BOS", causal=True
    )
    arrays = {
        f"{module}/{name}".replace("transformer/", ""): np.asarray(value, np.float32)
        for module, parameters in model.params.items()
        for name, value in parameters.items()
    }
    vocabulary = sorted(model.input_encoder.encoding_map.items(), key=lambda pair: pair[1])
    arrays["labels"] = np.array(model.residual_labels)
    arrays["vocabulary"] = np.array([str(token) for token, _ in vocabulary])
    text = ["BOS", "x", "y", "x", "x", "y", "x", "y", "x"]
    arrays["example"] = np.array(text)
    arrays["example_answers"] = np.array([str(each) for each in model.apply(text).decoded])
    np.savez_compressed(path, **arrays)
    print(path, f"{len(model.residual_labels)} dimensions", f"{text} -> {model.apply(text).decoded}")


if __name__ == "__main__":
    export(sys.argv[1])
