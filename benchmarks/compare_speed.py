"""How long `lmx compare` takes: 20 arms, 12 metrics, 500 documents, as files on disk.

python benchmarks/compare_speed.py
python benchmarks/compare_speed.py --arms 80 --metrics 4
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.common import machine, report

STAMP = "2026-01-01T00-00-00.000000"


def write_run(folder: Path, rng: np.random.Generator, metrics: int, documents: int) -> Path:
    """Write a run with `metrics` metrics, every third of them a rate; return its folder."""
    folder.mkdir(parents=True)
    names = [f"m{i}" for i in range(metrics)]
    values = {
        name: (rng.random(documents) < 0.5).astype(float) if i % 3 == 0 else rng.normal(size=documents).round(3)
        for i, name in enumerate(names)
    }
    kinds = dict.fromkeys(names[::3], "rate")
    results = {
        "results": {"t": {"alias": "t", **{f"{name},none": float(column.mean()) for name, column in values.items()}}},
        "configs": {"t": {"task": "t", "metadata": {"main_metrics": names, "metric_kinds": kinds}}},
        "higher_is_better": {"t": dict.fromkeys(names, True)},
    }
    (folder / f"results_{STAMP}.json").write_text(json.dumps(results))
    with (folder / f"samples_t_{STAMP}.jsonl").open("w") as file:
        for number in range(documents):
            sample = {"doc_id": number, "doc": {}, "resps": [["text"]], "filter": "none", "metrics": names}
            sample |= {"prompt_hash": str(number), **{name: float(column[number]) for name, column in values.items()}}
            file.write(json.dumps(sample) + "\n")
    return folder


def main() -> None:
    """Compare simulated runs and print the seconds."""
    from lmx_analysis.compare.comparison import Options, compare

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("arms", 20), ("metrics", 12), ("documents", 500)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory() as folder:
        runs = [write_run(Path(folder) / f"arm{i}", rng, given.metrics, given.documents) for i in range(given.arms)]
        start, processor = time.perf_counter(), time.process_time()
        found = compare(runs, Options())
        seconds, processor = time.perf_counter() - start, time.process_time() - processor
    result = {
        "machine": machine(), **vars(given), "rows": len(found.differences), "resamples": found.resamples,
        "seconds": round(seconds, 1), "processor_seconds": round(processor, 1),
    }  # fmt: skip
    report("compare_speed", result)


if __name__ == "__main__":
    main()
