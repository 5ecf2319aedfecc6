"""Building and opening a report on 50,000 samples.

Claim: `lmx report` on 50,000 samples makes a file that is usable in under 3 s. A run with texts of the length that
constraint50 asks for (about 1,500 characters, the prompt 600) and a trace of each is written, reported on by the
command in a process of its own, and opened in headless Chromium, in a fresh browser each time. Measured from the start
of navigation:

- list: the list is drawn, and the first sample with its text beside it;
- last: from then on, the key End is pressed and the last sample's text is shown, for which the whole file must be read;
- search: a word that one text holds is searched for, and found.

The verdict is on list and last together.

    python benchmarks/report_load.py [--samples 50000] [--runs 1] [--repeat 3]
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from hashlib import sha256
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.common import machine, report

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
METRICS = [
    f"{name}_{form}" for form in ("loose", "strict") for name in ("headings", "order", "bullets", "stems", "all")
]
NEEDLE = "xylophone"
STAMP = "2026-01-01T00-00-00.000000"


def write_run(folder: Path, samples: int, seed: int) -> None:
    """Write a run as lm_eval leaves it, with traces; words are drawn by Zipf's law, so that it packs like text."""
    rng = random.Random("what all runs share")
    letters = "etaoinshrdlu"
    words = ["".join(rng.choices(letters, k=rng.randint(2, 9))) for _ in range(8000)]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    rule = " ".join(rng.choices(words, weights, k=70))
    rng.seed(seed)
    folder.mkdir(parents=True)
    sums = dict.fromkeys(METRICS, 0.0)
    with (
        (folder / f"samples_long_{STAMP}.jsonl").open("w") as sample_file,
        (folder / "traces.jsonl").open("w") as trace_file,
    ):
        for doc_id in range(samples):
            question = " ".join(random.Random(doc_id).choices(words, weights, k=30))
            prompt = f"{question}\n{rule}"
            parts = [" ".join(rng.choices(words, weights, k=45)) + "\n" for _ in range(6)]
            if doc_id == samples - 10:
                parts[-1] += NEEDLE
            text = "".join(parts)
            values = {metric: float(rng.random() < 0.6) for metric in METRICS} | {
                "n_tokens": float(rng.randint(200, 400))
            }
            for metric in METRICS:
                sums[metric] += values[metric]
            digest = sha256(prompt.encode()).hexdigest()
            sample = {
                "doc_id": doc_id,
                "doc": {"prompt": question, "domain": f"domain {doc_id % 12}"},
                "target": "",
                "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": [], "max_gen_toks": 512}}},
                "resps": [[text]],
                "filtered_resps": [text],
                "filter": "none",
                "metrics": list(values),
                "prompt_hash": digest,
                **values,
            }
            sample_file.write(json.dumps(sample) + "\n")
            pieces = [["oracle" if i % 2 else "base", part] for i, part in enumerate(parts)]
            trace = {"finish": "eos", "kept": 300, "forwards": 300, "fed": 420, "seconds": 1.0}
            line = {
                "task": "long",
                "doc_id": doc_id,
                "repeat": 0,
                "prompt_hash": digest,
                "text": text,
                "pieces": pieces,
            }
            trace_file.write(json.dumps(line | {"trace": trace}) + "\n")
    results: dict[str, Any] = {
        "results": {
            "long": {"alias": "long", "sample_len": samples, **{f"{m},none": sums[m] / samples for m in METRICS}}
        },
        "configs": {"long": {}},
        "higher_is_better": {"long": dict.fromkeys(METRICS, True)},
        "config": {"model": "guided", "model_args": {"pretrained": f"base-{seed}"}},
    }
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results))


def build(folders: list[Path], page: Path) -> dict[str, float]:
    """Run `lmx report`; return its wall time, its peak memory and the size of the file."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "lmx_cli.main", "report", *map(str, folders), "-o", str(page)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {"build_seconds": round(seconds, 1), "peak_mb": round(peak), "file_mb": round(page.stat().st_size / 1e6, 1)}


def load(page: Page, file: Path, samples: int) -> dict[str, float]:
    """Open the report and use it; return the seconds of each part."""
    begin = time.perf_counter()
    page.goto(file.as_uri(), wait_until="commit")
    page.wait_for_selector(".answer .text", timeout=120_000)
    listed = time.perf_counter()
    page.locator(".list").press("End")
    page.locator(".sample-head", has_text=f"document {samples - 1}").wait_for(timeout=120_000)
    last = time.perf_counter()
    page.fill("#search", NEEDLE)
    page.locator(".status", has_text=re.compile("^1 of ")).wait_for(timeout=120_000)
    found = time.perf_counter()
    return {"list": listed - begin, "last": last - listed, "search": found - last}


def main() -> int:
    """Print the measurements; exit with 1 when the claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--samples", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    facts = machine()
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folders = [Path(name) / f"run{i}" for i in range(options.runs)]
        for seed, folder in enumerate(folders):
            write_run(folder, options.samples, seed)
        file = Path(name) / "report.html"
        built = build(folders, file)
        times = []
        for _ in range(options.repeat):
            browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
            facts["browser"] = f"Chromium {browser.version}"
            times.append(load(browser.new_page(viewport={"width": 1280, "height": 900}), file, options.samples))
            browser.close()
    medians = {f"{part}_seconds": round(statistics.median(t[part] for t in times), 2) for part in times[0]}
    usable = round(statistics.median(t["list"] + t["last"] for t in times), 2)
    result = {"samples": options.samples, "runs": options.runs, **built, **medians, "list_and_last_seconds": usable}
    report("report_load", {"claim": "list and last under 3 s", "holds": usable < 3, **result, "machine": facts})
    return 0 if usable < 3 else 1


if __name__ == "__main__":
    sys.exit(main())
