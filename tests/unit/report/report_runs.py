"""Finished runs as lm_eval leaves them, made by hand for the tests of reports."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

STAMP = "2026-01-02T03-04-05.000000"


def sample(doc_id: int, text: str, prompt: str | None = None, filter_: str = "none", **more: Any) -> dict[str, Any]:
    """Return a logged sample; what is named beyond the usual fields are metrics, except `doc` and `target`."""
    prompt = f"question {doc_id}" if prompt is None else prompt
    fixed = {name: more.pop(name) for name in ("doc", "target", "resps", "arguments") if name in more}
    return {
        "doc_id": doc_id,
        "doc": {"question": prompt, "domain": "even" if doc_id % 2 == 0 else "odd"},
        "target": "",
        "arguments": {"gen_args_0": {"arg_0": prompt, "arg_1": {"until": []}}},
        "resps": [[text]],
        "filtered_resps": [text],
        "filter": filter_,
        "metrics": list(more),
        "prompt_hash": sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest(),
        **more,
        **fixed,
    }


def trace(logged: dict[str, Any], pieces: list[tuple[str, str]], task: str = "toy", **more: Any) -> dict[str, Any]:
    """Return a line of a traces file that joins a logged sample."""
    key = {"task": task, "doc_id": logged["doc_id"], "repeat": 0, "prompt_hash": logged["prompt_hash"]}
    record = {"finish": "eos", "kept": 4, "forwards": 5, "fed": 6, "seconds": 0.5, **more}
    return key | {"text": logged["resps"][0][0], "pieces": pieces, "trace": record}


def write_run(
    folder: Path,
    samples: dict[str, list[dict[str, Any]]],
    model: str = "ar",
    traces: list[dict[str, Any]] = (),  # type: ignore[assignment]
    manifest: dict[str, Any] | None = None,
    stamp: str = STAMP,
    **model_args: Any,
) -> Path:
    """Write a run: results with the means of the samples' metrics, samples, traces, manifest. Return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {}
    for task, lines in samples.items():
        names = dict.fromkeys(name for line in lines for name in line["metrics"])
        means = {}
        for name in names:
            values = [line[name] for line in lines if isinstance(line.get(name), (int, float))]
            if values:
                means |= {f"{name},none": sum(values) / len(values), f"{name}_stderr,none": 0.1}
        results[task] = {"alias": task, "sample_len": len(lines), **means}
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"samples_{task}_{stamp}.jsonl").write_text(text, encoding="utf-8")
    whole = {
        "results": results,
        "configs": {task: {} for task in samples},
        "higher_is_better": {task: {"acc": True, "loss": False} for task in samples},
        "config": {"model": model, "model_args": {"pretrained": "small", **model_args}},
        "date": 1767323045.0,
        "lm_eval_version": "0.4.13",
        "total_evaluation_time_seconds": "12.5",
    }
    (folder / f"results_{stamp}.json").write_text(json.dumps(whole), encoding="utf-8")
    if manifest is not None:
        (folder / f"manifest_{stamp}.json").write_text(json.dumps(manifest), encoding="utf-8")
    if traces:
        (folder / "traces.jsonl").write_text("".join(json.dumps(line) + "\n" for line in traces), encoding="utf-8")
    return folder
