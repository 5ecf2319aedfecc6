"""Guided decoding with models on a real server: our own small one, in several dialects."""

import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from lmx_files.errors import UserError
from lmx_models.guided.model import GuidedLM
from lmx_models.servers import endpoint as client
from lmx_models.zoo import catalogue
from tests.completion_server import CompletionServer
from tests.fault_proxy import FaultProxy, at_random
from tests.unit.models.test_decoder_lm import requests

ROOT = Path(__file__).parents[3]
TINY = {name: catalogue.resolve(name).pretrained for name in ("tiny-base", "tiny-oracle")}
TINY_PAIR = {"pretrained": "tiny-base", "oracle": "tiny-oracle"}
FAST = {"device": "cpu", "batch_size": 4}
RAMP = {"policy": "ramp", "step_size": 4, "c": 3, "k": 5}
KEY = "sk-very-secret-0123456789"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


@pytest.fixture(scope="module")
def dialects():
    """Token ids and log-probabilities (as vLLM); text with log-probabilities (as llama.cpp); text alone."""
    servers = {
        "ids": CompletionServer(TINY),
        "content": CompletionServer(TINY, ids=False, content=True),
        "text": CompletionServer(TINY, ids=False, logprobs=0),
    }
    yield servers
    for server in servers.values():
        server.stop()


def where(server, place, **settings):
    """Return a pair of which one or both are on `server`."""
    names = dict(TINY_PAIR)
    if place in ("base", "both"):
        names["pretrained"] = server.name("tiny-base")
    if place in ("oracle", "both"):
        names["oracle"] = server.name("tiny-oracle")
    if place == "both":
        settings.setdefault("tokenizer", "tiny-base")
    return GuidedLM(**names, **FAST, **settings)


def write(lm, **gen_kwargs):
    return lm.generate_until(requests(**gen_kwargs), disable_tqdm=True)


def as_written(texts):
    return [(str(text), text.trace.tokens, text.trace.segments, text.trace.finish) for text in texts]


@pytest.mark.parametrize("dialect", ["ids", "content", "text"])
@pytest.mark.parametrize("place", ["oracle", "base", "both"])
def test_where_the_models_are_changes_no_token(dialects, place, dialect):
    local = GuidedLM(**TINY_PAIR, **FAST, **RAMP)
    remote = where(dialects[dialect], place, **RAMP)
    levels = {server.level for server in remote.servers.values()}
    assert levels == {"token ids" if dialect == "ids" else "text"}
    for gen_kwargs in (
        {},
        {"until": ["\n-"]},
        {"max_gen_toks": 150, "c": "inf", "n": 2},
        {"c": 0},
        {"c": "inf", "k": "inf"},
    ):
        expected = as_written(write(local, **gen_kwargs))
        assert as_written(write(remote, **gen_kwargs)) == expected
    finishes = {finish for *_, finish in as_written(write(remote, max_gen_toks=150, n=2))}
    assert finishes == {"eos"}


@pytest.mark.parametrize("settings", [{}, {"until": ["\n-"]}, {"max_gen_toks": 150, "n": 2}], ids=str)
@pytest.mark.parametrize("dialect", ["content", "text"])
def test_without_a_tokenizer_text_alone_is_exchanged(dialects, dialect, settings):
    expected = write(GuidedLM(**TINY_PAIR, **FAST, **RAMP), **settings)
    lm = where(dialects[dialect], "both", tokenizer=None, **RAMP)
    texts = write(lm, **settings)
    assert [str(text) for text in texts] == [str(text) for text in expected]
    for text, other in zip(texts, expected, strict=True):
        assert "".join(text.trace.extra["token_texts"]).startswith(str(text))
        assert text.trace.prompt_tokens == other.trace.prompt_tokens
        if "until" not in settings:  # the server counts the tokens that we would
            assert text.trace.segments == other.trace.segments
    assert lm.get_model_info()["decoding"]["settings"]["handover"] == "text"


