"""Overlap and metrics of the package evaluate in `lmx rescore` and in tasks."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from tests.unit.rescore.rescore_tools import doc, lines_of, lmx, words, write_run  # noqa: F401

MODULE = """
import datasets
import evaluate


class Share(evaluate.Metric):
    def _info(self):
        texts = datasets.Value("string")
        return evaluate.MetricInfo(
            description="share of words found", citation="", inputs_description="",
            features=datasets.Features({"predictions": texts, "references": texts}),
        )

    def _compute(self, predictions, references):
        shares = [len(set(p.split()) & set(r.split())) / len(r.split()) for p, r in zip(predictions, references)]
        return {"share": sum(shares) / len(shares)}


METRIC = Share(keep_in_memory=True)


def share(doc, text):
    return METRIC.compute(predictions=[text], references=[doc["answer"]])["share"]
"""


def test_overlap_is_added_to_any_run_with_targets(lmx: Any, words: Any, tmp_path: Any) -> None:  # noqa: F811
    code, _out, err = lmx("rescore", words, "-o", tmp_path / "new", "--metrics", "overlap")
    assert code == 0, err
    assert [line["rougeL"] for line in lines_of(tmp_path / "new", "rescore_words")] == [100, 0, 100]
    assert [line["exact_match"] for line in lines_of(tmp_path / "new", "rescore_words")] == [100, 0, 100]


def test_overlap_takes_all_references_and_leaves_out_what_cannot_score(lmx: Any, tmp_path: Any) -> None:  # noqa: F811
    samples = [
        ({**doc(0), "references": ["no", "yes"]}, ["yes"], {"exact": 1.0}),
        ({**doc(1), "references": ["да"]}, ["да"], {"exact": 1.0}),
    ]
    run = write_run(tmp_path / "run", "any_task", samples)
    code, _out, err = lmx("rescore", run, "-o", tmp_path / "new", "--metrics", "overlap")
    assert code == 0, err
    first, second = lines_of(tmp_path / "new", "any_task")
    assert (first["rougeL"], first["unscorable"], second["unscorable"]) == (100, 0, 1)
    assert second.get("rougeL") is None
    assert second["rougeL_unicode"] == 100


def test_overlap_needs_texts_to_compare_with(lmx: Any, tmp_path: Any) -> None:  # noqa: F811
    run = write_run(tmp_path / "run", "any_task", [({**doc(0), "references": [1]}, ["yes"], {"exact": 1.0})])
    code, _out, err = lmx("rescore", run, "-o", tmp_path / "new", "--metrics", "overlap")
    assert code == 2
    assert "has no 'references' to compare with" in err
    assert len(err.strip().splitlines()) == 1


def test_a_metric_of_evaluate_scores_logged_texts(lmx: Any, words: Any, tmp_path: Any) -> None:  # noqa: F811
    (tmp_path / "share_metric.py").write_text(MODULE)
    code, _out, err = lmx("rescore", words, "-o", tmp_path / "new", "--metrics", "share_metric:share")
    assert code == 0, err
    assert [line["share"] for line in lines_of(tmp_path / "new", "rescore_words")] == [1, 0, 1]


def test_a_metric_of_evaluate_scores_a_task(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import evaluate as hf_evaluate
    from datasets import Dataset
    from lm_eval.api.task import ConfigurableTask

    (tmp_path / "share_of_task.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    import share_of_task

    monkeypatch.setattr(hf_evaluate, "load", lambda name: {"share": share_of_task.METRIC}[name])
    config = {
        "task": "with_evaluate",
        "custom_dataset": lambda **_: {"test": Dataset.from_list([{"q": "?", "answer": "a b"}])},
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{q}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": []},
        "metric_list": [{"metric": "share", "hf_evaluate": True, "aggregation": "mean", "higher_is_better": True}],
    }
    task = ConfigurableTask(config=config)
    assert task.process_results({"q": "?", "answer": "a b"}, ["b c"]) == {"share": 0.5}
    sys.modules.pop("share_of_task")
