"""`lmx compare`: pairs what was the same prompt, refuses the rest, corrects over what was selected."""

from __future__ import annotations

import json
import math

import pytest
from scipy import stats

from lmx_analysis.compare.comparison import Options, compare
from lmx_files.errors import UserError
from tests.unit.analysis.compare_tools import STAMP, N, acc, command, two_runs, write_run


@pytest.fixture
def two(tmp_path):
    return two_runs(tmp_path)


@pytest.fixture
def lmx(monkeypatch, capsys):
    return command(monkeypatch, capsys)


def test_a_pair_of_runs(two):
    result = compare(two, Options())
    (found,) = result.differences
    assert (found.paired.n, found.paired.reference, found.paired.run) == (N, 2 / N, 10 / N)
    assert found.paired.p == found.p_holm == pytest.approx(stats.binomtest(8, 8).pvalue)
    assert found.verdict == "better"
    assert result.reference == "a"


def test_lower_may_be_better(tmp_path, two):
    paths = [
        write_run(tmp_path / f"x{i}", {"t": acc(*[i] * N)}, higher_is_better={"t": {"acc": False}}) for i in (0, 1)
    ]
    assert compare(paths, Options()).differences[0].verdict == "worse"
    paths = [write_run(tmp_path / f"y{i}", {"t": acc(*[i] * N)}, higher_is_better={"t": {"acc": None}}) for i in (0, 1)]
    assert compare(paths, Options(metrics=["acc"])).differences[0].verdict == "differs"


def test_the_reference_can_be_chosen(two):
    result = compare(two, Options(), names=["one", "other"], reference="other")
    assert result.differences[0].run == "one"
    assert result.differences[0].paired.difference < 0


def test_order_of_lines_does_not_matter(tmp_path, two):
    a, b = two
    file = b / f"samples_t_{STAMP}.jsonl"
    before = compare([a, b], Options()).differences[0]
    file.write_text("".join(reversed(file.read_text().splitlines(keepends=True))))
    assert compare([a, b], Options()).differences[0].paired == before.paired


def test_other_prompts_are_refused_by_name(tmp_path, two):
    samples = acc(*[1] * N)
    for number in range(3, 11):
        samples[number]["prompt"] = "another"
    b = write_run(tmp_path / "c", {"t": samples})
    with pytest.raises(
        UserError, match=r"a and c were not given the same prompts: t \(8 documents: 3, 4, 5, 6, 7, \.\.\.\)"
    ):
        compare([two[0], b], Options())
    result = compare([two[0], b], Options(by_prompt=False))
    assert result.differences[0].paired.n == N
    assert any("paired by document" in note for note in result.notes)


def test_other_documents_are_refused_even_then(tmp_path, two):
    samples = acc(*[1] * N)
    samples[2]["doc"] = {"id": "another"}
    b = write_run(tmp_path / "c", {"t": samples})
    with pytest.raises(UserError, match=r"same documents under the same numbers: t \(1 document: 2\)"):
        compare([two[0], b], Options(by_prompt=False))
    assert any(
        "1 document: 2 have the same prompt but other fields" in note for note in compare([two[0], b], Options()).notes
    )


def test_another_target_is_noted(tmp_path, two):
    b = write_run(tmp_path / "c", {"t": acc(*[1] * N, target="other")})
    assert any("another target" in note for note in compare([two[0], b], Options()).notes)


def test_another_number_of_repeats_is_refused(tmp_path, two):
    b = write_run(tmp_path / "c", {"t": acc(*[1] * N, resps=[["x", "y"]])})
    with pytest.raises(UserError, match=r"number of texts a document: t \(1 against 2\)"):
        compare([two[0], b], Options())


def test_common_documents_are_paired_and_the_rest_is_counted(tmp_path, two):
    b = write_run(tmp_path / "c", {"t": acc(*[1] * 5)})
    result = compare([two[0], b], Options())
    assert result.differences[0].paired.n == 5
    assert "t: 5 documents are in both, 7 only in a, 0 only in c; only those in both are paired" in result.notes


def test_no_common_document(tmp_path, two):
    b = write_run(tmp_path / "c", {"t": [{"acc": 1.0, "doc_id": 99}]})
    with pytest.raises(UserError, match="t: a and c have no document in common"):
        compare([two[0], b], Options())


def test_no_common_task(tmp_path, two):
    with pytest.raises(UserError, match="a and c have no task in common"):
        compare([two[0], write_run(tmp_path / "c", {"u": acc(1, 0)})], Options())


