"""The decoder without weights, in milliseconds; then on two small models that lmx ships: offline, in seconds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from lm_eval.api.registry import get_model
from lmx_models.api import MethodLM, UserError, drive_method, made_up, texts_of

from my_two_models import model as ours

PROMPTS = ["Write a short list of rules for a kitchen.", "Goal:", "Once upon a time", "The plan has three parts:"]
EXPERT, AMATEUR = made_up("expert"), made_up("amateur")


def load(batch_size: int = 4, **settings: Any) -> MethodLM:
    models = {"pretrained": "tiny-oracle", "amateur": "tiny-base"}
    return ours.MyTwoModelsLM(device="cpu", batch_size=batch_size, **{**models, **settings})


def written(**settings: Any) -> list[int]:
    models = {"expert": EXPERT, "amateur": AMATEUR}
    return drive_method(ours.MyTwoModelsLM.described, models, prompt=[7, 8], **settings)[0].tokens


def test_scores_by_hand() -> None:
    expert, amateur = (torch.tensor(p).log() for p in ([0.6, 0.3, 0.09, 0.01], [0.8, 0.1, 0.05, 0.05]))
    scores = ours.contrast(expert, amateur, ours.Settings(alpha=0.2))
    assert scores[:2].tolist() == pytest.approx([math.log(0.6 / 0.8), math.log(0.3 / 0.1)])
    assert scores[2:].tolist() == [-math.inf, -math.inf]  # less probable than 0.2 * 0.6


def test_vocabularies_that_are_padded_differently() -> None:
    assert ours.contrast(torch.zeros(5), torch.zeros(4), ours.Settings()).shape == (4,)


def test_each_token_is_the_best_contrast_of_all_before() -> None:
    seen = [7, 8]
    for token in written(alpha=0.3):
        assert token == int(ours.contrast(EXPERT(seen), AMATEUR(seen), ours.Settings(alpha=0.3)).argmax())
        seen.append(token)
    assert written(alpha=0.3) != written(alpha=1)  # so the amateur has a say


def test_where_only_the_best_token_is_plausible_the_expert_decodes_greedily() -> None:
    plain = get_model("ar")(pretrained="tiny-oracle", device="cpu", batch_size=4)
    assert texts_of(load(alpha=1), PROMPTS) == texts_of(plain, PROMPTS)


def test_the_batch_does_not_change_a_text() -> None:
    sampled = {"do_sample": True, "temperature": 0.9}
    assert texts_of(load(batch_size=1), PROMPTS, **sampled) == texts_of(load(), PROMPTS, **sampled)


def test_both_models_are_told_in_the_results() -> None:
    lm = load()
    texts = texts_of(lm, PROMPTS)
    told = lm.get_model_info()["decoding"]
    assert (told["model"], told["settings"]["amateur"], told["settings"]["alpha"]) == ("tiny-oracle", "tiny-base", 0.1)
    cost = texts[0].trace.cost
    assert cost["expert"].forwards == cost["amateur"].forwards == texts[0].trace.kept


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"alpha": 0}, "alpha=0.0 must lie in"),
        ({"alhpa": 0.1}, "did you mean 'alpha'"),
        ({"amateur": None}, "needs amateur=MODEL"),
    ],
)
def test_mistakes(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load(**settings)
