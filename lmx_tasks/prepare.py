"""Brings the tasks of Super-NaturalInstructions and BIG-bench from where they are published into a tasks' data folder.

A source is a checkout or an archive of the upstream repository, a file with one task a line (`.jsonl`, `.jsonl.gz`), or
a data set repository on the Hub at a commit. Finished tasks are kept in a journal until all are there; then data and
manifest take their places together.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lmx_files import atomic, jsonl
from lmx_files.archives import members
from lmx_files.errors import UserError, unknown
from lmx_files.hashing import sha256, sha256_of_bytes
from lmx_files.reading import is_regular, lines, reason
from lmx_tasks.prepared import DATA, MANIFEST, PLAIN
from lmx_tasks.upstream import KINDS, Upstream

JOURNAL = ".prepare.jsonl"
DOWNLOAD = ".download"
_HUB = re.compile(r"hub:(?P<repository>[\w.-]+/[\w.-]+)(?:@(?P<commit>.*))?")

Progress = Callable[[str, int, int], None]
"""Called with a task's name, its number and how many there are; 0: that is not known."""


@dataclass
class Prepared:
    """What was done.

    Attributes:
        path: the data. tasks, instances: how many are in it. resumed: tasks that an interrupted run had finished.
        unchanged: the same data were there already.
    """

    path: Path
    tasks: int = 0
    instances: int = 0
    resumed: int = 0
    unchanged: bool = False


@dataclass
class _Work:
    """A preparation under way: finished tasks by name, with the hash of what each was made from."""

    kind: Upstream
    most: int
    journal: Path
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    resumed: int = 0


def prepare(
    name: str,
    source: str,
    folder: Path,
    tasks: Path | None = None,
    instances: int = 100,
    checksum: str | None = None,
    progress: Progress = lambda *_: None,
) -> Prepared:
    """Write `<folder>/<name>/test.jsonl.gz` and its manifest.

    Args:
        name: `superni` or `bigbench`.
        source: see the module. tasks: a file of names, one a line; None: the published test tasks, or BIG-bench Lite.
        instances: of each task, the first ones. checksum: the SHA-256 that a source of one file must have.

    Raises:
        UserError: the source cannot be read, lacks tasks, or holds a damaged one; older data stay as they were.
    """
    if name not in KINDS:
        raise unknown("data set", name, KINDS)
    kind, place = KINDS[name], folder / name
    path, origin = _located(source, place, kind)
    if checksum is not None:
        _check_sum(path, checksum)
    wanted = None if tasks is None else _names(tasks.name, _read_list(tasks))
    settings = {"name": name, "source": origin, "instances": instances, "tasks": wanted}
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"cannot make {place}: {reason(error)}. Choose another folder with -o") from error
    if (place / PLAIN).exists():
        raise UserError(f"{place / PLAIN} is there, and tasks would read it in place of {DATA}: move it away")
    work = _Work(kind, instances, place / JOURNAL)
    # what a task was made from is known by its hash, so that a source fetched again may go on too
    kept = _resumed(work.journal, {"name": name, "instances": instances})
    try:
        with jsonl.Appender(work.journal, '{"', "a journal of lmx data prepare") as journal:
            for number, (task, raw, where, total) in enumerate(_tasks(kind, path, wanted), start=1):
                _take(work, task, raw, where, kept, journal)
                progress(task, number, total)
    except OSError as error:
        raise UserError(f"cannot write {work.journal}: {reason(error)}. Choose another folder with -o") from error
    if not work.rows:
        raise UserError(f"{source}: {kind.hint}")
    return _finish(work, place, settings)


def _located(source: str, place: Path, kind: Upstream) -> tuple[Path, dict[str, str]]:
    """Return where a source is on this machine, and what the manifest says of it."""
    if match := _HUB.fullmatch(source):
        return _download(match["repository"], match["commit"], place / DOWNLOAD, kind)
    path = Path(source).expanduser()
    if not path.is_dir() and not is_regular(path):
        raise UserError(
            f"there is no source {source}: give a folder, a tar or zip archive, a .jsonl or .jsonl.gz file, or "
            "hub:OWNER/NAME@COMMIT"
        )
    if path.is_dir():
        return path, {"folder": path.resolve().name}
    return path, {"file": path.name, "sha256": sha256(path)}


def _download(repository: str, commit: str | None, place: Path, kind: Upstream) -> tuple[Path, dict[str, str]]:
    """Get the wanted files of a commit; what is there already is not fetched again."""
    if not re.fullmatch("[0-9a-f]{40}", commit or ""):
        raise UserError(
            f"hub:{repository}@{commit or ''}: name the commit, 40 hexadecimal digits, so that the data stay the same: "
            f"hub:{repository}@COMMIT"
        )
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(
            repository, repo_type="dataset", revision=commit, local_dir=place, allow_patterns=list(kind.patterns)
        )
    except Exception as error:  # the hub's client raises whatever its network layer raises
        why = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(f"hub:{repository}@{commit} cannot be read ({why}). Run again to go on where it was") from error
    return place, {"hub": repository, "commit": str(commit)}


def _check_sum(path: Path, checksum: str) -> None:
    if path.is_dir():
        raise UserError(f"--sha256 is that of one file, and {path} is a folder: leave it out")
    found = sha256(path)
    if found != checksum.lower():
        raise UserError(f"{path} has the SHA-256 {found}, not {checksum}: fetch it again")


