"""The curve's verdicts on runs in files: seeds, missing values, many points, halves, axes, and what is said of each."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from lmx_analysis.figures import new_figure
from lmx_analysis.guided_curve import figure
from lmx_analysis.guided_curve.curve import guided_curve
from lmx_analysis.guided_curve.model import Options
from lmx_cli.main import app
from lmx_files.errors import UserError
from tests.unit.guided.guided_tools import answer, write_guided_run

N = 20
FAST = Options(resamples=500)


def run(folder: Path, share: float, values: list[Any], higher: bool | None = True, **settings: Any) -> Path:
    """Write a run whose answers of ten tokens have these values; the oracle wrote a share of each."""
    oracle = round(10 * share)
    pieces = [piece for piece in (("oracle", "o", oracle), ("base", "b", 10 - oracle)) if piece[2]]
    write_guided_run(folder, [answer(i, pieces, acc=value) for i, value in enumerate(values)], **settings)
    results = next(folder.glob("results_*.json"))
    content = json.loads(results.read_text())
    content["higher_is_better"] = {"toy": {"acc": higher}}
    results.write_text(json.dumps(content))
    return folder


def first(count: int, n: int = N) -> list[float]:
    """Return values of which the first `count` are right."""
    return [float(i < count) for i in range(n)]


def last(count: int, n: int = N) -> list[float]:
    """Return values of which the last `count` are right."""
    return first(count, n)[::-1]


def width(paths: list[Path], options: Options = FAST) -> float:
    accuracy = guided_curve(paths, options).points[0].accuracy
    return accuracy.high - accuracy.low


def test_another_seed_is_another_draw_of_each_document(tmp_path: Path) -> None:
    """Answers that are coin flips: two seeds say as much as twice the documents, not as much as one seed."""
    rights = ([1.0, 1.0, 0.0, 0.0] * 10, [1.0, 0.0, 1.0, 0.0] * 10)
    runs = [run(tmp_path / str(seed), 0.5, values, seed=seed) for seed, values in enumerate(rights)]
    assert width(runs) < 0.8 * width(runs[:1])
    crossed = width(runs, replace(FAST, seeds="crossed"))
    assert crossed == pytest.approx(width(runs), rel=0.01)  # both seeds have the same accuracy


def test_crossed_seeds_count_what_a_seed_shares_over_documents(tmp_path: Path) -> None:
    runs = [run(tmp_path / str(seed), 0.5, first(4 + 6 * seed, 40), seed=seed) for seed in range(3)]
    assert width(runs, replace(FAST, seeds="crossed")) > 1.3 * width(runs)


def test_no_note_says_that_one_seed_knows_nothing_of_others(tmp_path: Path) -> None:
    run(tmp_path / "ramp", 0.5, first(12))
    assert not any("seed" in note for note in guided_curve([tmp_path], FAST).notes)
    notes = guided_curve([tmp_path], replace(FAST, seeds="crossed")).notes
    assert any("one seed only" in note for note in notes)


def test_ends_that_may_be_equal_give_a_set_without_bounds(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, [float(i % 2) for i in range(N)], c=0.0)
    run(tmp_path / "oracle", 1, first(11), c="inf", k="inf")
    run(tmp_path / "ramp", 0.5, first(12))
    curve = guided_curve([tmp_path], FAST)
    gap = curve.lines[0].points[0].gap
    assert gap is not None
    assert gap.value == pytest.approx(2.0)
    assert gap.interval.shape == "all"
    assert any("may be nearly 0" in note for note in curve.notes)


def test_equal_means_of_unlike_answers_still_get_a_set(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, first(10), c=0.0)
    run(tmp_path / "oracle", 1, last(10), c="inf", k="inf")
    run(tmp_path / "ramp", 0.5, first(20))
    gap = guided_curve([tmp_path], FAST).lines[0].points[0].gap
    assert gap is not None
    assert math.isnan(gap.value)
    assert gap.interval.shape == "outside"  # far from both ends, so no small gap will do
    assert not gap.interval.excludes(-5.0)
    assert gap.interval.excludes(0.0)


def test_missing_counts_as_the_worst_where_less_is_better(tmp_path: Path) -> None:
    """Ten answers without an error: as 0 they would be the best run there is."""
    run(tmp_path / "base", 0, [2.0] * 19 + [6.0], higher=False, c=0.0)
    run(tmp_path / "ramp", 0.5, [1.0] * 10 + [None] * 10, higher=False)
    curve = guided_curve([tmp_path], FAST)
    assert curve.points[1].accuracy.value == pytest.approx((10 + 60) / 20)
    assert any("count as 6" in note and "10 of 20" in note for note in curve.notes)


def test_missing_is_wrong_where_more_is_better_and_no_better_than_the_worst(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, [-3.0] + [1.0] * 19, c=0.0)
    run(tmp_path / "ramp", 0.5, [1.0] * 10 + [None] * 5 + [math.nan] * 5)
    assert guided_curve([tmp_path], FAST).points[1].accuracy.value == pytest.approx((10 - 30) / 20)


def test_missing_without_a_direction_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, [1.0] * 19 + [None], higher=None, c=0.0)
    with pytest.raises(UserError, match="nothing says what a missing one is worth"):
        guided_curve([tmp_path], FAST)


@pytest.mark.parametrize("higher", [True, False])
@pytest.mark.parametrize("value", [math.inf, 10**400])
def test_infinite_values_are_not_dropped(tmp_path: Path, higher: bool, value: float) -> None:
    run(tmp_path / "base", 0, [1.0] * 18 + [value, None], higher=higher, c=0.0)
    with pytest.raises(UserError, match="1 answers have an infinite acc"):
        guided_curve([tmp_path], FAST)


def many(folder: Path) -> Path:
    """Write random runs at 0.1 to 0.9, and a policy that equals them but for one point."""
    run(folder / "base", 0, first(10, 40), c=0.0)
    run(folder / "oracle", 1, first(30, 40), c="inf", k="inf")
    for tenth in range(1, 10):
        right = 10 + 2 * tenth
        run(folder / f"random{tenth}", tenth / 10, first(right, 40), policy="random", prob=tenth / 100)
        shifted = last(right, 40) if tenth != 5 else last(right + 8, 40)
        run(folder / f"ramp{tenth}", tenth / 10, shifted, c=float(tenth))
    return folder


def test_intervals_that_hold_together_are_wider_and_the_best_is_said_to_be_one_of_many(tmp_path: Path) -> None:
    curve = guided_curve([many(tmp_path)], FAST)
    points = curve.lines[0].points
    assert curve.simultaneous == 9
    for point in points:
        assert point.difference is not None
        assert point.together is not None
        assert point.together.low < point.difference.low
        assert point.together.high > point.difference.high
    assert any("best of 9" in note for note in curve.notes)


def test_split_chooses_on_one_half_and_reports_on_the_other(tmp_path: Path) -> None:
    curve = guided_curve([many(tmp_path)], replace(FAST, split=True))
    chosen = curve.chosen
    assert chosen is not None
    assert (chosen.of, sum(chosen.documents), chosen.label) == (9, 40, "c=5 k=5")
    assert chosen.chosen_on.value > 0
    assert chosen.reported_on.interval.bounded
    assert not chosen.chosen_on.interval.known  # chosen for being large: an interval of it would mislead
    whole = next(p.difference for p in curve.lines[0].points if p.label == chosen.label)
    assert whole is not None
    assert whole.value == pytest.approx((chosen.chosen_on.value + chosen.reported_on.value) / 2)
    outcome = CliRunner().invoke(app, ["guided-curve", str(tmp_path), "--split", "--bootstrap", "100"])
    assert outcome.exit_code == 0, outcome.exception
    assert "best of 9 on 20 documents: ramp c=5 k=5" in outcome.output


def test_split_without_a_control_is_refused(tmp_path: Path) -> None:
    run(tmp_path / "ramp", 0.5, first(12))
    with pytest.raises(UserError, match="nothing to choose from"):
        guided_curve([tmp_path], replace(FAST, split=True))


def test_areas_are_compared_only_where_both_were_measured(tmp_path: Path) -> None:
    run(tmp_path / "base", 0, first(10, 40), c=0.0)
    run(tmp_path / "oracle", 1, first(30, 40), c="inf", k="inf")
    for tenth in (1, 3, 5):
        run(tmp_path / f"random{tenth}", tenth / 10, first(10 + 2 * tenth, 40), policy="random", prob=tenth / 10)
    for tenth in (3, 5, 8):
        run(tmp_path / f"ramp{tenth}", tenth / 10, last(14 + 2 * tenth, 40), c=float(tenth))
    ramp, random = guided_curve([tmp_path], FAST).lines
    assert ramp.common == [(0.3, 0.5)]
    assert ramp.area_over_control is not None
    # a lead of 0.1 over 0.2 of the shares, in units of the gap of 0.5
    assert ramp.area_over_control.value == pytest.approx(0.1 * 0.2 / 0.5)
    assert ramp.area_over_control.interval.bounded
    assert random.area_over_control is None


def test_the_tokens_axis_compares_at_oracle_tokens_for_each_problem(tmp_path: Path) -> None:
    """Random runs of texts twice as long: half the share, the same oracle tokens."""
    run(tmp_path / "base", 0, first(4), c=0.0)
    run(tmp_path / "oracle", 1, first(14), c="inf", k="inf")
    run(tmp_path / "ramp", 0.4, first(12))
    for name, count, right in (("low", 3, 7), ("high", 5, 9)):
        pieces = [("oracle", "o", count), ("base", "b", 20 - count)]
        answers = [answer(i, pieces, acc=float(i < right)) for i in range(N)]
        write_guided_run(tmp_path / name, answers, policy="random", prob=count / 100)
    by_share, by_tokens = (guided_curve([tmp_path], replace(FAST, axis=axis)) for axis in ("share", "tokens"))
    point = by_tokens.lines[0].points[0]
    assert (point.tokens.value, point.between) == (4.0, (3.0, 5.0))
    assert point.control is not None
    assert point.control.value == pytest.approx(0.4)
    assert point.difference is not None
    assert point.difference.interval.known
    assert by_share.lines[0].points[0].control is not None
    assert by_share.lines[0].points[0].control.value > 0.45  # beyond both random runs
    with pytest.raises(UserError, match="did you mean 'tokens'"):
        Options(axis="token")
    with pytest.raises(UserError, match="did you mean 'crossed'"):
        Options(seeds="cross")


def test_whiskers_of_length_0_are_not_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share of the base is 0 in every answer: no whisker, where one of length 0 looks like certainty."""
    pytest.importorskip("matplotlib")
    drawings = []
    monkeypatch.setattr(figure, "new_figure", lambda *size: drawings.append(new_figure(*size)) or drawings[-1])
    run(tmp_path / "base", 0, first(20), c=0.0)
    figure.figure(guided_curve([tmp_path], FAST))
    container = drawings[0].axes[0].containers[0]
    ends = [segment for lines in container.lines[2] for segment in lines.get_segments() if len(segment)]
    assert len(ends) == 1
    assert (ends[0][0][0], ends[0][1][0]) == (0.0, 0.0)  # upright
    assert ends[0][0][1] < 0.9  # all right: Wilson's interval, downwards


def test_the_files_hold_sets_settings_and_both_intervals(tmp_path: Path) -> None:
    output = tmp_path / "out"
    arguments = ["guided-curve", str(many(tmp_path / "runs")), "-o", str(output), "--no-plots", "--axis", "tokens"]
    outcome = CliRunner().invoke(app, [*arguments, "--bootstrap", "100", "--split"])
    assert outcome.exit_code == 0, outcome.exception
    written = json.loads((output / "guided_curve.json").read_text())
    point = next(p for p in written["points"] if p["settings"] == "c=5 k=5" and p["line"] == "ramp")
    assert point["gap_interval"] == "bounded"
    assert point["oracle_tokens"] == 5.0
    assert point["difference_together_low"] < point["difference_low"]
    assert point["random_setting"].startswith("k=5 prob=")
    assert written["chosen"]["label"] == "c=5 k=5"
    assert written["settings"]["seeds"] == "nested"
