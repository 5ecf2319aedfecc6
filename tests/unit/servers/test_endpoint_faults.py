"""Replies that are none, or hostile: tried again or refused in one line, within limits of size and time."""

import contextlib
import json
import math
import time
import tracemalloc

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_models.core.base import Generate
from lmx_models.core.sampling import Sampling
from lmx_models.servers.address import Address
from lmx_models.servers.codecs import PieceCodec
from lmx_models.servers.endpoint import MOST_CONCURRENT, Access, Endpoint, RefusedError
from lmx_models.servers.remote_model import Features, RemoteModel
from lmx_models.servers.replies import UnfitError, most_bytes, read_completion, read_models, seconds_of
from tests.fault_proxy import CANNED, MENDED, NEW_FAULTS
from tests.unit.servers.test_endpoint import BODY, KEY, proxied, quick  # noqa: F401  (a fixture)


@pytest.mark.parametrize("fault", NEW_FAULTS)
def test_every_fault_is_tried_again(fault):
    with proxied(fault, fault, timeout=0.4) as (proxy, endpoint):
        started = time.monotonic()
        answer, _, attempts = endpoint.complete(BODY, vocabulary=1000)
    assert answer["choices"][0]["text"] == " and so on"
    assert (attempts, proxy.seen) == (3, [fault, fault, "ok"])
    assert time.monotonic() - started < 3.0


@pytest.mark.parametrize("fault", NEW_FAULTS)
def test_every_fault_that_stays_is_one_line(fault):
    with (
        proxied(*[fault] * 10_000, patience=0.05, timeout=0.3) as (_, endpoint),
        pytest.raises(UserError, match="did not answer for") as error,
    ):
        endpoint.complete(BODY, vocabulary=1000)
    message = str(error.value)
    assert "\n" not in message
    assert message.isprintable()
    assert len(message) < 900


@pytest.mark.parametrize("fault", MENDED)
def test_what_is_only_odd_is_mended(fault):
    with proxied(fault) as (_, endpoint):
        answer, _, attempts = endpoint.complete(BODY)
    assert attempts == 1
    assert answer["choices"][0]["text"] == " and so on"
    assert answer["usage"]["completion_tokens"] == 3


@pytest.mark.parametrize("fault", ["endless", "bomb"])
def test_an_endless_answer_takes_no_memory(fault):
    with proxied(fault, fault, timeout=20.0) as (_, endpoint):
        tracemalloc.start()
        endpoint.complete(BODY)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 16 * most_bytes(BODY)  # the proxy of this process is in it


@pytest.mark.parametrize("fault", ["drip", "drip-header", "hang"])
def test_a_slow_answer_ends_at_its_deadline(fault):
    with proxied(*[fault] * 99, patience=0.0, timeout=0.5) as (_, endpoint):
        started = time.monotonic()
        with pytest.raises(UserError, match="did not answer"):
            endpoint.complete(BODY)
    assert 0.4 < time.monotonic() - started < 1.5


@pytest.mark.parametrize(
    "key", ["sk-one\nsk-two", "sk-one\rsk-two", "sk-one\x00sk-two", "sk-one\x7fsk-two", "sk-\u00e9\u4f60"]
)
def test_a_key_that_no_header_can_hold_is_refused_and_not_shown(key, monkeypatch):
    values = {"OPENAI_API_KEY": key}
    monkeypatch.setattr("os.environ", values)
    with pytest.raises(UserError, match="export OPENAI_API_KEY again") as error:
        Endpoint(Address("http://localhost:1/v1", "m"), Access())
    assert "sk-" not in str(error.value)
    assert error.value.__cause__ is None
    values["OPENAI_API_KEY"] = f" {KEY}\n"  # as files end: this is no mistake
    assert "Endpoint(" in repr(Endpoint(Address("http://localhost:1/v1", "m"), Access()))


