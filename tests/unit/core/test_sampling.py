import math

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.core.sampling import Sampling, probabilities, sample, stream

LOGITS = torch.log(torch.tensor([0.5, 0.25, 0.15, 0.07, 0.03]))


def draw(sampling: Sampling, n: int = 4000) -> list[float]:
    rng = stream("test")
    counts = [0] * len(LOGITS)
    for _ in range(n):
        counts[sample(LOGITS, sampling, rng)] += 1
    return [count / n for count in counts]


def test_temperature_zero_is_argmax_and_takes_nothing_from_the_stream():
    rng = stream("a")
    before = rng.getstate()
    assert sample(LOGITS, Sampling(0.0), rng) == 0
    assert rng.getstate() == before


def test_frequencies_follow_the_distribution():
    for share, p in zip(draw(Sampling(1.0)), LOGITS.exp().tolist(), strict=True):
        assert abs(share - p) < 4 * math.sqrt(p * (1 - p) / 4000)


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(1.0, top_k=2), [2 / 3, 1 / 3]),
        (Sampling(1.0, top_p=0.7), [2 / 3, 1 / 3]),
        (Sampling(1.0, top_p=0.8), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9]),
        (Sampling(1.0, min_p=0.29), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9]),
        (Sampling(1.0, top_k=3, top_p=0.6), [2 / 3, 1 / 3]),
        # Dividing by the temperature first: at T=0.5 the probabilities are squared, and .79 of them lies on one token.
        (Sampling(0.5, top_p=0.7), [1.0]),
    ],
)
def test_filters(sampling, expected):
    p, ids = probabilities(LOGITS, sampling)
    assert ids.tolist() == list(range(len(expected)))
    assert p.tolist() == pytest.approx(expected, abs=1e-6)


def test_top_p_agrees_with_transformers_on_a_large_vocabulary():
    from transformers import TopPLogitsWarper

    for scale in (0.01, 1.0, 8.0):  # flat ones need more candidates than the first guess
        logits = torch.randn(3000, generator=torch.Generator().manual_seed(1)) * scale
        warped = TopPLogitsWarper(0.9)(None, logits[None].double())[0]
        p, ids = probabilities(logits, Sampling(1.0, top_p=0.9))
        expected = torch.softmax(warped, -1)
        assert sorted(ids.tolist()) == expected.nonzero().flatten().tolist()
        assert torch.allclose(expected[ids], p, atol=1e-9)


def test_streams_depend_on_every_part_and_repeat():
    draws = {stream(*parts).random() for parts in [(1, "t", 0), (1, "t", 1), (2, "t", 0), (1, "u", 0)]}
    assert len(draws) == 4
    assert stream(1, "t", 0).random() == stream(1, "t", 0).random()


@pytest.mark.parametrize("bad", [{"temperature": -1}, {"top_p": 0}, {"top_p": 1.1}, {"top_k": -2}, {"min_p": 1}])
def test_bad_settings_name_the_value(bad):
    (name, value), *_ = bad.items()
    with pytest.raises(UserError, match=f"{name}={value}"):
        Sampling(**bad)