def _tasks(kind: Upstream, path: Path, wanted: list[str] | None) -> Iterator[tuple[str, bytes, str, int]]:
    """Yield name, text and place of each wanted task, and how many there are (0: not known).

    Raises:
        UserError: one is missing, or stands there twice.
    """
    if path.suffixes[-1:] == [".jsonl"] or path.suffixes[-2:] == [".jsonl", ".gz"]:
        found = _lines(kind, path)
        listed = wanted
    else:
        listed = wanted if wanted is not None else _published(kind, path)
        chosen = listed
        found = (
            (kind.task(name), raw, f"{path}: {name}")
            for name, raw in members(path, lambda name: bool(kind.task(name)) and kind.listed(kind.task(name), chosen))
        )
    seen: dict[str, str] = {}
    for task, raw, where in found:
        if listed is not None and not kind.listed(task, listed):
            continue
        if task in seen:
            raise UserError(f"{where}: task {task!r} stands in {seen[task]} already: keep one of them")
        seen[task] = where
        yield task, raw, where, 0 if kind.subtasks else len(listed or ())
    missing = [name for name in listed or () if not any(kind.listed(task, [name]) for task in seen)]
    if missing:
        raise UserError(
            f"{path} lacks {len(missing)} of {len(listed or ())} tasks ({', '.join(missing[:3])}"
            f"{', ...' if len(missing) > 3 else ''}): complete it, or name the tasks that you want with --tasks FILE"
            f"{'' if seen else f' ({kind.hint})'}"
        )


def _lines(kind: Upstream, path: Path) -> Iterator[tuple[str, bytes, str]]:
    for number, line in lines(path):
        if line.strip():
            where = f"{path}, line {number}"
            name = jsonl.parse_row(line, where, (kind.key,)).get(kind.key)
            if not isinstance(name, str) or not name.strip():
                raise UserError(f"{where}: field {kind.key!r} must be the task's name, not {name!r}")
            yield name, line, where


def _published(kind: Upstream, path: Path) -> list[str]:
    """Return the names of the tasks to take when nobody says which."""
    if kind.shipped_list is not None:
        return _names(kind.shipped_list.name, kind.shipped_list.read_text(encoding="utf-8"))
    for name, raw in members(path, lambda name: kind.is_list(name)):
        return _names(name, raw.decode("utf-8", "replace"))
    raise UserError(f"{path}: {kind.hint}")


def _read_list(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--tasks {path}: cannot be read ({reason(error)})") from error


def _names(file: str, text: str) -> list[str]:
    entries = (line.partition("#")[0].strip() for line in text.splitlines())
    names = list(dict.fromkeys(entry for entry in entries if entry))
    if not names:
        raise UserError(f"{file} names no tasks: write one name a line")
    return names


def _take(
    work: _Work, task: str, raw: bytes, where: str, kept: dict[str, tuple[str, dict[str, Any]]], journal: jsonl.Appender
) -> None:
    """Add a task: as an interrupted run left it if it was made from the same text, else made and checked now."""
    digest = sha256_of_bytes(raw)
    if task in kept and kept[task][0] == digest:
        row = kept[task][1]
        work.kind.check(row, f"{work.journal}, {task}")
        work.resumed += 1
    else:
        row = work.kind.row(task, raw, work.most, where)
        journal.add({"task": task, "sha256": digest, "row": row})
    work.rows[task], work.hashes[task] = row, digest


def _resumed(journal: Path, settings: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Return the tasks that an interrupted run with the same settings finished, and begin the journal anew."""
    kept: dict[str, tuple[str, dict[str, Any]]] = {}
    if is_regular(journal):
        rows = jsonl.read(journal, "a journal of lmx data prepare", last="skip")
        with contextlib.suppress(UserError):  # a damaged journal is good for the tasks before the damage
            if next(rows, None) == {"settings": settings}:
                for row in rows:
                    if set(row) == {"task", "sha256", "row"} and isinstance(row["row"], dict):
                        kept[str(row["task"])] = (row["sha256"], row["row"])
    entries = [{"task": task, "sha256": digest, "row": row} for task, (digest, row) in kept.items()]
    jsonl.write(journal, [{"settings": settings}, *entries])
    return kept


def _finish(work: _Work, place: Path, settings: dict[str, Any]) -> Prepared:
    names = sorted(work.rows)
    text = "".join(json.dumps(work.rows[name], ensure_ascii=False) + "\n" for name in names)
    data = gzip.compress(
        text.encode("utf-8", "backslashreplace"), mtime=0
    )  # no time in it: the same data, the same file
    counts = {name: len(work.rows[name][work.kind.items]) for name in names}
    manifest = {
        **settings,
        "tasks": {name: {"sha256": work.hashes[name], "instances": counts[name]} for name in names},
        "files": {DATA: {"sha256": sha256_of_bytes(data), "bytes": len(data)}},
    }
    path = place / DATA
    written = json.dumps(manifest, indent=1, ensure_ascii=False) + "\n"
    old = {name: (place / name).read_bytes() for name in (DATA, MANIFEST) if is_regular(place / name)}
    unchanged = old == {DATA: data, MANIFEST: written.encode()}
    if not unchanged:
        atomic.write_files(place, {DATA: data, MANIFEST: written})
    work.journal.unlink(missing_ok=True)
    shutil.rmtree(place / DOWNLOAD, ignore_errors=True)
    return Prepared(path, len(names), sum(counts.values()), work.resumed, unchanged)