def test_messages_of_servers_steer_no_terminal(monkeypatch):
    hostile = "\x1b[2J\x1b]0;title\x07red\u202eder\u0000\u009b31m" + "x" * 5000
    for said in ({"error": {"message": hostile}}, {"detail": [hostile]}, hostile):
        monkeypatch.setitem(CANNED, "choices", None)
        with proxied("ok") as (_, endpoint):
            monkeypatch.setattr(endpoint._wire, "fetch", _answers(400, json.dumps(said).encode()))
            with pytest.raises(RefusedError, match="HTTP 400") as error:
                endpoint.complete(BODY)
        assert str(error.value).isprintable()
        assert len(str(error.value)) < 400
    names = [{"id": "\x1b[2Jm"}, {"id": "x" * 9999}, {"id": 3}, "m", {"id": "good", "max_model_len": True}]
    assert list(read_models(json.dumps({"data": names}).encode())) == ["good"]
    endpoint = Endpoint(Address("http://localhost:1/v1", "good"), Access())
    monkeypatch.setattr(endpoint._wire, "fetch", _answers(200, json.dumps({"data": names}).encode()))
    assert endpoint.context() is None


def test_of_several_choices_the_first_by_its_index_counts():
    for indices in ([1, 0], [0, 0], [None, 1], [2, None, 0]):
        choices = [{"index": i, "text": f"{i}"} for i in indices]
        reply = read_completion(json.dumps({"choices": choices}).encode(), BODY, None)
        assert [one["text"] for one in reply["choices"]] == [f"{next(i for i in indices if not i)}"]


@pytest.mark.parametrize("status", [204, 205, 206])
def test_a_part_of_an_answer_is_none(status, monkeypatch):
    endpoint = Endpoint(Address("http://localhost:1/v1", "m"), Access(patience=0.01))
    monkeypatch.setattr(endpoint._wire, "fetch", _answers(status, json.dumps(CANNED).encode()))
    with pytest.raises(UserError, match=f"HTTP {status}"):
        endpoint.complete(BODY)


def _answers(status, data):
    from lmx_models.servers.wire import Answer

    return lambda *args: Answer(status, "reason", "", data)


@pytest.mark.parametrize(
    ("value", "low", "high"),
    [
        ("-5", 0, 0), ("nan", 0, 0), ("inf", 86_400, 86_400), ("1e400", 86_400, 86_400), ("9" * 400, 86_400, 86_400),
        ("garbage", 0, 0), ("", 0, 0), ("1, 2", 0, 0), ("2.5", 2.5, 2.5), ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2015 07:28:00 -0000", 0, 0), ("Wed, 21 Oct 2099 07:28:00 -0000", 86_400, 86_400),
        ("Mon, 99 Foo 99999999 00:00:00 GMT", 0, 0), ("Wed, 21 Oct 9999 07:28:00 -9999", 0, 86_400),
    ],
)  # fmt: skip
def test_retry_after(value, low, high):
    assert low <= seconds_of(value) <= high


@pytest.mark.parametrize(
    "access",
    [
        {"max_concurrent": MOST_CONCURRENT + 1}, {"patience": math.nan}, {"timeout": math.inf}, {"timeout": math.nan},
    ],
)  # fmt: skip
def test_access_that_makes_no_sense(access):
    with pytest.raises(UserError, match=r"at (least|most)"):
        Access(**access)


