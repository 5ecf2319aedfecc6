"""What is empty, exact or out of the ordinary: no traceback, no wrong number."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from lmx_files.errors import UserError
from lmx_files.runs.folders import read_run
from lmx_probes.mediation import extras, study
from lmx_probes.mediation.measure import TYPES, Grid, Meter, captured, chunk_effects, chunk_pairs, controls
from lmx_probes.mediation.parts import table_of
from lmx_probes.mediation.subject import Subject
from lmx_probes.mediation.trials import encoder
from lmx_probes.patching.patch import Patcher
from lmx_probes.patching.plain import check
from tests.unit.mediation import planted
from tests.unit.mediation.counting_run import write_run
from tests.unit.patching import shapes


def measured(run, output, **asked):
    options = study.Options(**{"components": ("residual",), "pairs": 6, "controls": 0.0, "both": False, **asked})
    return study.run_study(run, output, Subject("tiny-oracle"), "cpu", "float32", options, lambda each: each)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return read_run(write_run(tmp_path_factory.mktemp("run"), 24))


def test_parts_without_any_cell_are_empty_tables_of_the_same_types(run, tmp_path, monkeypatch):
    """Some lists have no later item; the parts with none of them have no row, and the whole has those of the others."""
    monkeypatch.setattr("lmx_probes.mediation.measure.CHUNK", 1)
    measured(run, tmp_path, roles=("later_item",), layers=(1,), pairs=24)
    rows = [len(pd.read_parquet(path)) for path in sorted((tmp_path / "parts").glob("effects-*.parquet"))]
    assert 0 in rows
    effects = pd.read_parquet(tmp_path / "effects.parquet")
    assert len(effects) == sum(rows) > 0
    assert set(effects["role"]) == {"later_item"}


def test_an_empty_part_has_the_types_of_a_full_one():
    plan = planted.draw(0)
    patcher, trials, meter = Patcher(planted.model_of(plan)), planted.trials_of(plan, 2), Meter(planted.answers())
    full, none = (Grid(("residual",), (0,), (0,), roles) for roles in (("cue",), ("after_all",)))
    runs = captured(patcher, trials, ("residual",))
    tables = [table_of(chunk_effects(patcher, trials, runs, grid, meter), TYPES["effects"]) for grid in (full, none)]
    assert tables[1].num_rows == 0
    assert tables[0].schema == tables[1].schema
    assert pa.concat_tables(tables).num_rows == tables[0].num_rows > 0
    assert patcher.run([]).shape == (0, patcher.model.config.vocab_size)


def test_a_corrected_command_may_have_the_folder_of_one_that_failed(run, tmp_path, monkeypatch):
    def broken(*_):
        raise RuntimeError("broken")

    monkeypatch.setattr("lmx_probes.mediation.measure.chunk_effects", broken)
    with pytest.raises(RuntimeError, match="broken"):
        measured(run, tmp_path, roles=("later_item",))
    monkeypatch.undo()
    measured(run, tmp_path, roles=("cue",), layers=(1,))
    assert (tmp_path / "effects.parquet").is_file()


def test_the_self_patch_is_exactly_nothing_and_rounding_is_told_apart():
    plan = planted.draw(1)
    patcher, trials, meter = Patcher(planted.model_of(plan)), planted.trials_of(plan, 3), Meter(planted.answers())
    grid = Grid(("residual", "attention", "mlp", "head"), tuple(range(plan.layers)), (0, 1, 2), ("cue",))
    found = pd.DataFrame(controls(patcher, trials, captured(patcher, trials, grid.components), grid, meter))
    change = found.groupby("control")["change"].agg(lambda values: values.abs().max())
    assert change["self"] == 0.0
    assert change["self_run"] < 1e-3
    assert change["elsewhere"] > 0.01
    assert (found["control"] == "self").sum() == 3 * 4


def test_the_probability_of_a_number_is_kept():
    plan = planted.draw(0)
    patcher, trials, meter = Patcher(planted.model_of(plan)), planted.trials_of(plan, 3), Meter(planted.answers())
    runs = captured(patcher, trials, ())
    found = chunk_pairs(trials, runs, meter)
    for name, side in zip(("numbers_base", "numbers_source"), runs, strict=True):
        wanted = [float(torch.softmax(each.logits.double(), -1)[: planted.NUMBERS].sum()) for each in side]
        assert found[name] == pytest.approx(wanted)


@pytest.mark.parametrize(("dtype", "refused"), [(torch.float64, True), (torch.float32, True), (torch.bfloat16, False)])
def test_only_16_bit_weights_may_differ_by_more(dtype, refused, monkeypatch):
    """Patched runs that are off by a twentieth of the logits' spread."""
    patcher = Patcher(shapes.model("llama").to(dtype))
    run = patcher.run

    def off(patches):
        found = run(patches)
        return found + 0.05 * found.std()

    monkeypatch.setattr(patcher, "run", off)
    try:
        if refused:
            with pytest.raises(UserError, match=r"allowed: 0\.001"):
                check(patcher, "llama")
        else:
            assert 0.03 < check(patcher, "llama") < 0.15
    finally:
        shapes.model.cache_clear()


def test_patched_runs_of_float64_equal_plain_ones_much_closer():
    try:
        assert check(Patcher(shapes.model("qwen3").double()), "qwen3") < 1e-6
    finally:
        shapes.model.cache_clear()


class Slow:
    bos_token = None

    def __call__(self, *_args, **_given):
        raise NotImplementedError("return_offset_mapping is not available when using Python tokenizers.")


def test_a_slow_tokenizer_is_refused_in_one_line():
    with pytest.raises(UserError, match=r"tokenizer \(Slow\) does not say which characters.*tokenizer\.json") as caught:
        encoder(Slow())("a text")
    assert "\n" not in str(caught.value)


def test_steps_go_on_though_the_last_digits_of_their_direction_differ(run, tmp_path):
    """The direction is that of a singular value decomposition, which another number of threads rounds otherwise."""
    made = measured(run, tmp_path, layers=(1,), roles=("cue",))
    extras.measure_running(made, tmp_path, [1], 10, 1, lambda each: each)
    step = np.random.default_rng(0).standard_normal(made.patcher.sites.width)
    extras.measure_steering(made, tmp_path, {1: step}, 10, 1, lambda each: each)
    before = (tmp_path / "steering.parquet").read_bytes()
    extras.measure_steering(made, tmp_path, {1: step * (1 + 1e-6)}, 10, 1, lambda each: each)
    assert (tmp_path / "steering.parquet").read_bytes() == before
