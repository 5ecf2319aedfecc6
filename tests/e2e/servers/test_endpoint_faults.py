"""A run over servers that break in every way known: what comes back, and that nothing is lost."""

import json

import pytest
from lm_eval.api.instance import Instance

from lmx_models.guided.model import GuidedLM
from lmx_models.servers import endpoint as client
from tests.completion_server import CompletionServer
from tests.e2e.servers.test_endpoint_server import FAST, RAMP, TINY, TINY_PAIR, as_written
from tests.fault_proxy import FAULTS, MENDED, NEW_FAULTS, FaultProxy, at_random
from tests.unit.models.test_decoder_lm import DATA

SLOW = ("hang", "drip", "drip-header")  # seconds each: tests/unit/servers/test_endpoint_faults.py has them


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(client, "FIRST_PAUSE", 0.01)
    monkeypatch.setattr(client, "LONGEST_PAUSE", 0.02)
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)


def write(lm):
    prompts = [json.loads(line)["prompt"] for line in DATA.read_text().splitlines()[:50]]
    prompts = [f"{prompts[i % len(prompts)]}{' ' * (i // len(prompts))}" for i in range(50)]
    asked = {"until": [], "max_gen_toks": 24}
    instances = [Instance("generate_until", {}, (one, dict(asked)), 0, ("task", i, 1)) for i, one in enumerate(prompts)]
    return lm.generate_until(instances, disable_tqdm=True)


@pytest.mark.full
def test_200_random_faults_over_50_prompts_lose_nothing():
    """Both models on a server; every fault of the proxy, old and new, and those that only change a reply."""
    expected = as_written(write(GuidedLM(**TINY_PAIR, **FAST, **RAMP)))
    server = CompletionServer(TINY)
    faults = [fault for fault in (*FAULTS, *NEW_FAULTS, *MENDED) if fault not in SLOW]
    proxy = FaultProxy(server.url, at_random(seed=5, rate=0.5, quiet=20, faults=faults))
    lm = GuidedLM(
        base=f"openai:{proxy.url}#tiny-base", oracle=f"openai:{proxy.url}#tiny-oracle", tokenizer="tiny-base",
        endpoint_timeout=5.0, **FAST, **RAMP
    )  # fmt: skip
    assert as_written(write(lm)) == expected
    proxy.stop()
    server.stop()
    hit = [fault for fault in proxy.seen if fault != "ok"]
    assert len(hit) >= 200
    assert set(hit) >= {*MENDED, "deep", "endless", "bomb", "nan", "ids-range"}
    servers = lm.get_model_info()["decoding"]["servers"]
    assert sum(one["retries"] for one in servers.values()) == sum(fault not in MENDED for fault in hit)