def test_addresses_that_no_client_takes():
    with pytest.raises(UserError, match="is not an address"):
        Endpoint(Address("http://local\x01host/v1", "m"), Access())


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=6) | st.just("\ud800"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
TEXTS = st.text(max_size=12) | st.sampled_from(["caf\u00e9", "\ufffd", " a b", "\ud800x", ""])
PIECE = TEXTS | st.sampled_from(["bytes:\\xc3", "<0xC3>", "token_id:5", "</s>"])
LOGPROB = st.floats(-30, 0) | st.just(-9999.0) | st.floats()
LOGPROBS = st.fixed_dictionaries(
    {},
    optional={
        "tokens": st.lists(PIECE, max_size=5) | ANYTHING,
        "top_logprobs": st.lists(st.dictionaries(PIECE, LOGPROB, max_size=3), max_size=5) | ANYTHING,
        "content": st.lists(
            st.fixed_dictionaries(
                {},
                optional={
                    "token": PIECE | ANYTHING,
                    "bytes": st.lists(st.integers(-1, 256), max_size=4) | ANYTHING,
                    "top_logprobs": st.lists(st.fixed_dictionaries({"logprob": LOGPROB}), max_size=3) | ANYTHING,
                },
            ),
            max_size=5,
        )
        | ANYTHING,
    },
)
CHOICE = st.fixed_dictionaries(
    {"text": TEXTS | ANYTHING},
    optional={
        "finish_reason": st.sampled_from(["stop", "length", None, "abort"]) | ANYTHING,
        "logprobs": LOGPROBS | ANYTHING,
        "token_ids": st.lists(st.integers(-1, 300), max_size=5) | ANYTHING,
    },
)
COUNT = st.integers(-5, 10**18) | ANYTHING
REPLY = st.fixed_dictionaries(
    {"choices": st.lists(CHOICE, min_size=1, max_size=2) | ANYTHING},
    optional={
        "usage": st.fixed_dictionaries({}, optional={"prompt_tokens": COUNT, "completion_tokens": COUNT}) | ANYTHING
    },
)


class Fuzzed:
    """An endpoint whose every reply is the same bytes."""

    access = Access(max_concurrent=1)

    def __init__(self, data):
        self.data = data

    def complete(self, body, abandoned=None, vocabulary=None):
        return read_completion(self.data, body, vocabulary), 0.0, 1


def survives(data):
    """A reply is unfit, or what is read of it keeps to the limits; nothing else happens."""
    for features in (Features(top=5), Features(ids_in=True, ids_out=True, top=5), Features()):
        remote = RemoteModel.__new__(RemoteModel)  # without its threads
        remote.endpoint, remote.codec, remote.features = Fuzzed(data), PieceCodec(), features
        remote.codec.vocabulary = 256
        remote.exact, remote._abandoned = features.top > 0, None
        try:
            reply = remote.generate(Generate("base", [0], [], 4, Sampling(0.0), None, 2))
        except UnfitError:
            continue
        assert len(reply.tokens) <= 4
        assert all(0 <= token < (256 if features.ids_out else 1000) for token in reply.tokens)
        assert 0 <= reply.completion_tokens <= 5 + 13
        assert 0 <= reply.prompt_tokens <= 4 * 80
        assert reply.top is None or len(reply.top) == len(reply.tokens) + 1
        assert all(math.isfinite(value) for one in reply.top or () for value in one)
        if not features.ids_out:
            remote.codec.text(reply.tokens).encode()  # no lone surrogates


def fuzz(reply, cut, flips):
    data = bytearray(json.dumps(reply).encode())
    for at, byte in flips:
        data[at % len(data)] = byte
    survives(bytes(data[: len(data) - cut % len(data)]) if cut else bytes(data))


FLIPS = st.just([]) | st.lists(st.tuples(st.integers(0, 10**4), st.integers(0, 255)), max_size=3)
CUTS = st.just(0) | st.integers(0, 10**4)
QUICKLY = {"deadline": None, "suppress_health_check": list(HealthCheck)}


@settings(max_examples=200, **QUICKLY)
@given(REPLY, CUTS, FLIPS)
def test_fuzzed_replies(reply, cut, flips):
    fuzz(reply, cut, flips)


@pytest.mark.full
@settings(max_examples=2_500, **QUICKLY)
@given(REPLY, st.lists(st.tuples(CUTS, FLIPS), min_size=3, max_size=3))
def test_10_000_fuzzed_replies(reply, changes):
    fuzz(reply, 0, [])
    for cut, flips in changes:
        fuzz(reply, cut, flips)


@settings(max_examples=200, **QUICKLY)
@given(st.binary(max_size=80) | ANYTHING.map(lambda one: json.dumps(one).encode()))
def test_any_bytes_are_a_reply_or_none(data):
    for read in (read_models, lambda one: read_completion(one, BODY, 10)):
        with contextlib.suppress(UnfitError):
            read(data)
    seconds_of(data.decode(errors="replace"))
