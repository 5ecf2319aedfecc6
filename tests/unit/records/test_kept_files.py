"""What an earlier version left is still read, and its texts are still written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from lm_eval.api.instance import Instance

from lmx_files import jsonl
from lmx_files.journal import Journal
from lmx_files.runs.folders import Run, read_run
from lmx_files.runs.join import read_traces
from lmx_models.core.completion import Completion
from lmx_models.core.trace import Trace
from lmx_models.guided.model import GuidedLM
from lmx_models.harness.resume import ResumeJournal

KEPT = Path(__file__).parents[2] / "kept" / "guided"
SAMPLES = KEPT / "tiny-base" / "samples_constraint_tiny_2026-11-25T07-30-27.108422.jsonl"


@pytest.fixture(scope="module")
def samples() -> list[dict]:
    return [line for _, line in jsonl.numbered(SAMPLES, "samples", last="take")]


@pytest.fixture(scope="module")
def run() -> Run:
    return read_run(KEPT / "tiny-base")


def test_the_journal(samples: list[dict], tmp_path: Path) -> None:
    shutil.copytree(KEPT / "journal", tmp_path / "journal")
    journal = Journal(tmp_path / "journal")
    (header,) = journal.headers.values()
    assert (header["method"], header["task"], header["settings"]["policy"]) == ("guided", "constraint_tiny", "fixed")
    texts = [ResumeJournal(journal).text(key) for key in journal]
    assert sorted(map(str, texts)) == sorted(sample["resps"][0][0] for sample in samples)
    for text in texts:
        assert isinstance(text, Completion)
        assert set(text.trace.by_source()) == {"base", "oracle"}
        assert text.trace.kept == 16
    journal.close()


def test_results_samples_and_traces(run: Run, samples: list[dict]) -> None:
    assert run.results["config"]["decoding"]["settings"]["oracle"] == "tiny-oracle"
    assert run.results["results"]["constraint_tiny"]["n_tokens,none"] == 16
    traces = read_traces(run, lambda line: Trace.from_dict(line["trace"]))
    found = [one.kept for by_doc in traces.found.values() for texts in by_doc.values() for one in texts.values()]
    assert sum(trace.kept for trace in found) == 16 * len(samples)


def test_the_texts_are_still_written(run: Run, samples: list[dict]) -> None:
    settings = {"policy": "fixed", "every": 3, "k": 2}
    lm = GuidedLM(pretrained="tiny-base", oracle="tiny-oracle", device="cpu", batch_size=2, **settings)
    requests = []
    for sample in samples:
        prompt, gen_kwargs = sample["arguments"]["gen_args_0"].values()
        where = ("constraint_tiny", sample["doc_id"], 1)
        requests.append(Instance("generate_until", sample["doc"], (prompt, gen_kwargs), 0, where))
    texts = lm.generate_until(requests, disable_tqdm=True)
    assert list(map(str, texts)) == [sample["resps"][0][0] for sample in samples]
    now, before = lm.describe(), run.results["config"]["decoding"]["settings"]
    assert {name: now[name] for name in before} == json.loads(json.dumps(before))
