"""When guided decoding asks the oracle.

A policy is made once per sequence and called before *every* token the base would write, so also right after the oracle
has handed back: whether it may then consult again at once is its own business (`ramp`, `always` and those that read a
signal do; `ramp_spaced`, `fixed`, `random` and `step_boundary` wait for the base). It answers yes or no; budgets are
the decoder's business.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lmx_files.errors import UserError, unknown
from lmx_models.decoding.guided.signals import DOUBT_IS_HIGH, SIGNALS


@dataclass(slots=True)
class Point:
    """What a policy may look at before the base writes its next token.

    position: tokens generated so far. max_tokens: most that may be. text: the last token's text. logits: the base's
    next-token logits ``[vocabulary]`` (None for policies with ``reads_logits = False``). after_oracle: the oracle wrote
    the last token. rng: the sequence's stream for policies, apart from the one tokens are sampled with.
    """

    position: int
    max_tokens: int
    text: str
    logits: torch.Tensor | None
    after_oracle: bool
    rng: random.Random


Policy = Callable[[Point], bool]


@dataclass(frozen=True)
class PolicyConfig:
    """Settings of all policies; each reads its own.

    Attributes:
        policy: a name from `POLICIES`, or ``module:callable`` that takes a `Point` and returns a bool.
        step_size: ramp, ramp_spaced: tokens the base writes after a draw that did not fire.
        every: fixed: base tokens between two consultations.
        prob: random: probability of consulting at each base token.
        threshold: entropy, varentropy (nats, nats^2): consult above; margin, top_p (probabilities): consult below.
        window: signal policies: mean over this many last points (1: the point itself).
        rearm: signal policies: after firing, wait until the signal has come back to this value (hysteresis).
        signal, share, calibration: quantile: the signal; the share of oracle tokens to aim at; a traces file of a run
            with ``record=<signal>`` on other prompts, from which the threshold is read.
    """

    policy: str = "ramp"
    step_size: int = 10
    every: int = 20
    prob: float = 0.1
    threshold: float | None = None
    window: int = 1
    rearm: float | None = None
    signal: str = "entropy"
    share: float = 0.2
    calibration: str | None = None

    def __post_init__(self) -> None:
        if self.policy not in POLICIES and ":" not in self.policy:
            raise unknown("policy", self.policy, POLICIES, "Your own: policy=module:callable")
        for name in ("step_size", "every", "window"):
            if getattr(self, name) < 1:
                raise UserError(f"{name}={getattr(self, name)} must be a whole number of at least 1")
        if not 0 <= self.prob <= 1:
            raise UserError(f"prob={self.prob} must lie in [0, 1]")
        if not 0 < self.share < 1:
            raise UserError(f"share={self.share} must lie between 0 and 1")
        if self.signal not in SIGNALS:
            raise unknown("signal", self.signal, SIGNALS)
        if self.policy in SIGNALS and self.threshold is None:
            raise UserError(f"policy={self.policy} needs threshold=NUMBER, e.g. threshold=2.0 nats for entropy")
        if self.policy == "quantile" and self.threshold is None and self.calibration is None:
            raise UserError(
                "policy=quantile needs calibration=TRACES.jsonl, the traces of a run with "
                f"c=0,record={self.signal},traces=TRACES.jsonl on prompts you will not report"
            )


class Ramp:
    """The published policy: before every `step_size` base tokens draw u < 0.3 + 0.7 i / max_tokens.

    It draws again directly after each consultation, so consultations can follow one another.
    """

    reads_logits = False

    def __init__(self, config: PolicyConfig) -> None:
        self.step_size, self.left, self.fired = config.step_size, 0, False

    def __call__(self, point: Point) -> bool:
        if self.fired and not point.after_oracle:  # the oracle wrote nothing, and the base has begun a step
            self.left = self.step_size - 1
        self.fired = not self.left and point.rng.random() < 0.3 + 0.7 * point.position / point.max_tokens
        if not self.fired:
            self.left = (self.left or self.step_size) - 1
        return self.fired


class RampSpaced(Ramp):
    """As `Ramp`, but after a consultation the base writes `step_size` tokens before the next draw."""

    def __call__(self, point: Point) -> bool:
        if point.after_oracle:
            self.left = self.step_size
        return super().__call__(point)


class Fixed:
    """Consult after every `every` base tokens."""

    reads_logits = False

    def __init__(self, config: PolicyConfig) -> None:
        self.every, self.written = config.every, 0

    def __call__(self, point: Point) -> bool:
        if self.written >= self.every:
            self.written = 0
            return True
        self.written += 1
        return False


class Random:
    """Consult before each base token with probability `prob`: the control for every cleverer policy."""

    reads_logits = False

    def __init__(self, config: PolicyConfig) -> None:
        self.prob = config.prob

    def __call__(self, point: Point) -> bool:
        return not point.after_oracle and point.rng.random() < self.prob


class Threshold:
    """Consult where a signal of doubt, averaged over a window, passes a threshold; optionally with hysteresis."""

    reads_logits = True

    def __init__(self, config: PolicyConfig, signal: str | None = None) -> None:
        name = signal or config.policy
        self.read, self.sign = SIGNALS[name], 1 if DOUBT_IS_HIGH[name] else -1
        assert config.threshold is not None  # PolicyConfig and `calibrate` see to it
        self.threshold, self.rearm = config.threshold, config.rearm
        self.recent: deque[float] = deque(maxlen=config.window)
        self.armed = True

    def __call__(self, point: Point) -> bool:
        assert point.logits is not None
        self.recent.append(self.read(point.logits))
        value = sum(self.recent) / len(self.recent)
        if not self.armed and self.rearm is not None:
            self.armed = self.sign * value <= self.sign * self.rearm
        if not self.armed or self.sign * value <= self.sign * self.threshold:
            return False
        self.armed = self.rearm is None
        self.recent.clear()
        return True


class StepBoundary:
    """Consult at the start of a line or sentence."""

    reads_logits = False

    def __init__(self, config: PolicyConfig) -> None:
        pass

    def __call__(self, point: Point) -> bool:
        text = point.text.rstrip(" ")
        return not point.after_oracle and (point.position == 0 or text.endswith(("\n", ".", "!", "?")))


class Always:
    """Consult wherever the budget allows."""

    reads_logits = False

    def __init__(self, config: PolicyConfig) -> None:
        pass

    def __call__(self, point: Point) -> bool:
        return True


class Never(Always):
    """Never consult: base only."""

    def __call__(self, point: Point) -> bool:
        return False


POLICIES: dict[str, Callable[[PolicyConfig], Policy]] = {
    "ramp": Ramp,
    "ramp_spaced": RampSpaced,
    "fixed": Fixed,
    "random": Random,
    **dict.fromkeys(SIGNALS, Threshold),
    "step_boundary": StepBoundary,
    "quantile": lambda config: Threshold(config, config.signal),
    "always": Always,
    "never": Never,
}


def calibrate(values: Sequence[float], signal: str, share: float, k: float) -> float:
    """Return the threshold at which consultations of `k` tokens make up `share` of all tokens.

    A consultation at a rate r of the base's tokens gives a share s = r k / (r k + 1), so r = s / (k (1 - s)); the
    threshold is the signal's quantile that a fraction r of `values` exceeds (in the direction of doubt).
    """
    if not values:
        raise UserError("the calibration traces hold no signal values: make them with record=<signal>")
    if k == float("inf"):
        raise UserError("policy=quantile needs a finite k: with k=inf the first consultation writes the rest")
    rate = min(share / (max(k, 1) * (1 - share)), 1.0)
    ordered = sorted(values, reverse=DOUBT_IS_HIGH[signal])
    return ordered[min(round(rate * len(ordered)), len(ordered) - 1)]