def test_a_task_of_one_run_only_is_noted(tmp_path, two):
    b = write_run(tmp_path / "c", {"t": acc(*[1] * N), "u": acc(1, 0)})
    result = compare([two[0], b], Options())
    assert "u: only in c, so not compared with c" in result.notes
    assert [row.task for row in result.scores] == ["t", "u"]


def test_without_samples_there_are_scores_only(tmp_path, two, lmx):
    b = write_run(tmp_path / "c", {"t": acc(*[1] * N)}, log_samples=False)
    code, out, _ = lmx("compare", two[0], b)
    assert code == 0
    assert "0.1667 ± 0.1000" in out
    assert "Paired differences" not in out
    assert "t: c logged no samples; paired tests need --log_samples" in out


def test_missing_values_drop_their_pairs(tmp_path):
    a = write_run(tmp_path / "a", {"t": [{"error": float(i), "gone": float("nan")} for i in range(N)]})
    samples = [{"error": float(i) + 1.5, "gone": 1.0} for i in range(N)]
    samples[0]["error"], samples[1]["error"], samples[2]["error"] = None, float("nan"), float("inf")
    b = write_run(tmp_path / "b", {"t": [samples[-1], *samples[1:-1], samples[0]]})
    result = compare([a, b], Options(metrics=["all"], resamples=99))
    (found,) = result.differences
    assert (found.paired.n, found.missing.dropped) == (N - 3, 3)
    assert "t, b: 3 pairs without two numbers left out of error" in result.notes
    assert f"t, b: {N} pairs without two numbers left out of gone" in result.notes


def test_values_that_are_no_numbers_are_left_out(tmp_path):
    runs = [
        write_run(tmp_path / name, {"t": [{"acc": 1.0, "by_domain": {"domain": "x"}} for _ in range(3)]})
        for name in "ab"
    ]
    result = compare(runs, Options())
    assert [each.row.metric for each in result.differences] == ["acc"]
    assert result.notes == ["left out, not a number: t by_domain"]


def test_a_value_that_is_no_mean_is_noted(tmp_path):
    """Perplexity is the exponential of a mean; F1's samples are pairs."""
    runs = []
    for name, shift in (("a", 0.0), ("b", 0.5)):
        samples = [{"perplexity": -1.0 - shift * (i % 3), "acc": 1.0, "f1": 0.0} for i in range(N)]
        folder = write_run(tmp_path / name, {"t": samples})
        file = folder / f"samples_t_{STAMP}.jsonl"
        lines = [json.loads(line) | {"f1": [0, 1]} for line in file.read_text().splitlines()]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
        results = folder / f"results_{STAMP}.json"
        whole = json.loads(results.read_text())
        whole["results"]["t"]["perplexity,none"] = 2.7
        whole["results"]["t"]["f1,none"] = 0.3
        results.write_text(json.dumps(whole))
        runs.append(folder)
    notes = compare(runs, Options(resamples=99)).notes
    assert any("t, a: the task's value of perplexity is not the mean over its samples" in note for note in notes)
    assert "t: not tested, for its samples are not single numbers: f1" in notes
    assert not any("without two numbers" in note for note in notes)
    assert not any("acc" in note for note in notes)


def test_repeats_and_filters_are_rows_and_means(tmp_path):
    """Two filters are two rows; the value of a document with repeats is lm_eval's, their mean."""
    samples = [
        {"acc": 0.25 + i % 2 / 2, "filter": name, "doc_id": i, "prompt": i, "resps": [["a", "b"]]}
        for name in ("x", "y")
        for i in range(4)
    ]
    paths = [write_run(tmp_path / name, {"t": samples}) for name in "ab"]
    for path in paths:
        results = path / f"results_{STAMP}.json"
        whole = json.loads(results.read_text())
        whole["results"]["t"] = {"alias": "t", "acc,x": 0.5, "acc,y": 0.5}
        results.write_text(json.dumps(whole))
    result = compare(paths, Options())
    assert [(each.row.filter, each.paired.n, each.paired.run) for each in result.differences] == [
        ("x", 4, 0.5),
        ("y", 4, 0.5),
    ]
    assert result.differences[0].paired.test == "sign flips"


def test_two_prompts_of_one_document_in_one_run_are_refused(tmp_path, two):
    b = write_run(tmp_path / "c", {"t": [{"acc": 1.0, "doc_id": 0, "prompt": str(i)} for i in range(2)]})
    with pytest.raises(UserError, match="document 0 was logged with two different prompts"):
        compare([two[0], b], Options())