@pytest.mark.parametrize("policy", [{"policy": "random", "prob": 0.2}, {"policy": "step_boundary"}], ids=str)
def test_a_text_that_cannot_be_cut_is_asked_for_token_by_token(dialects, policy):
    settings = {**policy, "c": 3, "k": 5}
    lm = where(dialects["text"], "both", tokenizer=None, **settings)
    assert [str(text) for text in write(lm, n=3)] == [
        str(text) for text in write(GuidedLM(**TINY_PAIR, **FAST, **settings), n=3)
    ]


@pytest.mark.parametrize("dialect", ["ids", "content"])
def test_policies_read_the_log_probabilities_of_a_server(dialects, dialect):
    exact = {"policy": "margin", "threshold": 0.5, "k": 3, "record": "margin"}  # two tokens give it whole
    expected = write(GuidedLM(**TINY_PAIR, **FAST, **exact))
    texts = write(where(dialects[dialect], "base", **exact))
    assert as_written(texts) == as_written(expected)
    for text, other in zip(texts, expected, strict=True):
        ours, theirs = text.trace.extra["signal"], other.trace.extra["signal"]
        assert ours["truncated"] == 20
        assert [value for _, value in ours["values"]] == pytest.approx(
            [value for _, value in theirs["values"]], abs=1e-3
        )
    bounded = {"c": 0, "record": "entropy"}
    for text, other in zip(
        write(where(dialects[dialect], "base", **bounded)), write(GuidedLM(**TINY_PAIR, **FAST, **bounded)), strict=True
    ):
        ours, theirs = text.trace.extra["signal"], other.trace.extra["signal"]
        for (_, low), high, (_, truth) in zip(ours["values"], ours["upper"], theirs["values"], strict=True):
            assert low - 1e-3 <= truth <= high + 1e-3


def test_sampling_on_a_server_can_be_repeated(dialects):
    settings = {**RAMP, "temperature": 1.0, "do_sample": True}
    first = as_written(write(where(dialects["ids"], "both", **settings)))
    assert as_written(write(where(dialects["ids"], "both", **settings))) == first
    assert as_written(write(where(dialects["ids"], "both", seed=7, **settings))) != first


def test_faults_cost_time_and_nothing_else(dialects):
    expected = as_written(write(GuidedLM(**TINY_PAIR, **FAST, **RAMP)))
    proxy = FaultProxy(dialects["ids"].url, at_random(seed=3, rate=0.4, quiet=20))
    dialects["ids"].requests.clear()
    lm = GuidedLM(
        base=f"openai:{proxy.url}#tiny-base", oracle=f"openai:{proxy.url}#tiny-oracle", tokenizer="tiny-base",
        endpoint_timeout=0.5, **FAST, **RAMP
    )  # fmt: skip
    assert as_written(write(lm)) == expected
    proxy.stop()
    servers = lm.get_model_info()["decoding"]["servers"]
    hit = [fault for fault in proxy.seen if fault != "ok"]
    assert sum(server["retries"] for server in servers.values()) == len(hit) > 3


def test_what_a_run_says_of_its_servers(dialects, tmp_path, monkeypatch):
    prices = tmp_path / "prices.yaml"
    prices.write_text("tiny-oracle: {input: 2.0, output: 10.0}\n")
    monkeypatch.setenv("LMX_PRICES", str(prices))
    lm = where(dialects["ids"], "both", **RAMP)
    texts = write(lm)
    decoding = lm.get_model_info()["decoding"]
    oracle, base = decoding["servers"]["oracle"], decoding["servers"]["base"]
    calls = [text.trace.extra["servers"]["oracle"] for text in texts]
    assert oracle["calls"] == sum(one["calls"] for one in calls) == decoding["consultations"]
    assert oracle["completion_tokens_kept"] == decoding["tokens_by_source"]["oracle"]
    assert oracle["completion_tokens"] == sum(one["completion_tokens"] for one in calls)
    cost = (2.0 * oracle["prompt_tokens"] + 10.0 * oracle["completion_tokens"]) / 1e6
    assert oracle["estimated_cost_usd"] == pytest.approx(cost, abs=1e-6)
    assert base["estimated_cost_usd"] is None
    assert oracle["latency_p95"] >= 0 < oracle["latency_mean"]
    assert decoding["oracle_share"] > 0.1
    assert decoding["models"]["oracle"]["prefill_tokens"] == oracle["prompt_tokens"]


