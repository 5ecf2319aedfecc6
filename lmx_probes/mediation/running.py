"""What a probe for the running count needs: residuals where words end, and what a step along its direction does."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lmx_probes.mediation.measure import Meter
from lmx_probes.mediation.roles import tokens_of
from lmx_probes.mediation.transfer import Encode
from lmx_probes.patching.capture import Run
from lmx_probes.patching.patch import Patch, Patcher
from lmx_tasks.category_counting.pairs import Listed
from lmx_tasks.category_counting.relisted import relisted

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class WordList:
    """A list for the probe.

    Attributes:
        split: ``train`` or ``test``, whose words are none of the former's. ends: the last token of each word.
        members: whether each word is of the category.
    """

    number: int
    split: str
    tokens: tuple[int, ...]
    ends: tuple[int, ...]
    members: tuple[bool, ...]


def lists_of(questions: Sequence[Listed], encode: Encode, seed: int, most: int) -> list[WordList]:
    """Return lists with random words for some questions, one to train a probe on and one to test it."""
    rng = random.Random(seed)
    found: list[WordList] = []
    for question in questions[:most]:
        for half, split in enumerate(("train", "test")):
            flags = [rng.random() < 0.5 for _ in question.words]
            made = relisted(question, flags, rng, half)
            ids, offsets = encode(made.prompt)
            ends = [tokens_of(offsets, span) for span in made.spans]
            if all(ends):
                found.append(WordList(len(found), split, tuple(ids), tuple(each[-1] for each in ends), made.members()))
    return found


def residuals(patcher: Patcher, lists: Sequence[WordList], layers: Sequence[int]) -> dict[str, list[Any]]:
    """Return the residual stream at each word's last token, with the count so far, that word included.

    ``residual_3`` holds fp32 bytes of layer 3, as many as the model is wide.
    """
    runs = patcher.capture([each.tokens for each in lists])
    rows = [(i, k) for i, each in enumerate(lists) for k in range(len(each.ends))]
    found: dict[str, list[Any]] = {
        "list": [lists[i].number for i, _ in rows],
        "split": [lists[i].split for i, _ in rows],
        "index": [k for _, k in rows],
        "member": [lists[i].members[k] for i, k in rows],
        "count": [sum(lists[i].members[: k + 1]) for i, k in rows],
    }
    for layer in layers:
        values = [
            run.at("residual", layer, each.ends).float().cpu().numpy() for run, each in zip(runs, lists, strict=True)
        ]
        found[f"residual_{layer}"] = [values[i][k].tobytes() for i, k in rows]
    return found


def digit_rows(patcher: Patcher, meter: Meter) -> dict[str, list[Any]]:
    """Return the output embedding's row of each number, fp32 bytes."""
    weight = patcher.model.get_output_embeddings().weight.detach()[meter.columns.to(patcher.model.device)]
    return {"number": list(range(len(weight))), "row": [row.float().cpu().numpy().tobytes() for row in weight]}


def steering(
    patcher: Patcher, lists: Sequence[WordList], directions: Mapping[int, Floats], meter: Meter, seed: int
) -> dict[str, list[Any]]:
    """Return the shift of the expected count after a step of one word along a direction at the last word's end.

    Args:
        directions: by layer, the change of the residual that goes with one more word counted, ``[width]``. Controls:
            random directions of the same length.
    """
    runs = patcher.capture([each.tokens for each in lists])
    generator = np.random.default_rng(seed)
    rows: list[tuple[int, int, str, int]] = []
    patches: list[Patch] = []
    for i, (run, each) in enumerate(zip(runs, lists, strict=True)):
        for layer, direction in directions.items():
            noise = generator.standard_normal(len(direction)).astype(np.float32)
            noise *= np.linalg.norm(direction) / np.linalg.norm(noise)
            for control, step in (("count", direction), ("random", noise)):
                for sign in (-1, 1):
                    patches.append(_stepped(run, layer, each.ends[-1], sign * step))
                    rows.append((i, layer, control, sign))
    columns = meter.columns.to(patcher.model.device)
    after = meter.answers.expected(patcher.run(patches, columns=columns).cpu().double())
    before = meter.answers.expected(torch.stack([run.logits[columns] for run in runs]).cpu().double())
    return {
        "list": [lists[i].number for i, *_ in rows],
        "layer": [layer for _, layer, _, _ in rows],
        "direction": [control for _, _, control, _ in rows],
        "step": [sign for *_, sign in rows],
        "shift": (after - before[torch.tensor([i for i, *_ in rows])]).tolist(),
    }


def _stepped(run: Run, layer: int, position: int, step: Floats) -> Patch:
    values = run.at("residual", layer, [position])
    return Patch(run, "residual", layer, (position,), values + torch.from_numpy(step).to(values))
