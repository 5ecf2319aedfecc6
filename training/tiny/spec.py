"""The members of the tiny family: what each one is, what it starts from and how long it learns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Spec:
    """One member of the family.

    `batch` maps a kind of example to how many of it one optimiser step sees; `lr`
    (embeddings, norms) and `muon_lr` (matrices) are peak learning rates, reached after `warmup` of the
    steps (a share, 0 to 1) and brought down along a cosine.

    `start` names the member whose weights training starts from; None starts from random ones.
    `block_length` (tokens) is the block of the objectives that have one (0: none); `canvas` (tokens) is the longest
    response that training pads an answer to, where the objective learns a whole canvas. `usual` ones learn each topic's
    usual plan and no other: tokens filled at once cannot agree on a choice left open, so parallel decoders are best
    taught answers that leave none (distilled ones in arXiv 1711.02281). `threads` are torch's: sums are taken in
    another order with another number of them, which changes the last bits and in the end the weights.
    """

    name: str
    shape: str
    hidden: int
    layers: int
    heads: int
    steps: int
    batch: dict[str, int]
    lr: float
    muon_lr: float
    warmup: float = 0.05
    prompt_weight: float = 0.05
    objective: str = "ar"
    start: str | None = None
    block_length: int = 0
    canvas: int = 0
    usual: bool = False
    threads: int = 1


FAMILY: dict[str, Spec] = {
    s.name: s
    for s in (
        Spec(
            "tiny-base", "llama", hidden=64, layers=2, heads=2, steps=650,
            batch={"counting": 32, "naming": 8, "listing": 8, "sections": 4}, lr=3e-3, muon_lr=6e-3,
        ),
        Spec(
            "tiny-oracle", "qwen3", hidden=96, layers=3, heads=3, steps=1500,
            batch={"counting": 48, "naming": 8, "listing": 16, "sections": 8}, lr=3e-3, muon_lr=6e-3,
        ),
        Spec(
            "tiny-wedlm", "qwen3", hidden=96, layers=5, heads=3, steps=4000,
            batch={"counting": 16, "naming": 3, "listing": 8, "sections": 8}, lr=2e-3, muon_lr=4e-3, prompt_weight=0.0,
            objective="wedlm", start="tiny-oracle", block_length=8, usual=True, threads=2,
        ),
        Spec(
            "tiny-bd3lm", "qwen3", hidden=96, layers=5, heads=3, steps=900,
            batch={"counting": 24, "naming": 4, "listing": 16, "sections": 12}, lr=2e-3, muon_lr=4e-3,
            prompt_weight=0.0, objective="bd3lm", start="tiny-wedlm", block_length=8, usual=True, threads=2,
        ),
        Spec(
            "tiny-mdlm", "qwen3", hidden=96, layers=5, heads=3, steps=1100,
            batch={"counting": 12, "naming": 2, "listing": 8, "sections": 12}, lr=1e-3, muon_lr=2e-3, prompt_weight=0.0,
            objective="mdlm", start="tiny-bd3lm", block_length=8, canvas=256, usual=True, threads=2,
        ),
    )
}  # fmt: skip
