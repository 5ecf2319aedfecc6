"""The client of a server, against a proxy that breaks things: retries, limits, messages, and the key's secrecy."""

import contextlib
import logging
import threading
import time

import pytest

from lmx_files.errors import UserError
from lmx_models.servers import endpoint as module
from lmx_models.servers.address import Address
from lmx_models.servers.endpoint import Access, Endpoint, RefusedError
from tests.fault_proxy import CANNED, FAULTS, FaultProxy, free_port

KEY = "sk-very-secret-0123456789"
BODY = {"prompt": "x", "max_tokens": 3, "temperature": 0}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Without waiting between attempts, and without a key of whoever runs the tests."""
    monkeypatch.setattr(module, "FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "LONGEST_PAUSE", 0.002)
    monkeypatch.setattr(module, "LIST_PATIENCE", 0.05)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@contextlib.contextmanager
def proxied(*faults, model="m", upstream=None, retry_after="0", **access):
    proxy = FaultProxy(upstream, faults, retry_after)
    try:
        yield proxy, Endpoint(Address(proxy.url, model), Access(**{"patience": 30.0, **access}))
    finally:
        proxy.stop()


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_that_may_pass_is_tried_again(fault):
    with proxied(fault, fault, timeout=0.3) as (proxy, endpoint):
        answer, seconds, attempts = endpoint.complete(BODY)
    assert answer["choices"][0]["text"] == " and so on"
    assert attempts == 3
    assert proxy.seen == [fault, fault, "ok"]
    assert seconds > 0


@pytest.mark.parametrize("fault", ["500", "cut", "html", "shape"])
def test_patience_ends(fault):
    with proxied(*[fault] * 10_000, patience=0.05) as (_, endpoint):
        endpoint.kept = "finished texts are in the journal J: give the same command again"
        with pytest.raises(UserError) as error:
            endpoint.complete(BODY)
    message = str(error.value)
    assert "did not answer for" in message
    assert message.endswith("Finished texts are in the journal J: give the same command again")
    assert "\n" not in message


def test_retry_after_is_kept_to():
    with proxied("429", retry_after="0.3") as (_, endpoint):
        _, seconds, _ = endpoint.complete(BODY)
    assert seconds >= 0.3
    with (
        proxied("429", retry_after="3600", patience=1.0) as (proxy, endpoint),
        pytest.raises(UserError, match="slow down"),
    ):
        endpoint.complete(BODY)  # at once: an hour is more than there is patience for
    assert proxy.seen == ["429"]
    with proxied("429", retry_after="nonsense") as (_, endpoint):
        assert endpoint.complete(BODY)[2] == 2


def test_a_server_that_starts_slowly_is_waited_for():
    port = free_port()
    endpoint = Endpoint(Address(f"http://127.0.0.1:{port}/v1", "m"), Access())
    answers = []
    asking = threading.Thread(target=lambda: answers.append(endpoint.complete(BODY)))
    asking.start()
    time.sleep(0.2)
    proxy = FaultProxy(port=port)
    asking.join(timeout=20)
    proxy.stop()
    assert answers[0][2] > 1


def test_nobody_listens():
    port = free_port()
    endpoint = Endpoint(Address(f"http://127.0.0.1:{port}/v1", "llama"), Access(patience=0.05))
    with pytest.raises(UserError, match=f"cannot connect.*Start it, for example: vllm serve llama --port {port}"):
        endpoint.complete(BODY)


def test_a_wrong_request_is_not_tried_again():
    with proxied("400") as (proxy, endpoint), pytest.raises(RefusedError, match=r"HTTP 400 .something broke."):
        endpoint.complete(BODY)
    assert proxy.seen == ["400"]


def test_a_wrong_model_names_those_there_are(monkeypatch):
    monkeypatch.setitem(CANNED, "data", [{"id": "llama-1b", "max_model_len": 4096}, {"id": "llama-8b"}])
    with proxied("404", model="llama-2b") as (proxy, endpoint):
        with pytest.raises(RefusedError, match=f"the server lists llama-1b, llama-8b. Write openai:{proxy.url}#MODEL"):
            endpoint.complete(BODY)
        assert endpoint.context() is None
    with (
        proxied(model=None) as (_, endpoint),
        pytest.raises(UserError, match="names no model: the server lists llama-1b"),
    ):
        endpoint.find_model()
    with proxied(model="llama-1b") as (_, endpoint):
        assert endpoint.context() == 4096
    with proxied("404", model="llama-1b") as (_, endpoint), pytest.raises(RefusedError, match="no /completions"):
        endpoint.complete(BODY)
    monkeypatch.setitem(CANNED, "data", [{"id": "the-only-one"}])
    with proxied(model=None) as (_, endpoint):
        endpoint.find_model()
        assert endpoint.model == "the-only-one"


def test_abandoned_requests_are_not_tried_again():
    abandoned = threading.Event()
    abandoned.set()
    with proxied(*["500"] * 100) as (proxy, endpoint), pytest.raises(UserError):
        endpoint.complete(BODY, abandoned=abandoned)
    assert proxy.seen == ["500"]


@pytest.mark.parametrize("status", ["401", "403"])
def test_a_missing_key_and_a_wrong_one(status, monkeypatch):
    with proxied(status) as (_, endpoint), pytest.raises(UserError, match="OPENAI_API_KEY: it is not set"):
        endpoint.complete(BODY)
    monkeypatch.setenv("HYPERBOLIC_KEY", KEY)
    with (
        proxied(status, key_env="HYPERBOLIC_KEY") as (_, endpoint),
        pytest.raises(UserError, match="HYPERBOLIC_KEY: the key in it is not taken") as error,
    ):
        endpoint.complete(BODY)
    assert KEY not in str(error.value)


def test_the_key_is_in_no_message_log_or_repr(monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with proxied("500", "cut", "html", "reset") as (_, endpoint):
        endpoint.complete(BODY)
    errors = []
    for fault in ("500", "400", "401", "reset"):
        with proxied(*[fault] * 1000, patience=0.02) as (_, endpoint), pytest.raises(UserError) as error:
            endpoint.complete(BODY)
        one: BaseException | None = error.value
        while one is not None:
            errors.append(repr(one) + str(vars(one)))
            one = one.__cause__
    assert caplog.text
    assert KEY not in caplog.text + "".join(errors) + repr(endpoint) + repr(endpoint.access) + str(endpoint.address)


def test_a_server_that_repeats_the_key_is_not_quoted(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "something")  # the proxy's error message has this word
    with proxied("400") as (_, endpoint), pytest.raises(UserError, match=r"HTTP 400 .\[key\] broke."):
        endpoint.complete(BODY)


@pytest.mark.parametrize(
    "name",
    [
        f"openai:http://user:{KEY}@localhost:8001/v1#m",
        f"openai:http://{KEY}@localhost/v1",
        f"openai:https://host/v1?api_key={KEY}#m",
        f"openai:http://a:b:{KEY}@[/v1",
    ],
)
def test_addresses_with_credentials_are_refused_and_not_repeated(name):
    with pytest.raises(UserError, match="export the key as OPENAI_API_KEY") as error:
        Address.parse(name)
    assert KEY not in str(error.value)


@pytest.mark.parametrize("name", ["openai:localhost:8001/v1#m", "openai:", "openai:ftp://host/v1", "openai:http://#m"])
def test_addresses_that_are_none(name):
    with pytest.raises(UserError, match="write openai:http://localhost:8001/v1#MODEL"):
        Address.parse(name)


def test_an_address_is_written_as_it_is_read():
    name = "openai:http://localhost:8001/v1#meta-llama/Llama-3.2-1B-Instruct"
    assert str(Address.parse(name)) == name
    assert Address.parse("openai:https://api.example.org/v1/").url == "https://api.example.org/v1"
    assert Address.parse("openai:http://localhost/v1").model is None


@pytest.mark.parametrize("access", [{"max_concurrent": 0}, {"patience": -1.0}, {"timeout": 0.0}])
def test_access_that_makes_no_sense(access):
    with pytest.raises(UserError, match="at least"):
        Access(**access)