def test_clusters(tmp_path):
    runs = [
        write_run(tmp_path / name, {"t": [{"acc": float(i % k == 0), "doc": {"domain": i // 3}} for i in range(N)]})
        for name, k in (("a", 4), ("b", 2))
    ]
    result = compare(runs, Options(cluster="domain"))
    assert result.differences[0].paired.test == "sign flips, 4 clusters"
    assert any("only 4 clusters" in note for note in result.notes)
    with pytest.raises(UserError, match="unknown --cluster 'domian': did you mean 'domain'"):
        compare(runs, Options(cluster="domian"))


def test_main_metrics_declared_by_the_task_are_the_default(tmp_path):
    samples = [{"first": float(i % 2), "second": 1.0, "third": 0.0} for i in range(N)]
    configs = {"t": {"metadata": {"version": 1.0, "main_metrics": ["third"]}}}
    runs = [write_run(tmp_path / name, {"t": samples}, configs=configs) for name in "ab"]
    result = compare(runs, Options())
    assert [each.row.metric for each in result.differences if each.selected] == ["third"]
    assert len(result.differences) == 3
    assert {
        each.row.metric for each in compare(runs, Options(metrics=["first", "second"])).differences if each.selected
    } == {
        "first",
        "second",
    }


def test_metrics_without_a_direction_are_not_tested_by_default(tmp_path):
    samples = [{"acc": 1.0, "n_tokens": float(i)} for i in range(N)]
    directions = {"t": {"acc": True, "n_tokens": None}}
    runs = [write_run(tmp_path / name, {"t": samples}, higher_is_better=directions) for name in "ab"]
    assert [each.row.metric for each in compare(runs, Options()).differences if each.selected] == ["acc"]
    assert sum(each.selected for each in compare(runs, Options(metrics=["all"])).differences) == 2


def test_many_undeclared_metrics_are_pointed_out(tmp_path):
    runs = [write_run(tmp_path / name, {"t": [{f"m{i}": 1.0 for i in range(11)}] * 3}) for name in "ab"]
    assert any("no main metrics are declared" in note for note in compare(runs, Options(resamples=99)).notes)


def test_holm_is_over_the_selected_rows_only(tmp_path):
    right = [{"x": 0.0, "y": 0.0, "z": 0.0} for _ in range(N)]
    wrong = [{"x": 1.0, "y": float(i < 6), "z": float(i < 1)} for i in range(N)]
    runs = [write_run(tmp_path / "a", {"t": right}), write_run(tmp_path / "b", {"t": wrong})]
    every = {each.row.metric: each for each in compare(runs, Options()).differences}
    assert every["x"].p_holm == pytest.approx(3 * every["x"].paired.p)
    assert every["y"].p_holm == pytest.approx(2 * every["y"].paired.p)
    one = {each.row.metric: each for each in compare(runs, Options(metrics=["y"])).differences}
    assert one["y"].p_holm == one["y"].paired.p
    assert math.isnan(one["x"].p_holm)


def test_three_runs_share_one_correction(tmp_path, two):
    c = write_run(tmp_path / "c", {"t": acc(*[1] * N)})
    result = compare([*two, c], Options())
    assert [each.run for each in result.differences] == ["b", "c"]
    assert result.differences[1].p_holm == pytest.approx(2 * result.differences[1].paired.p)


def test_settings_that_spoil_a_comparison_are_noted(tmp_path, two):
    b = write_run(
        tmp_path / "c",
        {"t": acc(*[1] * N)},
        versions={"t": 2.0},
        n_shot={"t": 3},
        config={"limit": 12.0, "gen_kwargs": {"temperature": 1, "seed": 5}},
        configs={"t": {"generation_kwargs": {"max_gen_toks": 9}, "process_results": "def score(): ..." * 9}},
        lm_eval_version="0.4.13",
    )
    notes = compare([two[0], b], Options()).notes
    for expected in (
        "c: limit is null in the reference, 12.0 here",
        'c: gen_kwargs is null in the reference, {"temperature": 1, "seed": 5} here',
        'c: lm_eval_version is null in the reference, "0.4.13" here',
        "c: t: task version is 1.0 in the reference, 2.0 here",
        "c: t: n-shot is 0 in the reference, 3 here",
        'c: t: generation_kwargs is null in the reference, {"max_gen_toks": 9} here',
        "c: t: scoring code (process_results) differs",
    ):
        assert expected in notes
    assert compare(two, Options()).notes == []
