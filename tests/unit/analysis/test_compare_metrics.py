"""`lmx compare`: tests follow what metrics are, seeds are averaged, missing values withhold verdicts, max-T."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from lmx_analysis.compare.comparison import Options, compare
from lmx_files.errors import UserError
from lmx_metrics import counting, structure, termination
from tests.unit.analysis.compare_tools import acc, command, write_run

TASKS = Path(__file__).parents[3] / "lmx_tasks"


@pytest.fixture
def lmx(monkeypatch, capsys):
    return command(monkeypatch, capsys)


def declared(**kinds):
    return {"t": {"metadata": {"version": 1.0, "metric_kinds": kinds}}}


def rows_of(result):
    return {(each.run, each.row.metric): each for each in result.differences}


def test_a_score_that_holds_only_0_and_1_gets_no_mcnemar(tmp_path):
    """Whatever it happens to hold in one of the runs; the same test in all rows of the table."""
    runs = []
    for name, top in (("a", 0), ("b", 1), ("c", 5)):
        samples = [{"seed": float(top * (i % 3 > 0)), "solved": float(i % 4 < top)} for i in range(30)]
        runs.append(write_run(tmp_path / name, {"t": samples}, configs=declared(seed="score", solved="rate")))
    result = compare(runs, Options())
    assert {each.paired.test for each in result.differences if each.row.metric == "seed"} == {"sign flips"}
    assert {each.paired.test for each in result.differences if each.row.metric == "solved"} == {"McNemar exact"}


def test_undeclared_metrics_are_scores_and_the_user_may_say_what_they_are(tmp_path, lmx):
    runs = [
        write_run(tmp_path / n, {"t": [{"m": float(i % 5 < k)} for i in range(40)]}) for n, k in (("a", 1), ("b", 3))
    ]
    (score,) = compare(runs, Options()).differences
    (rate,) = compare(runs, Options(kinds={"m": "rate"})).differences
    assert (score.paired.test, rate.paired.test) == ("sign flips", "McNemar exact")
    assert score.paired.p == pytest.approx(rate.paired.p, abs=2e-4)
    code, out, _ = lmx("compare", *runs, "--kinds", "m=rate")
    assert (code, "McNemar exact" in out) == (0, True)
    code, _, err = lmx("compare", *runs, "--kinds", "m=rat")
    assert (code, "unknown kind of m in --kinds 'rat': did you mean 'rate'?" in err) == (2, True)
    code, _, err = lmx("compare", *runs, "--kinds", "m")
    assert (code, "--kinds 'm': write METRIC=KIND" in err) == (2, True)


def test_one_metric_gets_one_test_in_all_tasks_and_runs(tmp_path):
    """A rate with one text a document here and several there; declared here and not there."""
    one, several = acc(*[0, 1] * 10), acc(*[0, 1] * 10, resps=[["x", "y"]])
    runs = [write_run(tmp_path / n, {"t": one, "u": several}) for n in "ab"]
    assert {each.paired.test for each in compare(runs, Options()).differences} == {"sign flips"}
    configs = {"t": {"metadata": {"metric_kinds": {"acc": "rate"}}}, "u": {"metadata": {}}}
    runs = [write_run(tmp_path / n, {"t": one, "u": one}, configs=configs) for n in "cd"]
    assert {each.paired.test for each in compare(runs, Options()).differences} == {"sign flips"}


def test_a_rate_that_is_none_is_noted_and_tested_as_a_score(tmp_path):
    samples = [{"m": i / 20} for i in range(20)]
    runs = [write_run(tmp_path / n, {"t": samples}, configs=declared(m="rate")) for n in "ab"]
    result = compare(runs, Options())
    assert result.differences[0].paired.test == "sign flips"
    assert "m is declared a rate, but holds values other than 0 and 1; it is tested as a score" in result.notes


def test_values_beyond_the_declared_bounds_are_noted_and_not_cut(tmp_path):
    kinds = declared(m={"kind": "score", "low": 0, "high": 5})
    runs = [
        write_run(tmp_path / n, {"t": [{"m": k + i % 3} for i in range(20)]}, configs=kinds)
        for n, k in (("a", 0.0), ("b", 9.0))
    ]
    result = compare(runs, Options())
    assert result.differences[0].paired.interval.high == 9.0
    assert "m is declared to lie from 0 to 5, and does not; the bounds are not used" in result.notes


def test_a_kind_that_does_not_exist_is_refused_by_task(tmp_path):
    runs = [write_run(tmp_path / n, {"t": acc(0, 1)}, configs=declared(acc="ratio")) for n in "ab"]
    with pytest.raises(UserError, match=r"unknown kind of acc in metric_kinds of t 'ratio': did you mean 'rate'\?"):
        compare(runs, Options())


class Loader(yaml.SafeLoader):
    """Reads lm_eval's task files without importing their functions."""


