"""Guided decoding with an oracle on `transformers serve`."""

import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from lmx_files.errors import UserError
from lmx_models.guided.model import GuidedLM
from tests.e2e.servers.test_endpoint_server import ENVIRONMENT, FAST, RAMP, TINY, TINY_PAIR, as_written, write
from tests.fault_proxy import free_port


def test_transformers_serve(tmp_path):
    """A server that others wrote: text only, one token too few at the end of a reply, a model that is a folder."""
    port = free_port()
    folder = TINY["tiny-oracle"]
    log = (tmp_path / "log").open("w")
    serving = subprocess.Popen(
        [str(Path(sys.executable).with_name("transformers")), "serve", folder, "--device", "cpu", "--port", str(port)],
        env=ENVIRONMENT, stdout=log, stderr=log,
    )  # fmt: skip
    try:
        for _ in range(600):
            assert serving.poll() is None, (tmp_path / "log").read_text()
            try:
                httpx.get(f"http://localhost:{port}/health")
                break
            except httpx.HTTPError:
                time.sleep(0.1)
        lm = GuidedLM(pretrained="tiny-base", oracle=f"openai:http://localhost:{port}/v1#{folder}", **FAST, **RAMP)
        local = GuidedLM(**TINY_PAIR, **FAST, **RAMP)
        assert lm.servers["oracle"].level == "text"
        for gen_kwargs in ({}, {"max_gen_toks": 150, "n": 2}):
            assert as_written(write(lm, **gen_kwargs)) == as_written(write(local, **gen_kwargs))
        with pytest.raises(UserError, match="pinned to"):
            GuidedLM(pretrained="tiny-base", oracle=f"openai:http://localhost:{port}/v1#other", **FAST)
    finally:
        serving.kill()
        serving.wait()
        log.close()
