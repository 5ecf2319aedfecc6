"""The section of the report says what beats the mean, what does not, and sets the mean beside every row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lmx_analysis.performance_prediction.shown import section
from tests.unit.performance_prediction.planted import planted
from tests.unit.performance_prediction.test_train import results


def test_what_knows_the_task_is_told_apart_from_what_reads_the_instruction(tmp_path: Path) -> None:
    rows = planted(60, 0.0, 3, noise=0.02, models=2)
    found = list(results(rows, tmp_path, "mean", "tfidf_ridge", "other_models", "pilot3", model="m0").values())
    made = section.section(found, 0.9, ["coverage.png", "results.csv"])
    assert made.text[0].startswith("Nothing that predicts from the instruction alone beats the mean")
    assert "with scores of the task itself: other_models (rougeL of m0" in made.text[0]
    assert any("does not beat the mean: tfidf_ridge" in each for each in made.text)
    assert [picture.file for picture in made.pictures] == ["coverage.png"]
    table, by_category = made.tables
    assert [row[0] for row in table.rows] == ["mean", "tfidf_ridge", "other_models", "pilot3"]
    at = {name: place for place, name in enumerate(table.columns)}
    for row, result in zip(table.rows, found, strict=True):
        assert row[at["RMSE"]] == pytest.approx(result.judged.rmse, abs=1e-3)
        assert row[at["RMSE of the mean"]] == pytest.approx(result.judged.rmse_mean, abs=1e-3)
    best = section.best_of(found)
    assert best is not None
    assert best.predictor == "other_models"
    frame = best.frame[best.frame["category"] == "category2"]
    row = next(each for each in by_category.rows if each[0] == "category2")
    assert row[1] == frame["task"].nunique()
    assert row[2] == pytest.approx((frame["predicted"] - frame["true"]).mean(), abs=1e-3)
    assert row[3] == pytest.approx(np.sqrt(np.square(frame["predicted"] - frame["true"]).mean()), abs=1e-3)


def test_the_mean_alone_is_said_to_be_alone(tmp_path: Path) -> None:
    made = section.section(list(results(planted(40, 0.3, 4), tmp_path, "mean").values()), 0.9, [])
    assert made.text[0] == "Only the mean of the training tasks was tried."
    assert len(made.tables) == 1
