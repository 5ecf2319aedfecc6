"""Guided decoding with a real vLLM: what a run tells of its servers holds for the one that most people use.

    LMX_VLLM_TEST=1 LMX_VLLM=VENV/bin/vllm python -m pytest tests/e2e/servers/test_vllm.py

LMX_VLLM_PORT=PORT takes a server that runs already (name `smollm2`, --max-model-len 512) and leaves out its kill. vLLM
lives in an environment of its own; docs/endpoints.md says how one is made that needs no GPU. The models are
SmolLM2-135M-Instruct in fp32, which lmx takes from the Hub or from a wheel.
"""

import contextlib
import os
import signal
import subprocess
import threading
import time

import httpx
import pytest

from lmx_models.guided.model import GuidedLM
from lmx_models.servers.address import Address
from lmx_models.servers.endpoint import Access, Endpoint, RefusedError
from lmx_models.zoo import catalogue
from tests.e2e.servers.test_endpoint_server import as_written, journaled, when_two_more_are_finished, write
from tests.fault_proxy import free_port
from tests.unit.models.test_decoder_lm import requests

pytestmark = [
    pytest.mark.vllm,
    pytest.mark.skipif(not os.environ.get("LMX_VLLM_TEST"), reason="opt in with LMX_VLLM_TEST=1: needs vLLM"),
]
CONTEXT = 512
LOCAL = {"device": "cpu", "batch_size": 4, "dtype": "float32"}
RAMP = {"policy": "ramp", "step_size": 4, "c": 3, "k": 5}


class Vllm:
    """One server, started and killed as a user would."""

    def __init__(self, log):
        self.log, self.process = log, None
        self.folder = catalogue.resolve("smollm2-135m").pretrained
        self.at(free_port())

    def at(self, port):
        self.port, self.name = port, f"openai:http://127.0.0.1:{port}/v1#smollm2"

    def start(self):
        program = os.environ.get("LMX_VLLM", "vllm")
        settings = {
            "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1",
        }  # fmt: skip
        outside = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
        command = [program, "serve", str(self.folder), "--dtype", "float32", "--enforce-eager", "--host", "127.0.0.1"]
        command += ["--port", str(self.port), "--served-model-name", "smollm2", "--max-model-len", str(CONTEXT)]
        with self.log.open("a") as file:
            self.process = subprocess.Popen(
                command, env=outside | settings, stdout=file, stderr=file, start_new_session=True
            )
        return self

    def wait(self):
        for _ in range(1200):
            assert self.process.poll() is None, self.log.read_text()[-3000:]
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{self.port}/health", trust_env=False).status_code == 200:
                    return self
            time.sleep(0.5)
        raise AssertionError(self.log.read_text()[-3000:])

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # its own group: the server and its engine
        self.process.wait()


@pytest.fixture(scope="module")
def vllm(tmp_path_factory):
    server = Vllm(tmp_path_factory.mktemp("vllm") / "log")
    if port := os.environ.get("LMX_VLLM_PORT"):
        server.at(int(port))
        yield server
        return
    yield server.start().wait()
    server.kill()


@pytest.fixture(scope="module")
def here(vllm):
    """The pair on this machine; its texts are what the server's are compared with."""
    return GuidedLM(pretrained=vllm.folder, oracle=vllm.folder, **LOCAL, **RAMP)


@pytest.fixture(scope="module")
def there(vllm):
    """Both models on the server."""
    return remote(vllm, "both", **RAMP)


def remote(vllm, place, **settings):
    names = {
        "pretrained": vllm.folder if place == "oracle" else vllm.name,
        "oracle": vllm.folder if place == "base" else vllm.name,
    }
    if place == "both":
        settings.setdefault("tokenizer", vllm.folder)
    return GuidedLM(**names, **LOCAL, **settings)


ENTROPY = {"policy": "entropy", "threshold": 1.0, "c": 3, "k": 5}


@pytest.mark.parametrize("place", ["both", "oracle", "base"])
def test_token_ids_go_both_ways_and_change_no_text(vllm, here, there, place):
    lm = there if place == "both" else remote(vllm, place, **RAMP)
    assert {server.level for server in lm.servers.values()} == {"token ids"}
    assert {server.features.top for server in lm.servers.values()} == {20}
    for settings in ({}, ENTROPY):
        assert as_written(write(lm, n=2, **settings)) == as_written(write(here, n=2, **settings))


