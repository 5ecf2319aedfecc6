"""A difference of weights gives the very model back, in little memory, and only on the base that it was taken from."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_predictors import weight_diff
from lmx_predictors.weight_diff.make import DONE

KINDS = (torch.float32, torch.float16, torch.bfloat16, torch.int64)


def write_model(folder: Path, seed: int, rows: int = 40, width: int = 64, shards: int = 3, extra: bool = False) -> Path:
    """Write a model of several files, types and odd values; two seeds give unlike weights in the same form."""
    folder.mkdir()
    draw = torch.Generator().manual_seed(seed)
    names: dict[str, str] = {}
    for shard in range(shards):
        file = f"model-{shard + 1:05}-of-{shards:05}.safetensors"
        tensors = {}
        for number, kind in enumerate(KINDS):
            values = torch.randn(rows if number == 0 else 40, width, generator=draw) * 10.0 ** (number - 2)
            values[0, :3] = torch.tensor([float("nan"), float("inf"), -0.0])
            tensors[f"layer.{shard}.{number}"] = (
                (torch.nan_to_num(values) * 9).to(kind) if kind is torch.int64 else values.to(kind)
            )
        if extra:
            tensors[f"layer.{shard}.new"] = torch.randn(5, generator=draw)
        save_file(tensors, folder / file, metadata={"format": "pt"})
        names |= dict.fromkeys(tensors, file)
    index = {"metadata": {}, "weight_map": names}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "config.json").write_text(json.dumps({"seed": seed}))
    return folder


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, Path, Path]:
    """Return a model, its base, and their difference."""
    model, base = write_model(tmp_path / "model", 1), write_model(tmp_path / "base", 2)
    weight_diff.make(model, base, tmp_path / "diff")
    return model, base, tmp_path / "diff"


def same_files(one: Path, other: Path) -> bool:
    names = sorted(file.name for file in one.iterdir())
    return names == sorted(file.name for file in other.iterdir()) and all(
        sha256(one / name) == sha256(other / name) for name in names
    )


def test_recovered_files_are_the_model_s_own_to_the_last_bit(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, base, diff = made
    assert not any(sha256(diff / file.name) == sha256(file) for file in model.glob("*.safetensors"))
    weight_diff.recover(diff, base, tmp_path / "again")
    assert same_files(model, tmp_path / "again")


def test_tokens_added_to_the_model_and_tensors_the_base_lacks(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model", 1, rows=47, extra=True)
    base = write_model(tmp_path / "base", 2, shards=3)
    found = weight_diff.make(model, base, tmp_path / "diff")
    assert found.whole == ["layer.0.new", "layer.1.new", "layer.2.new"]
    weight_diff.recover(tmp_path / "diff", base, tmp_path / "again")
    assert same_files(model, tmp_path / "again")


@pytest.mark.parametrize("change", ["value", "shape", "lacking"])
def test_a_wrong_base_is_refused_and_nothing_is_written(
    made: tuple[Path, Path, Path], tmp_path: Path, change: str
) -> None:
    _, base, diff = made
    file = sorted(base.glob("*.safetensors"))[-1]
    tensors = load_file(file)
    name = sorted(tensors)[0]
    if change == "value":
        tensors[name][3, 3] += 1e-3
    elif change == "shape":
        tensors[name] = tensors[name][:, :-1].contiguous()
    else:
        del tensors[name]
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="is not the base of this difference"):
        weight_diff.recover(diff, base, tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_a_changed_difference_is_refused(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, base, diff = made
    file = sorted(diff.glob("*.safetensors"))[1]
    raw = bytearray(file.read_bytes())
    raw[-5] ^= 1
    file.write_bytes(raw)
    with pytest.raises(UserError, match="was changed since the difference was made"):
        weight_diff.recover(diff, base, tmp_path / "again")
    assert not (tmp_path / "again" / file.name).exists()


def test_an_interrupted_make_goes_on_and_gives_the_same(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, base, diff = made
    broken = tmp_path / "broken"
    seen: list[str] = []

    def stop(name: str, number: int, _total: int) -> None:
        seen.append(name)
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weight_diff.make(model, base, broken, stop)
    assert (broken / DONE).is_file()
    assert not (broken / weight_diff.MANIFEST).exists()
    with pytest.raises(UserError, match="no whole difference"):
        weight_diff.recover(broken, base, tmp_path / "again")
    before = (broken / "model-00001-of-00003.safetensors").stat().st_mtime_ns
    weight_diff.make(model, base, broken)
    assert (broken / "model-00001-of-00003.safetensors").stat().st_mtime_ns == before
    assert same_files(broken, diff)


def test_a_line_that_a_kill_tore_is_cut_and_each_attempt_goes_on(tmp_path: Path) -> None:
    model, base = write_model(tmp_path / "model", 1, shards=4), write_model(tmp_path / "base", 2, shards=4)
    output = tmp_path / "diff"

    def stopped_at(last: int) -> None:
        def stop(_name: str, number: int, _total: int) -> None:
            if number == last:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            weight_diff.make(model, base, output, stop)

    stopped_at(2)
    with (output / DONE).open("a") as log:
        log.write('{"shard": "model-00003-of-')
    stopped_at(3)
    written = [(output / f"model-{number:05}-of-00004.safetensors").stat().st_mtime_ns for number in (1, 2, 3)]
    assert len((output / DONE).read_text().splitlines()) == 3
    weight_diff.make(model, base, output)
    assert written == [(output / f"model-{number:05}-of-00004.safetensors").stat().st_mtime_ns for number in (1, 2, 3)]
    weight_diff.recover(output, base, tmp_path / "again")
    assert same_files(tmp_path / "again", model)


def test_another_base_than_before_the_interruption_is_noticed(tmp_path: Path) -> None:
    model, base = write_model(tmp_path / "model", 1), write_model(tmp_path / "base", 2)
    other = write_model(tmp_path / "other", 3)

    def stop(_name: str, number: int, _total: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        weight_diff.make(model, other, tmp_path / "diff", stop)
    weight_diff.make(model, base, tmp_path / "diff")
    weight_diff.recover(tmp_path / "diff", base, tmp_path / "again")
    assert same_files(model, tmp_path / "again")


@pytest.mark.parametrize("damage", ["cut", "header", "shard", "pickle"])
def test_damaged_models_are_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    model, base = write_model(tmp_path / "model", 1), write_model(tmp_path / "base", 2)
    file = sorted(model.glob("*.safetensors"))[0]
    if damage == "cut":
        file.write_bytes(file.read_bytes()[:-10])
    elif damage == "header":
        file.write_bytes(b"\xff" * 40)
    elif damage == "shard":
        file.unlink()
    else:
        for each in (*model.glob("*.safetensors"), model / "model.safetensors.index.json"):
            each.unlink()
        (model / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError) as error:
        weight_diff.make(model, base, tmp_path / "diff")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "diff" / weight_diff.MANIFEST).exists()


def test_a_manifest_cannot_write_outside_its_folder(made: tuple[Path, Path, Path], tmp_path: Path) -> None:
    _, base, diff = made
    path = diff / weight_diff.MANIFEST
    value = json.loads(path.read_text())
    value["files"]["../evil"] = "0" * 64
    path.write_text(json.dumps(value))
    with pytest.raises(UserError, match="no file in its folder"):
        weight_diff.recover(diff, base, tmp_path / "again")


@pytest.mark.parametrize("kind", [torch.float32, torch.float16, torch.bfloat16])
def test_published_differences_are_added_as_torch_adds_them(tmp_path: Path, kind: torch.dtype) -> None:
    draw = torch.Generator().manual_seed(0)
    base = {"w": torch.randn(50, 64, generator=draw).to(kind)}
    diff = {"w": (torch.randn(52, 64, generator=draw) / 50).to(kind), "new": torch.ones(3).to(kind)}
    for name, tensors in (("base", base), ("diff", diff)):
        (tmp_path / name).mkdir()
        save_file(tensors, tmp_path / name / "model.safetensors")
    wanted = diff["w"].clone()
    wanted[:50] += base["w"]
    total = float(wanted.double().sum() + 3)
    weight_diff.recover_published(tmp_path / "diff", tmp_path / "base", tmp_path / "out", total)
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert torch.equal(found["w"], wanted)
    assert torch.equal(found["new"], diff["new"])
    with pytest.raises(UserError, match="another base"):
        weight_diff.recover_published(tmp_path / "diff", tmp_path / "base", tmp_path / "two", total + 50)
    assert not (tmp_path / "two" / "model.safetensors").exists()


MEASURE = """
import resource, sys
from pathlib import Path
from lmx_predictors import weight_diff
folder = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
weight_diff.make(folder / "model", folder / "base", folder / "diff")
weight_diff.recover(folder / "diff", folder / "base", folder / "again")
print(before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, "torch" in sys.modules)
"""


@pytest.mark.full
def test_memory_stays_below_two_files_of_weights(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    from safetensors.numpy import save_file as save

    shard = 96 << 20
    for name in ("model", "base"):
        (tmp_path / name).mkdir()
        for number in range(3):
            values = rng.integers(0, 1 << 16, size=(shard // 4096, 2048), dtype=np.uint16)
            save({f"w{number}": values.view(np.float16)}, tmp_path / name / f"model-{number}.safetensors")
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True, timeout=300
    )
    before, after, torch_there = done.stdout.split()
    unit = 1 if sys.platform == "darwin" else 1024
    assert (int(after) - int(before)) * unit < 2 * shard
    assert torch_there == "False"
    assert same_files(tmp_path / "model", tmp_path / "again")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss > 0


def test_the_commands_say_what_they_wrote(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from lmx_cli.main import app

    model, base = write_model(tmp_path / "model", 1), write_model(tmp_path / "base", 2)
    run = CliRunner().invoke
    diff, again = str(tmp_path / "diff"), str(tmp_path / "again")
    made = run(app, ["perfpred", "weight-diff", "make", str(model), "--base", str(base), "-o", diff])
    assert made.exit_code == 0, made.output
    assert "3 files of weights" in made.output
    found = run(app, ["perfpred", "weight-diff", "recover", diff, "--base", str(base), "-o", again])
    assert found.exit_code == 0, found.output
    assert same_files(model, tmp_path / "again")
    refused = run(app, ["perfpred", "weight-diff", "recover", diff, "--base", str(model), "-o", again])
    assert isinstance(refused.exception, UserError)
