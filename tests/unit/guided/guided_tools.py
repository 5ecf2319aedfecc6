"""Finished guided runs, made by hand for the tests of their analyses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.unit.report.report_runs import sample

SETTINGS: dict[str, Any] = {
    "temperature": 0.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "c": 2.0, "k": 5.0, "max_oracle_tokens": "inf",
    "discard": 0, "oracle_temperature": 0.0, "record": None, "policy": "ramp", "prob": 0.1, "oracle": "large",
    "handover": "token",
}  # fmt: skip


def answer(
    doc_id: int, pieces: list[tuple[str, str, int]], prompt: str | None = None, **more: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the sample and the trace line of one answer.

    Args:
        pieces: source, text and number of tokens of each piece; token ids count from 0.
        more: metrics, and `doc`, `target`, `tokens`, `prompt_tokens`.
    """
    tokens = more.pop("tokens", None)
    prompt_tokens = more.pop("prompt_tokens", 3)
    text = "".join(piece for _, piece, _ in pieces)
    logged = sample(doc_id, text, prompt, **more)
    segments, consultations, at = [], [], 0
    for source, _, length in pieces:
        segments.append({"source": source, "start": at, "end": at + length})
        if source == "oracle":
            consultations.append({"at": at, "asked_at": at, "tokens": length})
        at += length
    trace = {
        "tokens": list(range(at)) if tokens is None else tokens,
        "segments": segments,
        "finish": "eos",
        "prompt_tokens": prompt_tokens,
        "extra": {"consultations": consultations},
    }
    key = {"task": "toy", "doc_id": doc_id, "repeat": 0, "prompt_hash": logged["prompt_hash"]}
    return logged, key | {"text": text, "pieces": [list(piece[:2]) for piece in pieces], "trace": trace}


def write_guided_run(
    folder: Path,
    answers: list[tuple[dict[str, Any], dict[str, Any]]],
    base: str = "small",
    seed: int = 1,
    method: str = "guided",
    stamp: str = "2026-01-02T03-04-05.000000",
    main: tuple[str, ...] = ("acc",),
    **settings: Any,
) -> Path:
    """Write a run of `--model guided` on the task `toy` and return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = SETTINGS | settings
    decoding = {"method": method, "model": base, "settings": whole, "settings_by_task": {"toy": whole}, "seed": seed}
    results = {
        "results": {"toy": {"alias": "toy", "acc,none": 0.5}},
        "configs": {"toy": {"metadata": {"main_metrics": list(main)}}},
        "higher_is_better": {"toy": {"acc": True}},
        "config": {"model": method, "decoding": decoding},
    }
    (folder / f"results_{stamp}.json").write_text(json.dumps(results))
    for name, part in ((f"samples_toy_{stamp}.jsonl", 0), (f"traces_{stamp}.jsonl", 1)):
        (folder / name).write_text("".join(json.dumps(each[part]) + "\n" for each in answers))
    manifest = {"files": {"traces": [f"traces_{stamp}.jsonl"]}}
    (folder / f"manifest_{stamp}.json").write_text(json.dumps(manifest))
    return folder
