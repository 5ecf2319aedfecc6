"""Sections that analyses add to the report: what is written, what is shown, what is refused."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy
import pytest

from lmx_analysis.report import write_report
from lmx_analysis.sections import FILE, LARGEST_PICTURE, PNG, Picture, Section, Table, cells, find_sections
from lmx_files.errors import UserError
from tests.unit.report.report_runs import sample, write_run


def section(**more: Any) -> Section:
    table = Table(title="By model", columns=["model", "mean"], rows=[["a", 1.5], ["b", None]], note="in nats")
    return Section(
        analysis="entropy", title="Entropy of a and b", text=["a is surer.", "By prompt."], tables=[table], **more
    )


def chunks(page: Path) -> dict[str, bytes]:
    found = re.findall(r'<script type="application[^>]*id="([^"]+)">([^<]*)</script>', page.read_text(encoding="utf-8"))
    return {name: gzip.decompress(base64.b64decode(data)) for name, data in found}


def studies(page: Path) -> list[dict[str, Any]]:
    return json.loads(chunks(page)["meta"])["studies"]


def test_a_section_is_shown_with_its_tables_pictures_and_pages(tmp_path):
    folder = tmp_path / "entropy"
    folder.mkdir()
    picture = PNG + bytes(range(256))
    (folder / "by position.png").write_bytes(picture)
    (folder / "page.html").write_text("x")
    section(pictures=[Picture(file="by position.png", caption="by position")], pages=["page.html"]).write(folder)
    run = write_run(tmp_path / "run", {"toy": [sample(0, "x", acc=1.0)]})
    page = write_report([run, folder], tmp_path / "out.html")
    (shown,) = studies(page)
    assert shown["tables"][0]["rows"] == [["a", 1.5], ["b", None]]
    assert shown["pages"] == [{"name": "page.html", "href": "./entropy/page.html"}]
    assert chunks(page)[shown["pictures"][0]["chunk"]] == picture


def test_a_report_of_analyses_alone_and_each_section_once(tmp_path):
    section().write(tmp_path / "a")
    section().write(tmp_path / "a" / "b")
    page = write_report([tmp_path, tmp_path / "a"], tmp_path / "out.html")
    assert len(studies(page)) == 2
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"holds no results_.* and no report_section\.json"):
        write_report([tmp_path / "a", tmp_path / "empty"], tmp_path / "out.html")


def test_long_and_broken_texts_are_cut_and_not_lost(tmp_path):
    made = Section(analysis="x", title="t" * 500, text=["\ud800" + "y" * 9000])
    made.write(tmp_path)
    (shown,) = studies(write_report([tmp_path], tmp_path / "out.html"))
    assert len(shown["title"]) == 200
    assert len(shown["text"][0]) == 4000


def test_numbers_of_numpy_become_plain():
    rows = cells([["a", numpy.float64(0.5), numpy.int64(3), float("nan")]])
    assert rows == [["a", 0.5, 3, None]]
    Table(title="t", columns=["a", "b", "c", "d"], rows=rows)


@pytest.mark.parametrize(
    ("made", "pattern"),
    [
        (lambda: Picture(file="../x.png", caption=""), "is not the name of a PNG file"),
        (lambda: Picture(file="x.svg", caption=""), "is not the name of a PNG file"),
        (lambda: section(pages=["javascript:x"]), "is not the name of an HTML file"),
        (lambda: Table(title="t", columns=["a"], rows=[["x", 1]]), "has 2 cells, not 1"),
    ],
)
def test_what_no_section_holds(made, pattern):
    with pytest.raises(ValueError, match=pattern):
        made()


@pytest.mark.parametrize(
    "text",
    ["{", "[]", "null", '{"analysis": "x"}', '{"analysis": "x", "title": "y", "more": 1}', "\xff", "x" * 70_000_000],
)
def test_a_damaged_or_foreign_section_is_refused_in_one_line_and_the_old_report_stays(tmp_path, text):
    section().write(tmp_path / "a")
    page = write_report([tmp_path], tmp_path / "out.html")
    before = page.read_bytes()
    (tmp_path / "a" / FILE).write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=FILE) as refused:
        write_report([tmp_path], page)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    assert page.read_bytes() == before


def test_pictures_that_are_none_are_told_and_nothing_outside_the_folder_is_read(tmp_path):
    folder = tmp_path / "a"
    folder.mkdir()
    (tmp_path / "secret.png").write_bytes(PNG + b"secret")
    (folder / "link.png").symlink_to(tmp_path / "secret.png")
    (folder / "script.png").write_bytes(b"<svg onload=alert(1)>")
    (folder / "large.png").write_bytes(PNG + bytes(LARGEST_PICTURE))
    names = ["link.png", "script.png", "large.png", "missing.png"]
    section(pictures=[Picture(file=name, caption="") for name in names]).write(folder)
    page = write_report([folder], tmp_path / "out.html")
    told = [picture["missing"] for picture in studies(page)[0]["pictures"]]
    for sentence, expected in zip(told, ["leads out", "is not a PNG", "too large", "cannot read"], strict=True):
        assert expected in sentence
    assert not any(name.startswith("picture") for name in chunks(page))


def test_a_section_that_is_a_link_out_of_its_folder_is_refused(tmp_path):
    section().write(tmp_path / "elsewhere")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / FILE).symlink_to(tmp_path / "elsewhere" / FILE)
    with pytest.raises(UserError, match="leads out"):
        find_sections(tmp_path / "a")