def test_log_probabilities_and_bounds_of_the_entropy(here, there):
    for record in ("margin", "top_p", "entropy"):
        settings = {"c": 0, "record": record, "n": 1}
        for text, other in zip(write(there, **settings), write(here, **settings), strict=True):
            ours, theirs = text.trace.extra["signal"], other.trace.extra["signal"]
            values = [value for _, value in ours["values"]]
            truth = [value for _, value in theirs["values"]]
            assert ours["truncated"] == 20
            if record == "entropy":
                for low, high, true in zip(values, ours["upper"], truth, strict=True):
                    assert low - 2e-3 <= true <= high + 2e-3
            else:
                assert values == pytest.approx(truth, abs=2e-3)


def test_stop_strings_limits_and_the_end_of_the_text(vllm, here, there):
    finishes = set()
    for asked in ({"until": ["\n"]}, {"until": ["."]}, {"max_gen_toks": 7}, {"max_gen_toks": 60, "c": 1}):
        texts = as_written(write(there, n=2, **asked))
        assert texts == as_written(write(here, n=2, **asked))
        finishes |= {finish for *_, finish in texts}
    assert {"stop", "length"} <= finishes
    endpoint = Endpoint(Address.parse(vllm.name), Access())
    asked = "<|im_start|>user\nSay only: yes<|im_end|>\n<|im_start|>assistant\n"
    ended = endpoint.complete({"prompt": asked, "max_tokens": 200, "temperature": 0})[0]["choices"][0]
    assert ended["finish_reason"] == "stop"


def test_the_context(vllm, there):
    assert there.max_length == CONTEXT
    assert 0 < len(write(there, n=1, c=0, max_gen_toks=CONTEXT - 250)[0].trace.tokens) < CONTEXT
    endpoint = Endpoint(Address.parse(vllm.name), Access())
    assert endpoint.context() == CONTEXT
    with pytest.raises(RefusedError, match="HTTP 400") as error:
        endpoint.complete({"prompt": [1] * (CONTEXT + 10), "max_tokens": 5, "temperature": 0})
    assert "\n" not in str(error.value)


def test_sampling_keeps_to_its_seeds_and_settings(vllm, there):
    settings = {"temperature": 1.0, "do_sample": True, "n": 1}
    first = as_written(write(there, **settings))
    assert as_written(write(there, **settings)) == first
    assert as_written(write(remote(vllm, "both", seed=7, **RAMP), **settings)) != first
    greedy = as_written(write(there, n=1))
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"min_p": 0.999}):
        assert as_written(write(there, **settings, **narrow)) == greedy


def test_without_a_tokenizer_characters_of_several_tokens_come_whole(vllm):
    """The model repeats what it is shown; accents, other scripts and emoji are several tokens each."""
    shown = "caf\u00e9 \u043c\u0438\u0440 \u4f60\u597d \U0001f600 na\u00efve"
    prompt = f"{shown}\n" * 6
    lm = remote(vllm, "both", tokenizer=None, policy="random", prob=0.3, c=9, k=3)
    assert lm.servers["base"].exact
    asked = requests(n=1, max_gen_toks=30)
    for one in asked:
        one.arguments = (prompt, one.arguments[1])
    (text,) = lm.generate_until(asked, disable_tqdm=True)
    assert "\ufffd" not in str(text)
    assert str(text).startswith(shown)


@pytest.mark.skipif(bool(os.environ.get("LMX_VLLM_PORT")), reason="a server that runs already is not killed")
def test_a_server_that_is_killed_and_started_again_loses_nothing(vllm, here, tmp_path):
    expected = as_written(write(here, n=6))
    folder = tmp_path / "journal"

    def die_and_come_back():
        vllm.kill()
        vllm.start().wait()

    watching = when_two_more_are_finished(folder, die_and_come_back)
    lm = remote(vllm, "both", journal=str(folder), max_concurrent=1, endpoint_patience=600, **RAMP)
    assert as_written(write(lm, n=6)) == expected
    watching.join(timeout=600)
    assert isinstance(watching, threading.Thread)
    assert sum(one["retries"] for one in lm.get_model_info()["decoding"]["servers"].values()) > 0
    assert sorted(journaled(folder)) == list(range(6))
