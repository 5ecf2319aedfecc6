"""`lmx compare` pairs whole runs of answers only."""

from __future__ import annotations

import pytest

from lmx_analysis.compare.comparison import Options, compare
from lmx_files.errors import UserError
from tests.unit.analysis import test_compare
from tests.unit.analysis.test_compare import N, acc, write_run

two, lmx = test_compare.two, test_compare.lmx


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda lines: lines[:-1], "it holds 11 of 12 documents: it was cut off"),
        (lambda lines: [], "it holds no samples, 12 documents were evaluated"),
        (lambda lines: [*lines, lines[0]], "1 document: 0 logged more than once"),
        (lambda lines: [*lines[:-1], lines[-1].rstrip()], "line 12: not a line of a samples file: it does not end"),
    ],
)
def test_samples_that_are_not_whole_are_refused(tmp_path, lmx, change, problem):
    counts = {"t": {"original": N, "effective": N}}
    paths = [write_run(tmp_path / name, {"t": acc(*[1.0] * N)}, **{"n-samples": counts}) for name in "ab"]
    (file,) = paths[1].glob("samples_*")
    file.write_text("".join(change(file.read_text().splitlines(keepends=True))))
    code, _, err = lmx("compare", *paths)
    assert (code, err.count("\n")) == (2, 1)
    assert str(file) in err
    assert problem in err


def test_a_make_stage_is_not_compared(tmp_path, two):
    made = write_run(tmp_path / "made", {"t": acc(*[1.0] * N)}, config={"decoding": {"settings": {"stage": "make"}}})
    with pytest.raises(UserError, match="made is a run of stage=make, whose texts are no answers"):
        compare([two[0], made], Options())