Loader.add_constructor("!function", lambda loader, node: loader.construct_scalar(node))


def metrics_and_kinds(file):
    """Return the names of a task's numbers and its declaration, with those of the files that it includes."""
    whole = yaml.load(file.read_text(), Loader)
    included = file.parent / whole["include"] if "include" in whole else None
    metrics, kinds = metrics_and_kinds(included) if included else ([], {})
    own = [each["metric"] for each in whole.get("metric_list", ()) if each["aggregation"] == "mean"]
    own += [each["metric"] for each in whole.get("metric_list", ()) if "mean_parsed" in each["aggregation"]]
    return own or metrics, (whole.get("metadata") or {}).get("metric_kinds") or kinds


@pytest.mark.parametrize("file", sorted(f for f in TASKS.rglob("*.yaml") if "group:" not in f.read_text()), ids=str)
def test_shipped_tasks_declare_all_their_metrics(file):
    metrics, kinds = metrics_and_kinds(file)
    if file.name.startswith("_metrics"):
        return  # a list that tasks include; they declare
    assert metrics
    assert set(metrics) <= set(kinds)


def test_what_is_declared_is_what_scoring_gives():
    """Every rate is 0 or 1, and nothing leaves its bounds, on texts good, bad and odd."""
    from lmx_analysis.stats import metric_of

    texts = [
        "",
        "3",
        "about 9999 of them",
        "# Goal\nx\n- a\n- b\n",
        "no no no no " * 40,
        "four",
        "-1",
        "the total is 12",
    ]
    found = {
        "constraint_tiny/constraint_tiny.yaml": [structure.score(t) | termination.score(t) for t in texts],
        "category_counting/category_counting_tiny.yaml": [counting.score(t, 2, 9) for t in texts],
    }
    for name, scored in found.items():
        _, kinds = metrics_and_kinds(TASKS / name)
        for values in scored:
            for metric, value in values.items():
                known = metric_of(kinds[metric], metric)
                assert value is None or known.low <= value <= known.high
                assert known.kind != "rate" or value in (0.0, 1.0)


