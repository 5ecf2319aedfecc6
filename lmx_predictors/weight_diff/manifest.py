"""What a difference says of itself: the base it belongs to, and the checksums of what must come out."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lmx_files import atomic, jsonl
from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_files.reading import is_plain_name

MANIFEST = "weight_diff.json"
LARGEST_COPY = 1 << 26
"""Bytes of a file beside the weights (configuration, tokenizer) that is copied."""
_WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".h5", ".msgpack", ".onnx", ".py", ".pyc")
Sha = Field(pattern=r"^[0-9a-f]{64}$")


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid")


class BaseTensor(_Entry):
    """A tensor of the base: what it must be."""

    dtype: str
    shape: list[int]
    sha256: str = Sha


class ShardEntry(_Entry):
    """One file: SHA-256 of the difference and of the model's own; the base's tensors that it was taken from."""

    diff: str = Sha
    model: str = Sha
    base: dict[str, BaseTensor]


class Manifest(_Entry):
    """The whole: `whole` names tensors that the base lacks, or has in another form, which are kept as they are."""

    weight_diff: Literal[1] = 1
    arithmetic: Literal["bits"] = "bits"
    shards: dict[str, ShardEntry]
    files: dict[str, str]
    whole: list[str] = []


def read(folder: Path) -> Manifest:
    """Read the manifest of a difference; a `UserError` if it is none."""
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(
            f"{folder} holds no {MANIFEST}: it is no whole difference of lmx perfpred weight-diff make. For one that "
            "was published as numbers to add to the base, say --published"
        )
    try:
        found = Manifest.model_validate(jsonl.read_object(path))
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        raise UserError(f"{path}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    for name in (*found.shards, *found.files):
        if not is_plain_name(name):
            raise UserError(f"{path} names {name!r}, which is no file in its folder")
    return found


def write(folder: Path, manifest: Manifest) -> None:
    """Write the manifest: the last file of a difference."""
    atomic.write(folder / MANIFEST, manifest.model_dump_json(indent=1) + "\n", sync=True)


def beside(folder: Path) -> list[Path]:
    """Return the files beside the weights that belong to a model: configuration, tokenizer, index."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.is_file()
        and is_plain_name(file.name)
        and not file.name.startswith(".")
        and not file.name.endswith(_WEIGHTS)
        and file.name != MANIFEST
        and file.stat().st_size <= LARGEST_COPY
    )


def copied(files: list[Path], output: Path) -> dict[str, str]:
    """Copy files into a folder and return the SHA-256 of each by its name."""
    found = {}
    for file in files:
        atomic.write(output / file.name, file.read_bytes())
        found[file.name] = sha256(output / file.name)
    return found
