"""The driver without weights refuses what no engine could do, and answers as an engine with a cache does."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from lmx_models.api import Decoding, Feed, Generation, Method, Segment, drive, drive_method, made_up
from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import EOS, random_model, stopping


def of_length(seen: Sequence[int]) -> torch.Tensor:
    """A "model" whose one logit is how many tokens it has seen."""
    return torch.tensor([float(len(seen))])


def ends_after(*feeds: Feed) -> Decoding:
    answers = []
    for feed in feeds:
        answers.append((yield feed).flatten().tolist())
    return Generation([1], [Segment("m", 0, 1)], "eos", extra={"answers": answers})


def test_a_cache_is_cut_extended_and_cut_again() -> None:
    feeds = [
        Feed("m", [5, 6, 7]),
        Feed("m", [8, 9], keep=1, logits=2),  # 9 is forgotten
        Feed("m", [4]),
        Feed("m", [3, 3], at=2, logits=2),  # 7, 8 and 4 are forgotten
    ]
    generation, fed = drive(ends_after(*feeds), {"m": of_length, "other": of_length})
    assert generation.extra["answers"] == [[3], [4, 5], [5], [3, 4]]
    assert fed == {"m": 8, "other": 0}


@pytest.mark.parametrize(
    ("feed", "message"),
    [
        (Feed("expert", [1]), "there is no model 'expert'"),
        (Feed("m", []), "1 logits of 0"),
        (Feed("m", [1], logits=2), "2 logits of 1"),
        (Feed("m", [1], at=1), "tokens that it never fed"),
        (Feed("m", [1], full=True), "need a real model"),
    ],
)
def test_what_no_engine_could_do(feed: Feed, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        drive(ends_after(feed), {"m": of_length})


@pytest.mark.parametrize("segments", [[], [Segment("m", 0, 1)], [Segment("m", 0, 2), Segment("n", 1, 3)]])
def test_segments_must_cover_the_answer(segments: list[Segment]) -> None:
    def decoder() -> Decoding:
        yield Feed("m", [1])
        return Generation([1, 2, 3], segments, "eos")

    with pytest.raises(AssertionError, match="leave gaps"):
        drive(decoder(), {"m": of_length})


def test_it_answers_as_the_engine_does() -> None:
    """One decoder, twice: over a real network in the engine's cache, and over that network as a function of tokens."""
    network = random_model()

    @torch.inference_mode()
    def plainly(seen: Sequence[int]) -> torch.Tensor:
        return network(torch.tensor([list(seen)])).logits[0, -1]

    def decoder() -> Decoding:
        return autoregressive([5, 9, 2], "m", Sampling(0.8), stopping(12), stream(1))

    scheduler = Scheduler({"m": StepModel(network, 1)}, 1)
    (finished,) = scheduler.run([Job(0, decoder)])
    generation, fed = drive(decoder(), {"m": plainly})
    assert generation == finished.generation
    assert fed["m"] == finished.cost["m"].prefill + finished.cost["m"].decode


def test_a_method_is_driven_by_the_names_that_users_write() -> None:
    said = {}

    def start(request, weights) -> Decoding:
        said.update(request.values, prompt=request.prompt, roles=list(weights))
        return autoregressive(request.prompt, "one", request.sampling, request.stopping, request.rng("sample"))

    method = Method("named", start, roles=("one", "two"), names={"lambda": "distance"})
    models = {"one": made_up("one", vocabulary=30, end=EOS), "two": made_up("two")}
    limits = {"prompt": [7, 8], "max_tokens": 9, "end": EOS, "temperature": 1.0}
    generation, fed = drive_method(method, models, **limits, **{"lambda": 3})
    assert (said["distance"], said["prompt"], said["roles"]) == (3, [7, 8], ["one", "two"])
    assert fed["two"] == 0
    assert len(generation.tokens) <= 9
    again, _ = drive_method(method, models, **limits, seed=7)
    assert again.tokens != generation.tokens


def test_made_up_models_are_the_same_on_every_call_and_differ_by_salt() -> None:
    a, b = made_up("a", vocabulary=9), made_up("b", vocabulary=9)
    assert a([1, 2]).shape == (9,)
    assert torch.equal(a([1, 2]), a((1, 2)))
    assert not torch.equal(a([1, 2]), a([2, 1]))
    assert not torch.equal(a([1, 2]), b([1, 2]))
