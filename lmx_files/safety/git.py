"""What a run's folder says of its git repository, without doing anything that the repository asks for.

A repository's own configuration may name programs (fsmonitor, filters, hooks, aliases, a pager), which git runs. So the
commit is read from its files, and git, where it has to compare files, gets a repository of our own in a temporary
folder, with no configuration but a few switches, over the objects and the index of the real one.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from lmx_files import opening
from lmx_files.errors import UserError
from lmx_files.safety import children

_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_REF = re.compile(r"refs/[^\s\x00-\x1f\x7f~^:?*\\\[]+")
_SMALL, _LARGE = 1 << 16, 1 << 26
_SECONDS = 10
# What the repository's file says of how its files lie on the disk; values of one word, and no programs.
_SWITCHES = re.compile(
    r"\s*(filemode|autocrlf|eol|symlinks|ignorecase|precomposeunicode|trustctime|checkstat)\s*=\s*(\w+)\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Repository:
    """A repository: `root` of its files, its own folder, and the one that it shares with other work trees."""

    root: Path
    folder: Path
    common: Path


def find(folder: Path) -> Repository | None:
    """Return the repository that a folder is in; None outside of one."""
    start = folder.absolute()
    for root in (start, *start.parents):
        marker = root / ".git"
        try:
            own = marker if marker.is_dir() else _pointed(marker, "gitdir: ")
            if own is not None and (own / "HEAD").is_file():
                return Repository(root, own, _pointed(own / "commondir", "") or own)
        except (OSError, ValueError):
            continue
    return None


def head(repository: Repository) -> tuple[str, str] | None:
    """Return the commit and the branch ("HEAD" for none), as ``git rev-parse`` names them; None before any commit."""
    content = _text(repository.folder / "HEAD")
    name, branch = content.removeprefix("ref: ").strip(), "HEAD"
    if content.startswith("ref: "):
        branch = name.removeprefix("refs/heads/")
    for _ in range(5):
        if _HASH.fullmatch(name):
            return name, branch
        if not _REF.fullmatch(name) or ".." in name:
            return None
        content = _text(repository.folder / name) or _text(repository.common / name) or _packed(repository, name)
        name = content.removeprefix("ref: ").strip()
    return None


def commit(folder: Path) -> str | None:
    """Return the commit of the repository that a folder is in, if there is one."""
    repository = find(folder)
    found = head(repository) if repository else None
    return found[0] if found else None


def changed_files(repository: Repository, at: str) -> int | None:
    """Return how many files differ from the commit `at`; None where git cannot tell."""
    try:
        with tempfile.TemporaryDirectory(prefix="lmx-git-") as name:
            done = children.finish(
                ["git", "--no-pager", "status", "--porcelain", "--untracked-files=no", "--ignore-submodules=dirty"],
                seconds=_SECONDS,
                env=_stand_in(repository, at, Path(name)),
                cwd=repository.root,
            )
    except (OSError, subprocess.SubprocessError):
        return None
    return len(done.stdout.splitlines()) if done.returncode == 0 else None


def _stand_in(repository: Repository, at: str, folder: Path) -> dict[str, str]:
    """Make a repository without configuration over another's objects and index; return the environment for git."""
    sha256 = len(at) == 64
    switches = [match[0].strip() for line in _core(repository) if (match := _SWITCHES.fullmatch(line))]
    lines = ["[core]", f"repositoryformatversion = {int(sha256)}", "bare = false", *switches]
    lines += ["[extensions]", "objectformat = sha256"] if sha256 else []
    (folder / "config").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "HEAD").write_text(f"{at}\n", encoding="utf-8")
    (folder / "refs").mkdir()
    for shared in repository.folder.glob("sharedindex.*"):
        (folder / shared.name).symlink_to(shared)
    return children.environment(
        HOME=str(folder),
        XDG_CONFIG_HOME=str(folder),
        GIT_DIR=str(folder),
        GIT_WORK_TREE=str(repository.root),
        GIT_OBJECT_DIRECTORY=str(repository.common / "objects"),
        GIT_INDEX_FILE=str(repository.folder / "index"),
        GIT_CONFIG_NOSYSTEM="1",
        GIT_CONFIG_SYSTEM="/dev/null",
        GIT_CONFIG_GLOBAL="/dev/null",
        GIT_ATTR_NOSYSTEM="1",
        GIT_OPTIONAL_LOCKS="0",
        GIT_NO_LAZY_FETCH="1",
        GIT_TERMINAL_PROMPT="0",
    )


def _core(repository: Repository) -> list[str]:
    """Return the lines of the section ``core`` of a repository's configuration."""
    found: list[str] = []
    inside = False
    for line in _text(repository.common / "config").splitlines():
        if line.lstrip().startswith("["):
            inside = line.strip().lower() == "[core]"
        elif inside:
            found.append(line)
    return found


def _pointed(file: Path, prefix: str) -> Path | None:
    """Return the folder that a file names in its one line, relative to where it lies."""
    content = _text(file)
    if not content.startswith(prefix) or not content.strip():
        return None
    return (file.parent / content.removeprefix(prefix).strip()).resolve()


def _packed(repository: Repository, name: str) -> str:
    for line in _text(repository.common / "packed-refs", _LARGE).splitlines():
        found, _, ref = line.partition(" ")
        if ref == name:
            return found
    return ""


def _text(path: Path, most: int = _SMALL) -> str:
    """Return what a file says; empty if it is not there, not regular, a link or too long."""
    try:
        return opening.read_bytes(path, most).decode("utf-8", "replace")
    except (OSError, UserError, ValueError):
        return ""
