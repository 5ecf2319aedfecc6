"""Accuracy against the oracle's share: arithmetic on a case worked out by hand, intervals, and refusals."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from lmx_analysis import figures
from lmx_analysis.guided_curve import groups
from lmx_analysis.guided_curve.curve import guided_curve
from lmx_analysis.guided_curve.model import Options
from lmx_cli.main import app
from lmx_files.errors import UserError
from tests.unit.guided.guided_tools import answer, write_guided_run

N = 20
FAST = Options(resamples=200)


def run(folder: Path, share: float, right: int, n: int = N, **settings: Any) -> Path:
    """Write a run of `n` answers of ten tokens, `right` of them right, in which the oracle wrote a share of each."""
    oracle = round(10 * share)
    pieces = [piece for piece in (("oracle", "o", oracle), ("base", "b", 10 - oracle)) if piece[2]]
    answers = [answer(i, pieces, acc=float(i < right)) for i in range(n)]
    return write_guided_run(folder, answers, **settings)


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    """Base 0.2 and oracle 1; ramp 0.8 at half the tokens; random 0.6 at half of them."""
    run(tmp_path / "base", 0, 4, c=0.0)
    run(tmp_path / "oracle", 1, 20, c="inf", k="inf")
    run(tmp_path / "ramp", 0.5, 16)
    run(tmp_path / "random", 0.5, 12, policy="random")
    return tmp_path


def test_known_gaps_and_areas(sweep: Path) -> None:
    curve = guided_curve([sweep], FAST)
    ramp, random = curve.lines
    assert (ramp.name, random.name) == ("ramp", "random")
    point = ramp.points[0]
    assert point.share.value == 0.5
    assert point.accuracy.value == 0.8
    assert point.gap is not None
    assert point.gap.value == pytest.approx((0.8 - 0.2) / (1 - 0.2))
    # trapezoids under (0, 0), (0.5, 0.75), (1, 1) and under (0, 0), (0.5, 0.5), (1, 1)
    assert ramp.area is not None
    assert ramp.area.value == pytest.approx(0.1875 + 0.4375)
    assert random.area is not None
    assert random.area.value == pytest.approx(0.5)
    assert ramp.area_over_control is None  # one point each: no range that both measured
    assert any("areas are not compared" in note for note in curve.notes)
    assert point.control is not None
    assert point.control.value == pytest.approx(0.6)
    assert point.difference is not None
    assert point.difference.value == pytest.approx(0.2)
    assert random.points[0].difference is None


def test_random_is_read_off_its_line_at_the_measured_share(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, 4, c=0.0)
    run(tmp_path / "low", 0.2, 8, policy="random", prob=0.05)
    run(tmp_path / "high", 0.6, 16, policy="random", prob=0.3)
    run(tmp_path / "ramp", 0.3, 12)
    point = guided_curve([tmp_path], FAST).lines[0].points[0]
    assert point.control is not None
    assert point.control.value == pytest.approx(0.4 + (0.8 - 0.4) * 0.25)
    assert point.between == (0.2, 0.6)


def test_beyond_the_control_is_said(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, 4, c=0.0)
    run(tmp_path / "random", 0.2, 8, policy="random")
    run(tmp_path / "ramp", 0.1, 12)
    notes = " ".join(guided_curve([tmp_path], FAST).notes)
    assert "beyond the shares of the random runs" in notes
    assert "ramp c=2 k=5" in notes
    assert "no run of oracle only" in notes


def test_a_control_too_far_away_gives_no_interval_and_names_a_better_one(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, 4, c=0.0)
    run(tmp_path / "low", 0.2, 8, policy="random", c="inf", prob=0.05)
    run(tmp_path / "high", 0.8, 16, policy="random", c="inf", prob=0.8)
    run(tmp_path / "ramp", 0.5, 12)
    curve = guided_curve([tmp_path], FAST)
    point = curve.lines[0].points[0]
    assert point.difference is not None
    assert not point.difference.interval.known
    assert point.together is None
    # odds: 1/4 at prob 0.05, 4 at 0.8; 1 lies half-way in log odds, so at sqrt(0.05 * 0.8) = 0.2
    assert point.setting == "k=5 prob=0.2"
    assert any("no random run within 0.1" in note and "k=5 prob=0.2" in note for note in curve.notes)


def test_without_a_control_the_note_names_runs_that_would_be_one(tmp_path: Path) -> None:
    run(tmp_path / "ramp", 0.5, 12)
    notes = " ".join(guided_curve([tmp_path], FAST).notes)
    assert "k=5 prob=0.2" in notes  # share pk / (pk + 1) = 1 / 2


def test_seeds_are_one_point_and_the_newest_run_of_a_seed_counts(tmp_path: Path) -> None:
    run(tmp_path / "1", 0.5, 10, seed=1)
    run(tmp_path / "2", 0.5, 20, seed=2)
    run(tmp_path / "2b", 0.5, 14, seed=2, stamp="2026-02-02T03-04-05.000000")
    curve = guided_curve([tmp_path], FAST)
    assert curve.points[0].group.seeds == [1, 2]
    assert curve.points[0].accuracy.value == pytest.approx((10 + 14) / 40)
    assert any("newest" in note for note in curve.notes)


def test_by_makes_separate_lines_with_their_own_controls(tmp_path: Path) -> None:
    for k in (5.0, 9.0):
        run(tmp_path / f"ramp{k}", 0.3, 12, k=k)
        run(tmp_path / f"random{k}", 0.3, int(k), k=k, policy="random")
    curve = guided_curve([tmp_path], Options(by=("k",), resamples=100))
    found = {line.name: line.points[0].control for line in curve.lines}
    assert list(found) == ["ramp, k=5", "ramp, k=9", "random, k=5", "random, k=9"]
    values = [found[name].value for name in ("ramp, k=5", "ramp, k=9") if found[name]]
    assert values == pytest.approx([0.25, 0.45])


def test_equal_ends_leave_the_gap_undefined(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, 10, c=0.0)
    run(tmp_path / "oracle", 1, 10, c="inf", k="inf")
    run(tmp_path / "ramp", 0.5, 12)
    curve = guided_curve([tmp_path], FAST)
    assert curve.lines[0].points[0].gap is None
    assert curve.lines[0].area is None
    assert any("not defined" in note for note in curve.notes)


def test_unparsed_is_wrong_and_stays_in_the_denominator(tmp_path: Path) -> None:
    answers = [answer(i, [("base", "b", 2)], acc=1.0 if i < 5 else None, parse_rate=float(i < 5)) for i in range(20)]
    write_guided_run(tmp_path / "base", answers, c=0.0)
    point = guided_curve([tmp_path], FAST).points[0]
    assert point.accuracy.value == 0.25
    assert point.group.parse_rate == 0.25


def test_all_right_gets_wilsons_interval(tmp_path: Path) -> None:
    run(tmp_path / "oracle", 1, N, c="inf", k="inf")
    accuracy = guided_curve([tmp_path], FAST).points[0].accuracy
    assert (accuracy.value, accuracy.high) == (1.0, 1.0)
    assert accuracy.low == pytest.approx(1 / (1 + 1.959964**2 / N), abs=1e-6)


def test_only_prompts_that_all_runs_answered_count(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, 4, c=0.0)
    run(tmp_path / "ramp", 0.5, 8, n=10)
    curve = guided_curve([tmp_path], FAST)
    assert curve.documents == 10
    assert curve.points[0].accuracy.value == 0.4
    assert any("Left out: 10 documents" in note for note in curve.notes)


def test_replaced_results_of_a_sweep_do_not_count(sweep: Path) -> None:
    run(sweep / "replaced" / "ramp", 0.5, 0, stamp="2027-01-02T03-04-05.000000")
    assert guided_curve([sweep], FAST).lines[0].points[0].accuracy.value == 0.8


@pytest.mark.parametrize("name", ["oracle", "temperature", "max_gen_toks"])
def test_runs_that_differ_in_more_than_the_policy_are_refused(sweep: Path, name: str) -> None:
    run(sweep / "other", 0.5, 12, **{name: 7})
    with pytest.raises(UserError, match=f"the runs differ in {name}: .*7"):
        guided_curve([sweep], FAST)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Options(task="toi"), "did you mean 'toy'"),
        (Options(metric="ac"), "did you mean 'acc'"),
        (Options(by=("kk",)), "did you mean 'k'"),
        (Options(cluster="domian"), "did you mean 'domain'"),
        (Options(filter="strict"), "unknown filter"),
    ],
)
def test_unknown_names(sweep: Path, options: Options, message: str) -> None:
    with pytest.raises(UserError, match=message):
        guided_curve([sweep], options)


def test_other_prompts_are_refused(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, 4, c=0.0)
    write_guided_run(tmp_path / "ramp", [answer(0, [("base", "b", 2)], prompt="another", acc=1.0)])
    with pytest.raises(UserError, match="no prompt in common"):
        guided_curve([tmp_path], FAST)


def test_clusters_widen_the_interval(tmp_path: Path) -> None:
    answers = [answer(i, [("base", "b", 2)], doc={"book": i // 10}, acc=float(i < 20)) for i in range(40)]
    write_guided_run(tmp_path / "base", answers, c=0.0)
    alone, grouped = (guided_curve([tmp_path], Options(cluster=name)).points[0].accuracy for name in (None, "book"))
    assert grouped.high - grouped.low > 1.5 * (alone.high - alone.low)


def test_command_prints_and_writes_tables(sweep: Path, tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["guided-curve", str(sweep), "-o", str(output), "--no-plots", "--bootstrap", "100"]
    outcome = CliRunner().invoke(app, arguments)
    assert outcome.exit_code == 0, outcome.exception
    assert "Area under the recovered gap" in outcome.output
    assert sorted(path.name for path in output.iterdir()) == [
        "guided_curve.csv", "guided_curve.json", "guided_curve_areas.csv",
    ]  # fmt: skip
    rows = list(csv.DictReader((output / "guided_curve.csv").open()))
    assert [row["role"] for row in rows] == ["base", "point", "point", "oracle"]
    whole = json.loads((output / "guided_curve.json").read_text())
    assert whole["points"][1]["all"]["max_oracle_tokens"] == "inf"
    assert len(whole["runs"][0]["sha256"]) == 3
    assert set(whole["runs"][0]["sha256"].values()) < set(whole["inputs"].values())
    assert {"git", "machine", "seeds", "versions"} <= set(whole)


def test_plots(sweep: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = []
    for name in ("one", "two"):
        outcome = CliRunner().invoke(
            app, ["guided-curve", str(sweep), "-o", str(tmp_path / name), "--bootstrap", "100"]
        )
        assert outcome.exit_code == 0, outcome.exception
        written.append((tmp_path / name / "guided_curve.svg").read_bytes())
        assert (tmp_path / name / "guided_curve.png").read_bytes().startswith(b"\x89PNG")
    assert written[0] == written[1]


def test_without_matplotlib_the_extra_is_named(sweep: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures.importlib.util, "find_spec", lambda name: None)
    outcome = CliRunner().invoke(app, ["guided-curve", str(sweep), "-o", str(tmp_path / "out")])
    assert isinstance(outcome.exception, UserError)
    assert "lmx-eval[plots]" in str(outcome.exception)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"metric_kinds": {"solved": "rate"}}, True),
        ({"metric_kinds": ["solved"]}, False),
        ("solved", False),
        (None, False),
    ],
)
def test_only_a_mapping_declares_what_a_metric_is(metadata, said):
    run = SimpleNamespace(results={"configs": {"t": {"metadata": metadata}}})
    assert groups._declared([run], ["t", "absent"], "solved") is said
