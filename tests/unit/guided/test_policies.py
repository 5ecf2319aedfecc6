import math

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.core.sampling import stream
from lmx_models.decoding.guided.policies import POLICIES, Point, PolicyConfig, calibrate
from lmx_models.decoding.guided.signals import entropy, margin, top_p, varentropy

FLAT = torch.zeros(4)
SURE = torch.tensor([9.0, 0.0, 0.0, 0.0])


def point(logits=FLAT, position=0, text="", after_oracle=False):
    return Point(position, 100, text, logits, after_oracle, stream("p"))


def fires(config: PolicyConfig, points) -> list[bool]:
    policy = POLICIES[config.policy](config)
    return [policy(one) for one in points]


def test_signals_of_a_flat_and_a_two_point_distribution():
    assert entropy(FLAT) == pytest.approx(math.log(4))
    assert varentropy(FLAT) == pytest.approx(0, abs=1e-6)
    two = torch.log(torch.tensor([0.75, 0.25]))
    h = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert entropy(two) == pytest.approx(h, abs=1e-6)
    assert varentropy(two) == pytest.approx(
        0.75 * (math.log(0.75) + h) ** 2 + 0.25 * (math.log(0.25) + h) ** 2, abs=1e-6
    )
    assert margin(two) == pytest.approx(0.5)
    assert top_p(two) == pytest.approx(0.75)


def test_signals_bear_impossible_tokens_and_bf16():
    logits = torch.tensor([1.0, float("-inf"), 1.0])
    assert entropy(logits) == pytest.approx(math.log(2))
    assert varentropy(logits) == pytest.approx(0, abs=1e-6)
    assert entropy(FLAT.bfloat16()) == pytest.approx(math.log(4))


@pytest.mark.parametrize(("name", "threshold"), [("entropy", 1.0), ("margin", 0.5), ("top_p", 0.5)])
def test_thresholds_fire_on_doubt(name, threshold):
    assert fires(PolicyConfig(name, threshold=threshold), [point(SURE), point(FLAT)]) == [False, True]


def test_varentropy_fires_above():
    spread = torch.log(torch.tensor([0.9, 0.05, 0.05, 1e-9]))
    assert fires(PolicyConfig("varentropy", threshold=0.2), [point(FLAT), point(spread)]) == [False, True]


def test_a_window_averages():
    config = PolicyConfig("entropy", threshold=0.8, window=2)
    assert fires(config, [point(SURE), point(FLAT), point(FLAT)]) == [False, False, True]


def test_hysteresis_waits_until_the_signal_has_come_back():
    points = [point(FLAT), point(FLAT), point(SURE), point(FLAT)]
    assert fires(PolicyConfig("entropy", threshold=1.0), points) == [True, True, False, True]
    assert fires(PolicyConfig("entropy", threshold=1.0, rearm=0.5), points) == [True, False, False, True]


def test_fixed_and_step_boundary():
    assert fires(PolicyConfig("fixed", every=2), [point()] * 6) == [False, False, True, False, False, True]
    texts = ["", "word", "end. ", "line\n", "3", "what?"]
    points = [point(text=text, position=i) for i, text in enumerate(texts)]
    assert fires(PolicyConfig("step_boundary"), points) == [True, False, True, True, False, True]


def test_random_fires_at_its_rate():
    config, rng = PolicyConfig("random", prob=0.25), stream("rate")
    policy = POLICIES["random"](config)
    hits = sum(policy(Point(i, 100, "", None, False, rng)) for i in range(4000)) / 4000
    assert abs(hits - 0.25) < 4 * math.sqrt(0.25 * 0.75 / 4000)


def test_calibration_meets_its_share():
    """Consulting where the signal passes the threshold gives the wanted share of oracle tokens."""
    values = torch.rand(20_000, generator=torch.Generator().manual_seed(0)).tolist()
    for signal in ("entropy", "top_p"):
        for share, k in ((0.2, 10), (0.5, 5)):
            threshold = calibrate(values, signal, share, k)
            doubt = sum(v > threshold if signal == "entropy" else v < threshold for v in values) / len(values)
            assert doubt * k / (doubt * k + 1) == pytest.approx(share, abs=0.01)


def test_calibration_needs_values_and_a_finite_k():
    with pytest.raises(UserError, match="record="):
        calibrate([], "entropy", 0.2, 10)
    with pytest.raises(UserError, match="finite k"):
        calibrate([1.0], "entropy", 0.2, float("inf"))
