"""Protocols keep their word, and training is resumed, checked and judged on planted truth."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from lmx_analysis.performance_prediction import aggregate, protocols, train
from lmx_analysis.performance_prediction.data import Score
from lmx_analysis.performance_prediction.predictor import Kind, Tasks
from lmx_analysis.performance_prediction.shown import output
from lmx_files.errors import UserError
from tests.unit.performance_prediction.planted import planted


def results(rows: Any, folder: Path, *names: str, **more: Any) -> dict[str, aggregate.Result]:
    """Train and aggregate; by predictor."""
    made = train.train(rows, train.Options(names, **more), folder)
    return {result.predictor: result for result in aggregate.aggregate(pd.DataFrame(made.records), resamples=1_000)}


def test_no_group_is_on_both_sides() -> None:
    rows = planted(60, 0.3, 1, sources=True)
    for protocol in ("source", "category"):
        groups = np.array(protocols.groups_of(rows, protocol))
        assert len(set(groups)) == (30 if protocol == "source" else 7)
        found = protocols.splits(rows, protocol)
        assert Counter(i for split in found for i in split.test) == Counter(range(60))
        for split in found:
            for part in (split.train, split.dev):
                assert not set(groups[part]) & set(groups[split.test])
            assert not set(groups[split.train]) & set(groups[split.dev])
            assert split.train.size + split.dev.size + split.test.size == 60


def test_published_splits_are_ten_of_80_10_10() -> None:
    found = protocols.splits(planted(119, 0.3, 1), "published")
    assert [split.seed for split in found] == list(range(42, 52))
    assert {(split.train.size, split.dev.size, split.test.size) for split in found} == {(95, 12, 12)}
    np.random.seed(42)  # as the study does, whose calls of train_test_split draw from numpy's global stream
    train_, rest = train_test_split(np.arange(119), train_size=0.8)
    dev, test = train_test_split(rest, train_size=0.5)
    assert [sorted(each) for each in (train_, dev, test)] == [
        each.tolist() for each in (found[0].train, found[0].dev, found[0].test)
    ]


def test_near_duplicates_are_linked() -> None:
    texts = ["a b c d e f g h i j", "A, b c d e f g h i j!", "a b c d e f g h i k", "x y z"]
    assert protocols.near_duplicates(texts) == [0, 0, 0, 3]
    assert protocols.near_duplicates(texts, 0.9) == [0, 0, 2, 3]


def test_a_planted_signal_is_recovered(tmp_path: Path) -> None:
    found = results(planted(400, 0.3, 2), tmp_path, "mean", "tfidf_ridge")
    assert found["tfidf_ridge"].judged.r2 == pytest.approx(0.3, abs=0.05)
    assert found["tfidf_ridge"].verdict == "beats the mean"
    assert found["mean"].judged.r2 == 0
    assert found["mean"].verdict == ""


def alarms(repeats: int, folder: Path) -> int:
    """Return in how many data sets of 82 tasks without any signal some predictor "beats the mean"."""
    found = 0
    for seed in range(repeats):
        made = results(planted(82, 0.0, seed, noise=0.2), folder / str(seed), "category_mean", "tfidf_ridge")
        found += any(result.verdict == "beats the mean" for result in made.values())
    return found


def test_no_signal_does_not_beat_the_mean(tmp_path: Path) -> None:
    assert alarms(5, tmp_path) <= 1


@pytest.mark.full
def test_no_signal_does_not_beat_the_mean_in_200_repeats(tmp_path: Path) -> None:
    assert alarms(200, tmp_path) <= 10


@pytest.mark.full
@pytest.mark.parametrize("seed", range(10, 20))
def test_planted_signals_are_recovered(tmp_path: Path, seed: int) -> None:
    found = results(planted(400, 0.3, seed), tmp_path, "tfidf_ridge")["tfidf_ridge"]
    assert found.judged.r2 == pytest.approx(0.3, abs=0.05)


def test_other_models_and_pilots(tmp_path: Path) -> None:
    rows = planted(400, 0.0, 3, noise=0.3, models=3)
    found = results(rows, tmp_path, "other_models", "pilot1", "pilot10", "tfidf_ridge", model="m0")
    # the same noise-free score under every model: corrected R2 of two others' mean is 1 / (1 + 0.3 / 2) = 0.87
    assert found["other_models"].judged.r2_corrected == pytest.approx(0.87, abs=0.1)
    # one instance has a reliability of 1 / (1 + 0.3 * 25) = 0.12, ten 1 / (1 + 0.3 * 2.5) = 0.57
    assert found["pilot1"].judged.r2_corrected == pytest.approx(0.12, abs=0.1)
    assert found["pilot10"].judged.r2_corrected == pytest.approx(0.57, abs=0.15)
    assert found["tfidf_ridge"].verdict.startswith("does not beat the mean")
    said = output.sentences(list(found.values()))
    assert any("beats the mean: other_models" in each and "tfidf_ridge" not in each for each in said)
    assert any("does not beat the mean" in each and "tfidf_ridge" in each for each in said)


def test_training_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = planted(40, 0.3, 4)
    options = train.Options(("tfidf_ridge",))
    whole = train.train(rows, options, tmp_path / "whole").records

    def until(cells: list[Any]) -> Any:
        for number, cell in enumerate(cells):
            if number == 4:
                raise KeyboardInterrupt
            yield cell

    with pytest.raises(KeyboardInterrupt):
        train.train(rows, options, tmp_path / "cut", until)
    fits = []
    original = train._fitted
    monkeypatch.setattr(train, "_fitted", lambda *a: fits.append(1) or original(*a))
    assert train.train(rows, options, tmp_path / "cut").records == whole
    assert len(fits) == 6
    train.train(rows, train.Options(("tfidf_ridge",), scale="raw"), tmp_path / "cut")
    assert len(fits) == 16  # another setting is not taken for this one


class Gridded:
    """Has a grid of four settings; remembers in which order they were fitted, and dies at one of them."""

    fitted: ClassVar[list[int]] = []
    dies_at = -1

    def __init__(self, seed: int = 0, shift: int = 0) -> None:
        self.shift = shift

    def fit(self, tasks: Tasks, scores: Any, dev: Any) -> None:
        if len(self.fitted) == self.dies_at:
            raise KeyboardInterrupt
        self.fitted.append(self.shift)

    def predict(self, tasks: Tasks) -> Any:
        return np.full(len(tasks), (self.shift - 2) / 10)


def test_a_grid_that_was_interrupted_goes_on_with_its_next_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = tuple({"shift": shift} for shift in (3, 1, 2, 4))
    monkeypatch.setattr(train, "find", lambda name: Kind(name, Gridded, None, grid))
    monkeypatch.setattr(Gridded, "fitted", [])
    options = train.Options(("gridded",), protocol="published", seeds=(42,))
    whole = train.train(planted(40, 0.3, 4), options, tmp_path / "whole").records
    assert Gridded.fitted == [3, 1, 2, 4]
    Gridded.fitted.clear()
    monkeypatch.setattr(Gridded, "dies_at", 3)
    with pytest.raises(KeyboardInterrupt):
        train.train(planted(40, 0.3, 4), options, tmp_path / "cut")
    monkeypatch.setattr(Gridded, "dies_at", -1)
    assert train.train(planted(40, 0.3, 4), options, tmp_path / "cut").records == whole
    assert Gridded.fitted == [3, 1, 2, 4]  # each setting once


class Peeking:
    """What a predictor sees: never the scores of the tasks that it predicts."""

    def __init__(self, seed: int = 0) -> None:
        self.seen: set[str] = set()

    def fit(self, tasks: Tasks, scores: Any, dev: Any) -> None:
        self.seen = set(tasks.names) | (set(dev[0].names) if dev else set())
        assert abs(scores.mean()) < 1e-9

    def predict(self, tasks: Tasks) -> Any:
        assert not self.seen & set(tasks.names)
        return np.full(len(tasks), np.nan)


def test_predictions_that_are_no_numbers_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "find", lambda name: Kind(name, Peeking, None, ({},)))
    with pytest.raises(UserError, match="returned no 4 finite numbers"):
        train.train(planted(40, 0.3, 4), train.Options(("peeking",)), tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"predictors": ("tfidf_rigde",)}, "did you mean 'tfidf_ridge'"),
        ({"protocol": "sources"}, "did you mean 'source'"),
        ({"target": "loss"}, "no predict_loss for 40 of 40 tasks"),
        ({"model": "m7"}, "unknown model 'm7'"),
        ({"scale": "log"}, "standardised or raw"),
        ({"predictors": ("other_models",)}, "no other model"),
        ({"predictors": ("mean",), "settings": {"mean": {"strength": 1}}}, "does not take these settings"),
    ],
)
def test_what_is_refused(tmp_path: Path, more: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        train.train(planted(40, 0.3, 4), train.Options(**({"predictors": ("mean",)} | more)), tmp_path)


def test_the_same_training_twice_is_refused(tmp_path: Path) -> None:
    made = train.train(planted(40, 0.3, 4), train.Options(("mean",)), tmp_path)
    told = {"dataset": "set", "sha256": "of it", "options": {"seeds": [42]}}
    (tmp_path / aggregate.FILE).write_bytes(output.predictions(made.records, told)[aggregate.FILE])
    assert len(aggregate.read([tmp_path])) == 40
    with pytest.raises(UserError, match="is predicted twice by mean"):
        aggregate.read([tmp_path, tmp_path])


def test_scores_that_are_all_alike_break_nothing(tmp_path: Path) -> None:
    rows = [replace(row, scores={"exact_match": Score.of([0.0] * 25)}) for row in planted(40, 0.3, 1)]
    found = results(rows, tmp_path, "mean", "tfidf_ridge", "pilot3", target="exact_match", protocol="category")
    assert found["tfidf_ridge"].verdict == "does not beat the mean"
    assert np.isnan(found["tfidf_ridge"].judged.r2)
    assert "coverage.png" in output.files(list(found.values()), True, 0.9)