def hard_and_easy(tmp_path, high=None):
    """The second run gives no answer to the 16 hardest of 60, and errs less on the others."""
    kind = {"kind": "score", "low": 0, "high": high} if high else "count"
    errors = [float(i // 6) for i in range(60)]
    fewer = [max(0.0, error - 1) if i < 44 else None for i, error in enumerate(errors)]
    more = {"configs": declared(abs_error=kind), "higher_is_better": {"t": {"abs_error": False}}}
    return [
        write_run(tmp_path / name, {"t": [{"abs_error": value} for value in values]}, **more)
        for name, values in (("a", errors), ("b", fewer))
    ]


@pytest.mark.parametrize("high", [None, 30])
def test_a_run_that_answers_only_the_easy_ones_is_not_called_better(tmp_path, lmx, high):
    runs = hard_and_easy(tmp_path, high)
    result = compare(runs, Options())
    (found,) = result.differences
    assert found.p_holm < 0.001
    assert found.paired.difference < 0
    assert found.verdict == "withheld"
    assert found.missing.p == pytest.approx(2 * 0.5**16)
    (note,) = [note for note in result.notes if "no verdict" in note]
    assert "missing in the reference only: 0, in b only: 16" in note
    _, out, _ = lmx("compare", *runs)
    assert "44 of 60" in out
    assert "withheld" in out


def test_a_few_missing_values_that_cannot_change_it_leave_the_verdict(tmp_path):
    right, wrong = [{"acc": 1.0}] * 57 + [{"acc": None}] * 3, acc(*[0] * 60)
    runs = [write_run(tmp_path / "a", {"t": wrong}), write_run(tmp_path / "b", {"t": right})]
    (found,) = compare(runs, Options()).differences
    assert (found.verdict, found.missing.run, found.paired.n) == ("better", 3, 57)


def test_values_that_both_lack_leave_the_verdict(tmp_path):
    pairs = (("a", 0.0), ("b", 1.0))
    runs = [write_run(tmp_path / n, {"t": [{"acc": v}] * 20 + [{"acc": None}] * 5}) for n, v in pairs]
    (found,) = compare(runs, Options()).differences
    assert (found.verdict, found.missing.both, found.missing.p) == ("better", 5, 1.0)


@pytest.mark.parametrize("where", ["a", "b"])
def test_infinite_values_withhold_the_verdict(tmp_path, where):
    values = {"a": [float(i) + 9 for i in range(30)], "b": [float(i) for i in range(30)]}
    values[where][4] = math.inf
    runs = [write_run(tmp_path / n, {"t": [{"loss": v} for v in values[n]]}) for n in "ab"]
    result = compare(runs, Options())
    assert result.differences[0].verdict == "withheld"
    assert any("loss: no verdict, for values are infinite" in note for note in result.notes)


def seeded(tmp_path, name, seed, values, **more):
    config = {"model": "ar", "model_args": {"pretrained": name.split("-")[0], "seed": seed}}
    return write_run(tmp_path / name, {"t": acc(*values)}, config=config, **more)


def test_seeds_of_one_setting_are_averaged_for_each_document(tmp_path):
    rng = np.random.default_rng(1)
    drawn = {(m, s): rng.integers(0, 2, 40) for m in ("x", "y") for s in (1, 2, 3)}
    runs = [seeded(tmp_path, f"{m}-{s}", s, values) for (m, s), values in drawn.items()]
    result = compare(runs, Options())
    (found,) = result.differences
    means = {m: np.mean([drawn[m, s] for s in (1, 2, 3)], axis=0) for m in ("x", "y")}
    assert (result.reference, found.run) == ("x", "y")
    assert found.paired.n == 40
    assert found.paired.difference == pytest.approx((means["y"] - means["x"]).mean())
    assert found.paired.test == "sign flips"
    assert "x: 3 runs of one setting (x-1, x-2, x-3), averaged for each document" in result.notes
    score = result.scores[0].scores["x"]
    assert score.value == pytest.approx(means["x"].mean())
    assert score.stderr == pytest.approx(means["x"].std(ddof=1) / math.sqrt(40))


def test_seeds_are_kept_apart_on_request_and_where_there_is_one_setting(tmp_path, lmx):
    runs = [seeded(tmp_path, f"{m}-{s}", s, [0, 1] * 8) for m in ("x", "y") for s in (1, 2)]
    assert [each.run for each in compare(runs, Options(pool=False)).differences] == ["x-2", "y-1", "y-2"]
    assert [each.run for each in compare(runs, Options(), names=["p", "q", "r", "s"]).differences] == ["q", "r", "s"]
    assert [each.run for each in compare(runs[:2], Options()).differences] == ["x-2"]
    code, out, _ = lmx("compare", *runs, "--names", "old,old,new,new", "--json")
    assert code == 0
    whole = json.loads(out)
    assert [each["run"] for each in whole["differences"]] == ["new"]
    assert [len(run["seeds"]) for run in whole["runs"].values()] == [2, 2]


def test_runs_of_one_seed_or_other_settings_are_not_averaged(tmp_path):
    runs = [seeded(tmp_path, f"{m}-{n}", 1, [0, 1] * 8) for m in ("x", "y") for n in "ab"]
    assert len(compare(runs, Options()).differences) == 3
    other = seeded(tmp_path, "x-c", 2, [0, 1] * 8, versions={"t": 2.0})
    assert len(compare([runs[0], other, runs[2]], Options()).differences) == 2


def test_seeds_with_other_prompts_or_documents(tmp_path):
    same = [seeded(tmp_path, f"{m}-{s}", s, [0, 1] * 8) for m in ("x", "y") for s in (1, 2)]
    fewer = seeded(tmp_path, "x-3", 3, [0, 1] * 5)
    result = compare([*same, fewer], Options())
    assert result.differences[0].paired.n == 10
    lost = "t: not answered under every seed of x, and left out: 6 documents: 10, 11, 12, 13, 14, ..."
    assert lost in result.notes
    config = {"model": "ar", "model_args": {"pretrained": "x", "seed": 4}}
    other = write_run(tmp_path / "x-4", {"t": acc(*[0, 1] * 8, prompt="another")}, config=config)
    with pytest.raises(UserError, match="one seed of x and another were not given the same prompts"):
        compare([*same, other], Options())


def test_max_t_stands_beside_holm_and_leads_on_request(tmp_path, lmx):
    """Ten metrics that are nearly one: Holm takes ten times the p, max-T hardly more than p."""
    rng = np.random.default_rng(1)
    common = rng.normal(0.42, size=40)
    samples = {
        "a": [{f"m{k}": 0.0 for k in range(10)} for _ in range(40)],
        "b": [{f"m{k}": float(value + 0.01 * rng.normal()) for k in range(10)} for value in common],
    }
    runs = [write_run(tmp_path / name, {"t": rows}) for name, rows in samples.items()]
    by_holm = compare(runs, Options())
    first = by_holm.differences[0]
    assert first.paired.p <= first.p_max_t < 2 * first.paired.p < first.p_holm
    assert first.p_holm > 0.05 > first.p_max_t
    assert first.verdict == ""
    assert compare(runs, Options(correction="max-t")).differences[0].verdict == "better"
    _, out, _ = lmx("compare", *runs, "--correction", "max-t")
    assert "(max-T over 10 rows)" in out
    code, _, err = lmx("compare", *runs, "--correction", "maxt")
    assert (code, "unknown --correction 'maxt': did you mean 'max-t'?" in err) == (2, True)


def test_there_are_enough_resamples_for_the_rows(tmp_path):
    """With 99 flips no p is below 0.01, so Holm over 12 rows could never find anything."""
    rng = np.random.default_rng(2)
    b = [{f"m{k}": float(v) for k, v in enumerate(row)} for row in rng.normal(2, size=(30, 12))]
    a = [dict.fromkeys(row, 0.0) for row in b]
    result = compare([write_run(tmp_path / n, {"t": s}) for n, s in (("a", a), ("b", b))], Options(resamples=99))
    assert result.resamples == 600
    assert all(each.verdict == "better" for each in result.differences)


def test_all_documents_worse_is_seen_though_all_but_one_differ_alike(tmp_path):
    runs = [
        write_run(tmp_path / "a", {"t": [{"seed_score": 5.0}] * 24}),
        write_run(tmp_path / "b", {"t": [{"seed_score": 0.0}] * 23 + [{"seed_score": 2.0}]}),
    ]
    (found,) = compare(runs, Options()).differences
    assert found.verdict == "worse"
    assert found.paired.p < 0.001
    assert found.paired.interval.high < -4


def test_very_unequal_clusters_are_noted_by_what_they_amount_to(tmp_path):
    rng = np.random.default_rng(1)
    domains = [d for d in range(24) for _ in range(4)] + [24] * 96
    runs = [
        write_run(tmp_path / n, {"t": [{"m": float(rng.normal()), "doc": {"domain": d}} for d in domains]})
        for n in "ab"
    ]
    result = compare(runs, Options(cluster="domain"))
    assert result.differences[0].paired.effective == pytest.approx(192**2 / (24 * 16 + 96**2))
    assert any("25 clusters of unequal size, which tell as much as 3.8 equal ones" in note for note in result.notes)


def test_strongly_skewed_differences_are_noted(tmp_path):
    rng = np.random.default_rng(1)
    skewed, plain = rng.lognormal(0, 1.5, size=40), rng.normal(size=40)
    runs = [
        write_run(
            tmp_path / n, {"t": [{"s": k * float(s), "p": k * float(p)} for s, p in zip(skewed, plain, strict=True)]}
        )
        for n, k in (("a", 0), ("b", 1))
    ]
    (note,) = [note for note in compare(runs, Options()).notes if "skewed" in note]
    assert note.startswith("t, b: the differences of s are strongly skewed")


@pytest.mark.parametrize(
    ("differences", "said"),
    [
        ([1.0, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6, 1.7, 1.8, 1.9, 2.0, 3.5], "s are skewed"),  # corrected for
        ([1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.4, 0.7], "fewer than 20 documents do not show"),
        ([-1.0, 1.2, -0.9, 1.1, 1.3, -0.8, -1.4, 0.7], ""),  # p is large
        ([1.0, 1.2, 0.9, 1.1, 1.3, 0.8, 1.4, 0.7] * 3, ""),
    ],
)
def test_samples_that_may_hide_skewness_are_noted_where_p_is_small(tmp_path, differences, said):
    bounded = {"kind": "score", "low": -4, "high": 4}  # which does not keep a rare document from mattering
    for folder, kind in (("free", "score"), ("bounded", bounded)):
        runs = [
            write_run(tmp_path / folder / n, {"t": [{"s": k * d} for d in differences]}, configs=declared(s=kind))
            for n, k in (("a", 0), ("b", 1))
        ]
        found = [note for note in compare(runs, Options()).notes if "skewed" in note]
        assert len(found) == bool(said)
        assert all(said in note for note in found)


def test_an_interval_stays_within_what_the_metric_allows(tmp_path):
    kinds = declared(m={"kind": "score", "low": 0, "high": 1})
    better = [{"m": 1.0}] * 29 + [{"m": 0.5}]
    runs = [write_run(tmp_path / n, {"t": s}, configs=kinds) for n, s in (("a", [{"m": 0.0}] * 30), ("b", better))]
    (found,) = compare(runs, Options()).differences
    assert found.paired.interval.high <= 1.0
