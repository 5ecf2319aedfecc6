"""Two processes share the documents of a run and report as one process does (the command of docs/multi_process.md).

One run has a task whose texts are drawn, five a prompt, and an odd number of documents: then the rank with fewer gets
padding from lm_eval, which must count nowhere.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.full]

DOCS = 7
REPEATS = {"constraint_tiny": 1, "constraint50_repeats": 5}
TEXTS = DOCS * sum(REPEATS.values())
LAUNCH = ["-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2", "--num_machines", "1"]
LAUNCH += ["--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]
EVALUATE = (
    f"-m lm_eval --model ar --model_args pretrained=tiny-oracle,traces=traces.jsonl --tasks {','.join(REPEATS)} "
    f"--limit {DOCS} --gen_kwargs max_gen_toks=48 --batch_size 4 --device cpu --output_path out --log_samples"
).split()


@dataclass(frozen=True)
class Run:
    """What one run printed and left behind."""

    folder: Path
    log: str

    @property
    def results(self) -> dict[str, Any]:
        (path,) = self.folder.glob("out/*/results_*.json")
        return json.loads(path.read_text())

    @property
    def decoding(self) -> dict[str, Any]:
        return self.results["config"]["decoding"]

    def samples(self, task: str) -> dict[int, dict[str, Any]]:
        (path,) = self.folder.glob(f"out/*/samples_{task}_*.jsonl")
        lines = [json.loads(line) for line in path.read_text().splitlines()]
        assert len(lines) == DOCS
        # lm_eval leaves the answers to its padding in `resps`; what is scored stands in `filtered_resps`.
        return {line["doc_id"]: {k: v for k, v in line.items() if k != "resps"} for line in lines}

    def traces(self, name: str = "traces.jsonl*") -> list[dict[str, Any]]:
        lines = [line for path in self.folder.glob(name) for line in path.read_text().splitlines()]
        return [json.loads(line) for line in lines]


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> dict[str, Run]:
    """The same evaluation by one process and by two, side by side."""
    variables = {"ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, **variables}
    environment.pop("LMX_TRACES", None)
    started = {}
    for name, launch in (("one", []), ("two", LAUNCH)):
        folder = tmp_path_factory.mktemp(name)
        command = [sys.executable, *launch, *EVALUATE]
        log = (folder / "log").open("w")
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT)
        started[name] = (process, folder)
    done = {}
    try:
        for name, (process, folder) in started.items():
            code = process.wait(timeout=240)
            done[name] = Run(folder, (folder / "log").read_text())
            assert code == 0, done[name].log
    finally:
        for process, _ in started.values():
            process.kill()
    return done


def test_each_rank_wrote_its_own_documents(runs):
    log = runs["two"].log
    assert set(re.findall(r"Building contexts for constraint_tiny on rank (\d)", log)) == {"0", "1"}
    by_rank = [
        {(line["task"], line["doc_id"]) for line in runs["two"].traces(f"traces.jsonl{r}")} for r in ("", ".rank1")
    ]
    assert sorted(map(len, by_rank)) == [2 * (DOCS // 2), 2 * (DOCS // 2 + 1)]
    assert not by_rank[0] & by_rank[1]


@pytest.mark.parametrize("task", REPEATS)
def test_samples_and_metrics_are_those_of_one_process(runs, task):
    one, two = runs["one"].samples(task), runs["two"].samples(task)
    assert two == one
    assert all(len(sample["filtered_resps"]) == 1 for sample in one.values())
    assert any(text for sample in one.values() for text in sample["filtered_resps"])
    expected, found = (run.results["results"][task] for run in (runs["one"], runs["two"]))
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # The documents of a rank stand together, so sums are taken in another order.
        assert found[name] == (pytest.approx(value, rel=1e-12) if isinstance(value, float) else value), name


def test_one_results_file_with_statistics_over_all_documents(runs):
    one, two = runs["one"].decoding, runs["two"].decoding
    assert one["texts"] == two["texts"] == TEXTS
    timed = {"seconds", "tokens_per_second", "models", "model_seconds", "threads"}  # ranks share the cores
    assert {k: v for k, v in two.items() if k not in timed} == {k: v for k, v in one.items() if k not in timed}
    counts = ("forwards", "prefill_tokens", "decode_tokens")
    assert [two["models"]["ar"][name] for name in counts] == [one["models"]["ar"][name] for name in counts]


def test_traces_hold_each_text_once(runs):
    def keys(run: Run) -> list[tuple[str, int, int, str]]:
        return sorted((line["task"], line["doc_id"], line["repeat"], line["text"]) for line in run.traces())

    assert keys(runs["two"]) == keys(runs["one"])
    assert len(keys(runs["two"])) == TEXTS
