"""The table of a sweep: which numbers are scores, and which times belong to which texts."""

from __future__ import annotations

import csv
import json

from tests import sweep_tools as tools
from tests.unit.sweep import test_sweep

lmx = test_sweep.lmx


def test_a_make_stage_is_not_scored(lmx, tmp_path):
    """Its texts are for another arm: lm_eval scores them all the same."""
    made = {"acc": 0.25, "decoding": {"settings": {"stage": "make"}}}
    arms = [{"name": "make", "model_args": made}, {"name": "use", "needs": ["make"], "model_args": {"acc": 0.75}}]
    code, out, _ = lmx("sweep", tools.write(tmp_path, arms))
    assert code == 0
    rows = {row["arm"]: row for row in csv.DictReader((tmp_path / "out" / "collated.csv").open())}
    assert [rows[name]["quiz/acc"] for name in ("make", "use")] == ["", "0.75"]
    assert rows["make"]["forwards"] == "20"
    assert "not scored, stage=make writes texts for another arm: make" in out
    record = json.loads((tmp_path / "out" / "collated.json").read_text())[0]
    assert (record["scored"], record["scores"]) == (False, {})


def test_times_of_resumed_arms_are_missing_and_shared_cores_are_named(lmx, tmp_path):
    """Seconds are of the last attempt, texts and forwards of all."""
    resumed = {"decoding": {"texts_from_journal": 3, "model_seconds": 7.5}}
    arms = [{"name": "resumed", "model_args": resumed}, {"name": "whole"}]
    code, out, _ = lmx("sweep", tools.write(tmp_path, arms, max_parallel=1))
    assert code == 0
    rows = {row["arm"]: row for row in csv.DictReader((tmp_path / "out" / "collated.csv").open())}
    assert [rows["resumed"][name] for name in ("seconds", "run_seconds", "model_seconds")] == ["", "", "7.5"]
    assert rows["whole"]["seconds"] == "0.5"
    assert "no seconds, because an earlier attempt wrote some of the texts: resumed" in out
    assert "side by side" not in out
    state = tmp_path / "out" / "sweep_state.json"
    known = json.loads(state.read_text())
    for arm in known["arms"].values():
        arm |= {"started": "2026-01-01T00:00:00+00:00", "seconds": 60.0}
    state.write_text(json.dumps(known))
    _, out, _ = lmx("sweep", tmp_path / "sweep.yaml")
    assert "shared the cores, so their seconds are longer than alone: resumed, whole" in out
