"""The report's data: what is read from runs, how it is joined, and how it travels in the page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import re
import struct
import sys
from pathlib import Path

import pytest

from lmx_analysis.report import summary, write_report
from lmx_analysis.report.pack import to_json
from lmx_analysis.report.samples import MOST_VALUES, read_samples
from lmx_analysis.report.traces import mark
from lmx_cli.main import main
from lmx_files.errors import UserError
from lmx_files.runs.folders import find_runs
from tests.unit.report.report_runs import STAMP, sample, trace, write_run

BLOCK = re.compile(r'<script type="application/octet-stream;base64" id="([^"]+)">([A-Za-z0-9+/=]*)</script>')


def build(tmp_path, *runs, **options):
    """Write the report and return its page and its data by the names of the blocks."""
    page = write_report(list(runs), tmp_path / "report.html", **options).read_text(encoding="utf-8")
    return page, {name: gzip.decompress(base64.b64decode(data)) for name, data in BLOCK.findall(page)}


def parsed(data, name):
    return json.loads(data[name])


def doubles(raw):
    return list(struct.unpack(f"<{len(raw) // 8}d", raw))


def rows(data):
    """Return all rows of the sample blocks, in order."""
    blocks = sorted((name for name in data if name.startswith("block-")), key=lambda name: int(name[6:]))
    return [row for name in blocks for row in parsed(data, name)]


@pytest.fixture
def two(tmp_path):
    """Two runs of one task; the second logged its documents in another order and lacks the last one."""
    write_run(tmp_path / "a", {"toy": [sample(i, f"a{i}", acc=float(i % 2), loss=0.5) for i in range(6)]})
    write_run(
        tmp_path / "b", {"toy": [sample(i, f"b{i}", acc=1.0, loss=0.25) for i in (4, 2, 0, 1, 3)]}, model="guided"
    )
    return tmp_path / "a", tmp_path / "b"


def test_samples_of_the_same_prompt_share_a_row(tmp_path, two):
    _, data = build(tmp_path, *two)
    texts = [[cell and cell["x"][0] for cell in row["r"]] for row in rows(data)]
    assert texts == [[f"a{i}", f"b{i}"] for i in range(5)] + [["a5", None]]
    index = parsed(data, "index")
    assert index["doc_ids"] == [0, 1, 2, 3, 4, 5]
    assert index["snippets"][3] == "question 3"
    accuracy = index["tasks"][0]["metrics"].index("acc")
    assert index["tasks"][0]["binary"] == [True, False]
    assert doubles(data[f"column-0-{accuracy}-0"]) == [0, 1, 0, 1, 0, 1]
    second = doubles(data[f"column-0-{accuracy}-1"])
    assert second[:5] == [1] * 5
    assert second[5] != second[5]


def test_another_prompt_is_another_row_and_the_reader_is_told(tmp_path):
    one = write_run(tmp_path / "a", {"toy": [sample(0, "x", prompt="one")]})
    other = write_run(tmp_path / "b", {"toy": [sample(0, "y", prompt="other")]})
    _, data = build(tmp_path, one, other)
    assert [[bool(cell) for cell in row["r"]] for row in rows(data)] == [[True, False], [False, True]]
    assert "1 documents were asked with different prompts" in parsed(data, "meta")["notes"][0]


def test_two_filters_of_one_sample_share_its_text(tmp_path):
    lines = [sample(0, "answer: 4", acc=0.0, filter_="strict"), sample(0, "answer: 4", acc=1.0, filter_="flexible")]
    lines[1]["filtered_resps"] = ["4"]
    _, data = build(tmp_path, write_run(tmp_path / "a", {"toy": lines}))
    (row,) = rows(data)
    assert row["r"][0]["f"] == {"strict": None, "flexible": ["4"]}
    assert parsed(data, "index")["tasks"][0]["metrics"] == ["acc,strict", "acc,flexible"]
    assert row["r"][0]["m"] == [0.0, 1.0]


def test_a_sample_logged_twice_is_shown_once_and_counted(tmp_path):
    run = write_run(tmp_path / "a", {"toy": [sample(0, "first", acc=1.0), sample(0, "second", acc=0.0)]})
    _, data = build(tmp_path, run)
    assert [row["r"][0]["x"] for row in rows(data)] == [["first"]]
    assert doubles(data["column-0-0-0"]) == [1.0]
    assert "1 document: 0 logged more than once" in parsed(data, "meta")["notes"][0]


def test_likelihood_samples_show_their_continuations(tmp_path):
    arguments = {f"gen_args_{i}": {"arg_0": "The sky is", "arg_1": word} for i, word in enumerate((" blue", " green"))}
    responses = [[["-1.5", "True"]], [["-4.0", "False"]]]
    line = sample(0, "", arguments=arguments, resps=responses, target=1, acc=1.0)
    _, data = build(tmp_path, write_run(tmp_path / "a", {"toy": [line]}))
    (row,) = rows(data)
    assert row["p"] == "The sky is"
    assert row["g"] == "1"
    assert row["r"][0]["o"] == [[" blue", '["-1.5", "True"]'], [" green", '["-4.0", "False"]']]


def test_traces_give_pieces_in_utf16_units_and_costs(tmp_path):
    line = sample(0, "a😀bc")
    traced = trace(line, [("base", "a😀"), ("oracle", "bc")])
    _, data = build(tmp_path, write_run(tmp_path / "a", {"toy": [line]}, traces=[traced]))
    assert rows(data)[0]["r"][0]["t"] == [
        {"finish": "eos", "kept": 4, "forwards": 5, "fed": 6, "seconds": 0.5, "pieces": [["base", 3], ["oracle", 2]]}
    ]
    assert parsed(data, "meta")["runs"][0]["cost"]["tasks"] == {"toy": {"kept": 4, "forwards": 5, "fed": 6}}


def test_a_trace_of_another_text_is_left_out(tmp_path):
    lines = [sample(0, "mine"), sample(1, "also mine")]
    other = trace(lines[0], [("base", "earlier")]) | {"text": "earlier"}
    run = write_run(tmp_path / "a", {"toy": lines}, traces=[other, trace(lines[1], [("base", "also mine")])])
    _, data = build(tmp_path, run)
    assert "t" not in rows(data)[0]["r"][0]
    meta = parsed(data, "meta")
    assert "toy: 1 of 2 texts have no trace: 1 only with one of another text" in meta["notes"][0]
    assert meta["runs"][0]["cost"]["tasks"] == {}, "a mean over half of the texts is no mean of the task"


@pytest.mark.parametrize(
    ("steps", "segments", "expected"),
    [
        ([3, 1], None, [3, 1]),  # pieces of one token each
        ([0, 4, 2, 9], [(0, 3), (3, 4)], [4, 9]),  # segments: the step in which each was complete
        ([0, 4, 2], None, None),  # nothing says which token is where
        (["a", "b"], None, None),
        ("order", None, None),
    ],
)
def test_fill_order(steps, segments, expected):
    line = {"text": "abcd", "pieces": [["m", "ab"], ["m", "cd"]], "trace": {"extra": {"steps": steps}}}
    line["trace"]["segments"] = [{"source": "m", "start": start, "end": end} for start, end in segments or []]
    assert mark(line).get("steps") == expected


def test_a_text_in_one_piece_shows_no_order():
    trace = {"extra": {"steps": [2, 1]}, "segments": [{"source": "m", "start": 0, "end": 2}]}
    assert "steps" not in mark({"text": "ab", "pieces": [["m", "ab"]], "trace": trace})


def test_pieces_that_are_not_the_text_are_left_out():
    assert "pieces" not in mark({"text": "abcd", "pieces": [["m", "ab"]], "trace": {}})


def test_categories_are_means_with_standard_errors(tmp_path, two):
    _, data = build(tmp_path, *two)
    (field,) = parsed(data, "categories-0")
    assert field["field"] == "domain"
    assert field["values"] == ["even", "odd"]
    first, second = field["means"]["acc"]
    assert first == [[0.0, None, 3], [1.0, None, 3]]  # three equal values do not show that nothing varies
    assert second[1] == [1.0, None, 2]


def test_the_standard_error_of_a_category_is_the_samples_own(tmp_path):
    values = {0: 1.0, 2: 0.0, 4: 1.0, 6: 1.0, 1: 5.0, 3: 1.0, 5: 0.0, 7: 0.0}
    run = write_run(tmp_path / "a", {"toy": [sample(i, "x", acc=value) for i, value in values.items()]})
    _, data = build(tmp_path, run)
    even = parsed(data, "categories-0")[0]["means"]["acc"][0][0]
    assert even == [0.75, 0.25, 4]  # sd = 0.5 with n - 1, over sqrt(4)


def test_a_field_with_many_values_is_no_category(tmp_path):
    lines = [sample(i, "x", doc={"id": str(i), "part": i % 3, "long": "y" * 80, "list": []}) for i in range(60)]
    tasks, *_ = read_samples(find_runs(write_run(tmp_path / "a", {"toy": lines})), lambda: None)
    assert len(lines) > MOST_VALUES
    assert set(tasks[0].categories()) == {"part"}


def test_leaderboard(tmp_path, two):
    _, data = build(tmp_path, *two)
    (entry,) = parsed(data, "meta")["leaderboard"]
    assert entry["task"] == "toy"
    assert entry["rows"] == [
        {"metric": "acc", "better": 1, "values": [[0.5, 0.1, 6], [1.0, 0.1, 5]]},
        {"metric": "loss", "better": -1, "values": [[0.5, 0.1, 6], [0.25, 0.1, 5]]},
    ]


def test_nothing_that_was_written_reaches_the_page_as_it_is(tmp_path):
    hostile = "</script><script>alert(1)</script><!--"
    line = sample(0, hostile, prompt=hostile, doc={"question": hostile, hostile: hostile}, target=hostile)
    run = write_run(tmp_path / "a", {"toy": [line]}, model=hostile, note=hostile, manifest={"command": hostile})
    page, data = build(tmp_path, run, title=hostile)
    assert "alert(1)</script>" not in page
    assert rows(data)[0]["r"][0]["x"] == [hostile]
    assert page.count("<script") == len(data) + 1


def test_the_policy_admits_the_script_and_the_style_of_the_page_alone(tmp_path, two):
    page, _ = build(tmp_path, *two)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)[1]
    assert policy.startswith("default-src 'none';")
    for tag in ("script", "style"):
        (code,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}';" in policy


def test_text_that_no_encoding_can_write_survives(tmp_path):
    text = "\ud800 lone, \x00 nul, \u202e right to left, \x1b[31m red"
    run = write_run(tmp_path / "a", {"toy": [sample(0, text, prompt="\udfff", doc={"question": "\ud800"})]})
    _, data = build(tmp_path, run, title="\udcff")
    assert rows(data)[0]["r"][0]["x"] == [text]
    assert parsed(data, "index")["snippets"] == ["\ud800"]


def test_numbers_that_json_lacks_become_null(tmp_path):
    assert to_json({"a": [float("nan"), 1.0], "b": float("inf")}) == '{"a":[null,1.0],"b":null}'
    run = write_run(tmp_path / "a", {"toy": [sample(0, "x", acc=float("nan"), doc={"v": float("inf")})]})
    _, data = build(tmp_path, run)
    assert rows(data)[0]["r"][0]["m"] == [None]


def test_a_run_without_samples_still_has_results(tmp_path):
    run = write_run(tmp_path / "a", {"toy": [sample(0, "x", acc=1.0)]})
    (run / f"samples_toy_{STAMP}.jsonl").unlink()
    _, data = build(tmp_path, run)
    assert parsed(data, "meta")["leaderboard"][0]["rows"][0]["values"] == [[1.0, 0.1, 1]]
    assert rows(data) == []


def test_a_run_given_twice_is_shown_once(tmp_path, two):
    _, data = build(tmp_path, two[0], two[0] / f"results_{STAMP}.json", tmp_path / "a" / ".." / "a")
    assert len(parsed(data, "meta")["runs"]) == 1


def test_many_rows_are_cut_into_blocks_of_equal_length(tmp_path, monkeypatch):
    monkeypatch.setattr("lmx_analysis.report.build.BLOCK", 400)
    seen = []
    run = write_run(tmp_path / "a", {"toy": [sample(i, f"text {i}") for i in range(230)]})
    _, data = build(tmp_path, run, progress=lambda *step: seen.append(step))
    per_block = parsed(data, "index")["per_block"]
    assert 1 <= per_block < 10
    assert [len(parsed(data, f"block-{i}")) for i in range(3)] == [per_block] * 3
    assert [row["r"][0]["x"][0] for row in rows(data)] == [f"text {i}" for i in range(230)]
    assert ("reading samples", 200, 230) in seen


def test_the_same_runs_give_the_same_data(tmp_path, two):
    first, second = build(tmp_path, *two)[1], build(tmp_path, *two)[1]
    for data in (first, second):
        data["meta"] = {**json.loads(data["meta"]), "written": ""}
    assert first == second


@pytest.mark.parametrize(
    ("prepare", "pattern"),
    [
        (lambda folder: [folder / "none"], "there is no folder or results file .*none"),
        (lambda folder: [folder], r"holds no results_\*.json and no report_section.json: give the --output_path"),
    ],
)
def test_no_runs(tmp_path, prepare, pattern):
    with pytest.raises(UserError, match=pattern):
        write_report(prepare(tmp_path), tmp_path / "report.html")
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_samples_file_is_named_and_the_old_report_stays(tmp_path, two):
    output = write_report(list(two), tmp_path / "report.html")
    before = output.read_bytes()
    damaged = two[1] / f"samples_toy_{STAMP}.jsonl"
    damaged.write_text('{"doc_id": 0}\n')
    with pytest.raises(UserError, match=r"samples_toy_.*document 0: not a sample as lm_eval logs it \(KeyError"):
        write_report(list(two), output)
    damaged.write_text('{"doc_id": 0, "resps"')
    with pytest.raises(UserError, match=r"samples_toy_.*line 1: not a line of a samples file"):
        write_report(list(two), output)
    assert output.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "report.html"]


def test_an_output_that_cannot_be_written(tmp_path, two):
    with pytest.raises(UserError, match=r"is a folder: give -o a file, e\.g\. .*report\.html"):
        write_report(list(two), tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot write .*file/report\.html"):
        write_report(list(two), tmp_path / "file" / "report.html")


def test_a_new_report_has_the_mode_of_any_new_file(tmp_path, two):
    before = os.umask(0o027)
    try:
        mode = write_report(list(two), tmp_path / "report.html").stat().st_mode
    finally:
        os.umask(before)
    assert mode & 0o777 == 0o640


def test_the_command(tmp_path, two, monkeypatch, capsys):
    output = tmp_path / "new" / "page.html"
    monkeypatch.setattr(sys, "argv", ["lmx", "report", *map(str, two), "-o", str(output), "--title", "A & B"])
    with pytest.raises(SystemExit) as done:
        main()
    assert not done.value.code
    assert capsys.readouterr().out == f"{output} ({output.stat().st_size / 1e6:.1f} MB)\n"
    assert "<h1>A &amp; B</h1>" in output.read_text(encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["lmx", "report", str(tmp_path / "none")])
    with pytest.raises(SystemExit) as failed:
        main()
    assert failed.value.code == 2
    assert capsys.readouterr().err.startswith("lmx: error: there is no folder or results file")


def test_the_page_sets_no_markup_and_calls_no_network():
    folder = Path(summary.__file__).parent / "page"
    code = "".join(path.read_text(encoding="utf-8") for path in folder.glob("*.js"))
    banned = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function|fetch\(|XMLHttp|https?://(?!www\.w3\.org/2000/svg)"
    assert re.findall(banned, code) == []
