"""The loss of a real model: the mean over the reference's tokens, with and without a journal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lmx_tasks.superni import utils


def loss_of(lm: Any, limit: int) -> list[float]:
    from lm_eval.evaluator import simple_evaluate
    from lm_eval.tasks import TaskManager

    folder = Path(utils.__file__).parent
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    task = manager.load(
        {"group": "mini", "task": [{"task": "superni_loss", "custom_dataset": lambda **_: utils.load_mini()}]}
    )["tasks"]["superni_loss"]
    found = simple_evaluate(model=lm, tasks=[task], limit=limit, bootstrap_iters=0, log_samples=True)
    assert found is not None
    return [sample["loss"] for sample in found["samples"]["superni_loss"]]


def test_the_loss_is_the_mean_cross_entropy_of_the_references_tokens(tmp_path: Path) -> None:
    from lmx_models.methods.ar import AutoregressiveLM

    options = {"pretrained": "tiny-base", "device": "cpu", "batch_size": 4}
    lm = AutoregressiveLM(**options)
    expected = []
    for doc in list(utils.load_mini()["test"])[:5]:
        prompt = utils.doc_to_text(doc)
        before = lm.tok_encode(prompt)
        tokens = lm.tok_encode(f"{prompt} {doc['references'][0]}")
        with torch.inference_mode():
            logits = lm.model(torch.tensor([tokens]))[0][0]
        losses = torch.nn.functional.cross_entropy(logits[:-1], torch.tensor(tokens[1:]), reduction="none")
        expected.append(float(losses[len(before) - 1 :].mean()))
    assert all(value > 0 for value in expected)
    assert loss_of(lm, 5) == pytest.approx(expected, abs=1e-4)
    kept = AutoregressiveLM(**options, journal=str(tmp_path / "journal"))
    first = loss_of(kept, 5)
    again = loss_of(AutoregressiveLM(**options, journal=str(tmp_path / "journal")), 5)
    assert first == again == pytest.approx(expected, abs=1e-4), "likelihoods out of a journal are counted too"
