"""Runs for the tests of `lmx compare`, written as lm_eval writes them."""

from __future__ import annotations

import json
import math
import sys

from lmx_cli.main import main

STAMP = "2026-01-01T00-00-00.000000"
N = 12


def write_run(folder, tasks, log_samples=True, **results):
    """Write a run as lm_eval does. `tasks`: by name, the samples; each is a dict with at least the metrics."""
    folder.mkdir(parents=True)
    whole = {"results": {}, "configs": {}, "higher_is_better": {}, "versions": {}, "n-shot": {}, "config": {}}
    for task, samples in tasks.items():
        names = [name for name in samples[0] if name not in ("doc", "prompt", "filter", "resps", "target", "doc_id")]
        values = {}
        for name in names:
            numbers = [s[name] for s in samples if isinstance(s[name], float) and not math.isnan(s[name])]
            values[f"{name},none"] = sum(numbers) / len(numbers) if numbers else [{"domain": "x"}]
            values[f"{name}_stderr,none"] = 0.1 if numbers else "N/A"
        whole["results"][task] = {"name": task, "alias": task, "sample_len": len(samples), **values}
        kinds = {"acc": "rate", "x": "rate", "y": "rate", "z": "rate"}
        whole["configs"][task] = {"task": task, "metadata": {"version": 1.0, "metric_kinds": kinds}}
        whole["higher_is_better"][task] = dict.fromkeys(names, True)
        whole["versions"][task], whole["n-shot"][task] = 1.0, 0
        if log_samples:
            lines = []
            for number, sample in enumerate(samples):
                doc = sample.get("doc", {"id": number})
                line = {
                    "doc_id": sample.get("doc_id", number),
                    "doc": doc,
                    "resps": sample.get("resps", [["text"]]),
                    "filter": sample.get("filter", "none"),
                    "metrics": names,
                    "doc_hash": f"doc {json.dumps(doc)}",
                    "prompt_hash": sample.get("prompt", f"prompt {number}"),
                    "target_hash": sample.get("target", "target"),
                }
                lines.append(json.dumps(line | {name: sample[name] for name in names}) + "\n")
            (folder / f"samples_{task}_{STAMP}.jsonl").write_text("".join(lines))
    for key, value in results.items():
        whole[key.replace("_", "-") if key == "n_shot" else key] = value
    (folder / f"results_{STAMP}.json").write_text(json.dumps(whole))
    return folder


def acc(*values, **more):
    return [{"acc": float(value), **more} for value in values]


def two_runs(tmp_path):
    """Two runs of one task: 2 of 12 right, and 10 of 12."""
    a = write_run(tmp_path / "a", {"t": acc(*[1, 1] + [0] * 10)})
    b = write_run(tmp_path / "b", {"t": acc(*[1] * 10 + [0, 0])})
    return a, b


def command(monkeypatch, capsys):
    """Return a function that runs `lmx` in this process and returns its exit status and what it printed."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["lmx", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as exit_:
            code = exit_.code or 0
        return code, *capsys.readouterr()

    return run