@pytest.mark.parametrize("most", [1, 3])
def test_requests_are_made_at_once_up_to_a_limit(most):
    server = CompletionServer(TINY, slow=0.03)
    write(where(server, "oracle", max_concurrent=most, **RAMP))
    server.stop()
    assert server.most_at_once == most


@pytest.mark.parametrize(
    ("place", "settings", "message"),
    [
        ("base", {"policy": "entropy", "threshold": 1.0}, "policy=entropy reads log-probabilities.*gives none"),
        ("base", {"record": "margin"}, "record=margin reads log-probabilities"),
        ("both", {"policy": "varentropy", "threshold": 1.0}, "varentropy cannot be read from the most likely tokens"),
        ("oracle", {"handback": "confident"}, "handback=confident reads log-probabilities"),
        ("both", {"tokenizer": None, "discard": 2}, "discard=2 needs a base whose text can be cut"),
        ("both", {"tokenizer": None, "policy": "random", "ahead": 8}, "ahead=8: without tokenizer=ID"),
        ("base", {"ahead": 0}, "ahead=0 must be at least 1"),
        ("base", {"peft": "x"}, "peft=x has no effect on a base on a server"),
        ("base", {"max_concurrnt": 4}, "did you mean 'max_concurrent'"),
        ("base", {"max_concurrent": 0}, "max_concurrent=0 must be"),
        ("oracle", {"endpoint_patience": "soon"}, "patience='soon' is not a number"),
    ],
)
def test_what_servers_cannot_do_is_one_line(dialects, place, settings, message):
    with pytest.raises(UserError, match=message):
        where(dialects["text"], place, **settings)


def test_likelihoods_of_a_base_on_a_server_are_refused(dialects):
    lm = where(dialects["ids"], "base")
    for kind in (lm.loglikelihood, lm.loglikelihood_rolling):
        with pytest.raises(UserError, match="likelihoods need the base's weights"):
            kind([])
    assert where(dialects["ids"], "oracle").loglikelihood([]) == []  # the base is here


def test_wrong_models_and_keys_are_one_line(dialects, monkeypatch):
    server = dialects["ids"]
    with pytest.raises(UserError, match=r"tiny-orcle.*the server lists tiny-base, tiny-oracle"):
        GuidedLM(pretrained="tiny-base", oracle=server.name("tiny-orcle"), **FAST)
    locked = CompletionServer({"tiny-oracle": TINY["tiny-oracle"]}, key=KEY)
    with pytest.raises(UserError, match="wants a key, taken from OPENAI_API_KEY: it is not set"):
        GuidedLM(pretrained="tiny-base", oracle=locked.name("tiny-oracle"), **FAST)
    monkeypatch.setenv("SOME_KEY", KEY)
    lm = GuidedLM(pretrained="tiny-base", oracle=f"openai:{locked.url}", key_env="SOME_KEY", **FAST)
    assert lm.servers["oracle"].endpoint.model == "tiny-oracle"
    assert write(lm, n=1)
    locked.stop()


# As a user runs it.


def lmx(*arguments, cwd, **env):
    return subprocess.run(
        [sys.executable, "-m", "lmx_cli.main", *arguments],
        cwd=cwd,
        env=ENVIRONMENT | env,
        capture_output=True,
        text=True,
    )


def run_arguments(base, oracle, *more, limit=8, **settings):
    pairs = {"pretrained": base, "oracle": oracle, **RAMP, **settings}
    given = ",".join(f"{name}={value}" for name, value in pairs.items())
    arguments = ["run", "--model", "guided", "--model_args", given, "--tasks", "constraint_tiny", "--device", "cpu"]
    return [*arguments, "--batch_size", "2", "--limit", str(limit), *more]


