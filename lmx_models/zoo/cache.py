"""The cache of models that lmx made itself: each folder appears complete, once, and by one rename.

A folder is named after the SHA-256 of the file it was made from: whoever brings the same bytes finds the same
folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from lmx_files import atomic, opening
from lmx_files.errors import UserError
from lmx_files.hashing import sha256
from lmx_files.safety import terminal
from lmx_files.user_cache import cache_root

RECIPE = 1  # part of a folder's name: raise it when the conversion changes what it writes
PROVENANCE = "lmx_source.json"


def converted_folder(stem: str, sha256: str) -> Path:
    """Return where the model made from the file of this hash lies, whether or not it exists yet."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", stem).strip("-.") or "model"
    return cache_root() / "models" / f"{safe}-{sha256[:12]}-v{RECIPE}"


def is_ready(folder: Path) -> bool:
    """True for a folder that a conversion finished; whether it is to be trusted, `build_once` asks."""
    return (folder / PROVENANCE).is_file() and (folder / "config.json").is_file()


def check_planted(folder: Path) -> None:
    """Refuse a converted model that another user may have put there or changed, or that is not what was converted.

    Its folders and files must belong to this user, to root, or to the user whom LMX_CACHE_OWNER names, and nobody else
    may write to them; every file must have the SHA-256 that the conversion wrote down.

    Raises:
        UserError: with what is wrong and the way out.
    """
    trusted = _trusted_owners()
    for path in (folder.parent, folder, *sorted(folder.rglob("*"))):
        found = path.lstat()
        if found.st_uid not in trusted:
            raise _planted(folder, f"{path.name} belongs to another user (uid {found.st_uid})")
        if found.st_mode & stat.S_IWOTH and not (path == folder.parent and found.st_mode & stat.S_ISVTX):
            raise _planted(folder, f"anybody may write to {path.name}")
        if path != folder.parent and not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            raise _planted(folder, f"{path.name} is no regular file")
    try:
        provenance = json.loads((folder / PROVENANCE).read_text(encoding="utf-8"))
        written = provenance.get("files")  # former versions wrote none
        names = set() if written is None else set(written) | set(_files(folder))
        wrong = sorted(name for name in names if _changed(folder / name, written.get(name)))
    except (OSError, UserError, ValueError, TypeError, AttributeError, RecursionError):
        raise _planted(folder, f"{PROVENANCE} does not say what the conversion wrote") from None
    if wrong:
        raise _planted(folder, f"{wrong[0]} is not what the conversion wrote")


def _trusted_owners() -> set[int]:
    """Return the users whose converted models are used: this one, root, and who is named in LMX_CACHE_OWNER."""
    named = os.environ.get("LMX_CACHE_OWNER")
    if not named:
        return {os.getuid(), 0}
    import pwd

    try:
        return {os.getuid(), 0, int(named) if named.isdecimal() else pwd.getpwnam(named).pw_uid}
    except KeyError:
        raise UserError(f"LMX_CACHE_OWNER={named}: there is no such user on this machine") from None


def note_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a converted model, for its provenance file."""
    return {name: sha256(folder / name) for name in _files(folder)}


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != PROVENANCE)


def _changed(path: Path, digest: object) -> bool:
    return not path.is_file() or known_sha256(path) != digest


def _planted(folder: Path, what: str) -> UserError:
    return UserError(
        f"the model in {str(folder)!r} is not used: {what}. Delete that folder, and it is made again; set LMX_CACHE to "
        "a folder of your own; or, if you trust that user, export LMX_CACHE_OWNER=NAME"
    )


def build_once(folder: Path, fill: Callable[[Path], None]) -> Path:
    """Return `folder`, made by `fill(new empty folder)` unless it is there already.

    `fill` works in a neighbour that is renamed at the end, and deleted when anything goes wrong, Ctrl-C too.
    Left-overs of a killed process are cleared by the next one.
    """
    if is_ready(folder):
        check_planted(folder)
        return folder
    with user_errors_from_disk(folder.parent):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder):
            if is_ready(folder):  # another process made it while this one waited
                check_planted(folder)
                return folder
            for stale in folder.parent.glob(f".{folder.name}.*.part"):
                shutil.rmtree(stale, ignore_errors=True)
            part = folder.parent / f".{folder.name}.{os.urandom(4).hex()}.part"
            part.mkdir()
            try:
                fill(part)
                shutil.rmtree(folder, ignore_errors=True)  # unfinished: only a hand can have put it here
                part.rename(folder)
            finally:
                shutil.rmtree(part, ignore_errors=True)
    return folder


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let one process at a time make `folder`; the system frees the lock when the process dies."""
    from filelock import Timeout

    lock = opening.lock_file(folder.parent / f".{folder.name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        say(f"another process is preparing {folder.name}; waiting for it")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def user_errors_from_disk(folder: Path) -> Iterator[None]:
    """Turn what the disk refuses (no space, no permission) into one line that names the way out."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(
            f"cannot keep models in {str(folder)!r}: {reason}. Set LMX_CACHE to a writable folder with room"
        ) from error


def require_space(folder: Path, needed: int) -> None:
    """Refuse before the work starts when the disk that holds `folder` has less than `needed` bytes free."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        need, have = f"{needed / 1e9:.1f} GB needed", f"{free / 1e9:.1f} GB free"
        raise UserError(
            f"not enough disk space in {str(folder)!r}: {need}, {have}. Set LMX_CACHE to a folder with room"
        )


def known_sha256(path: Path) -> str:
    """Return the SHA-256 of a user's file, from memory while its size and time of change stay the same."""
    stat = path.stat()
    key, stamp = str(path.resolve()), [stat.st_size, stat.st_mtime_ns]
    memory_file = cache_root() / "gguf_hashes.json"
    memory: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        read = json.loads(memory_file.read_text(encoding="utf-8"))
        memory = read if isinstance(read, dict) else {}
    found = memory.get(key)
    if isinstance(found, list) and len(found) == 3 and found[:2] == stamp:
        return str(found[2])
    digest = sha256(path)
    memory[key] = [*stamp, digest]
    with user_errors_from_disk(memory_file.parent):
        memory_file.parent.mkdir(parents=True, exist_ok=True)
        atomic.write(memory_file, json.dumps(memory, indent=1))
    return digest


def say(message: str) -> None:
    """Print one line about slow work on standard error."""
    terminal.console(stderr=True, highlight=False).print(f"lmx: {message}", soft_wrap=True, markup=False)