@pytest.mark.full
def test_the_key_is_in_nothing_that_is_written(tmp_path):
    server = CompletionServer(TINY, key=KEY)
    proxy = FaultProxy(server.url, at_random(seed=1, rate=0.2))
    names = [f"openai:{proxy.url}#{name}" for name in TINY]
    settings = {"tokenizer": "tiny-base"}
    debug = {"LMX_LOG_LEVEL": "DEBUG", "LOGLEVEL": "DEBUG", "LMEVAL_LOG_LEVEL": "DEBUG"}
    done = lmx(*run_arguments(*names, limit=2, **settings), cwd=tmp_path, OPENAI_API_KEY=KEY, **debug)
    assert done.returncode == 0, done.stderr
    wrong = lmx(*run_arguments(*names, limit=2, **settings), cwd=tmp_path, OPENAI_API_KEY=KEY + "x", LMX_TRACEBACK="1")
    assert wrong.returncode != 0
    assert "the key in it is not taken" in wrong.stderr
    proxy.stop()
    server.stop()
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) >= 4
    for path in written:
        assert KEY.encode() not in path.read_bytes(), path
    assert KEY not in done.stdout + done.stderr + wrong.stdout + wrong.stderr


def journaled(folder):
    values = [json.loads(line)["value"] for path in folder.rglob("journal-*.jsonl") for line in path.open()]
    return [value["doc_id"] for value in values if "doc_id" in value]


def when_two_more_are_finished(folder, then):
    """Call `then` as soon as two more texts are in the journal; in a thread."""

    def watch():
        while sum(path.read_bytes().count(b'"doc_id"') for path in folder.glob("journal-*.jsonl")) < 2:
            time.sleep(0.002)
        then()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    return thread


def test_a_server_that_dies_and_comes_back_loses_nothing_and_repeats_nothing(dialects, tmp_path, caplog):
    expected = as_written(write(GuidedLM(**TINY_PAIR, **FAST, **RAMP)))
    servers = [FaultProxy(dialects["ids"].url)]
    port = int(servers[0].url.split(":")[2].split("/")[0])
    names = {"base": f"openai:{servers[0].url}#tiny-base", "oracle": f"openai:{servers[0].url}#tiny-oracle"}

    def pair(folder, **settings):
        return GuidedLM(
            **names, tokenizer="tiny-base", journal=str(tmp_path / folder), max_concurrent=1, **settings, **FAST, **RAMP
        )

    def die_and_come_back():
        servers[0].stop()
        time.sleep(0.1)
        servers.append(FaultProxy(dialects["ids"].url, port=port))

    watching = when_two_more_are_finished(tmp_path / "waits", die_and_come_back)
    lm = pair("waits")
    assert as_written(write(lm)) == expected
    watching.join()
    assert "trying again" in caplog.text
    assert sorted(journaled(tmp_path / "waits")) == list(range(6))
    assert sum(one["retries"] for one in lm.get_model_info()["decoding"]["servers"].values()) > 0

    # A server that stays away ends the run with one line; the same command goes on where it was.
    watching = when_two_more_are_finished(tmp_path / "gives_up", servers[1].stop)
    lm = pair("gives_up", endpoint_patience=0.3)
    with pytest.raises(UserError, match=r"Finished texts are in the journal .*gives_up: give the same command again"):
        write(lm)
    watching.join()
    lm.journal.journal.close()
    before = journaled(tmp_path / "gives_up")
    assert 2 <= len(before) < 6
    back = FaultProxy(dialects["ids"].url, port=port)
    lm = pair("gives_up")
    assert as_written(write(lm)) == expected
    back.stop()
    assert lm.get_model_info()["decoding"]["texts_from_journal"] == len(before)
    assert sorted(journaled(tmp_path / "gives_up")) == list(range(6))


def test_texts_without_a_tokenizer_come_back_from_the_journal(dialects, tmp_path):
    settings = {"tokenizer": None, "journal": str(tmp_path / "journal"), **RAMP}
    lm = where(dialects["text"], "both", **settings)
    first = write(lm)
    lm.journal.journal.close()
    dialects["text"].requests.clear()
    again = where(dialects["text"], "both", traces=str(tmp_path / "traces.jsonl"), **settings)
    asked = len(dialects["text"].requests)
    second = write(again)
    assert len(dialects["text"].requests) == asked
    assert [str(text) for text in second] == [str(text) for text in first]
    lines = [json.loads(line) for line in (tmp_path / "traces.jsonl").open()]
    assert {"".join(piece for _, piece in line["pieces"]) for line in lines} == {str(text) for text in first}
