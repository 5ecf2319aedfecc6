"""The files that the project keeps: what git keeps, or would once it is added."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def kept_files(root: Path = ROOT) -> list[Path]:
    """Return all files of the project, sorted; without git, those that no line of .gitignore names."""
    command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = _without_git(root)
    found = (root / name for name in listed if name)
    return sorted(path for path in found if path.is_file() and not _hidden(path.relative_to(root)))


def _hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _without_git(root: Path) -> list[str]:
    ignored = [line.strip("/") for line in (root / ".gitignore").read_text().splitlines() if line]
    paths = (path.relative_to(root) for path in root.rglob("*"))
    return [str(path) for path in paths if not any(Path(part).match(name) for part in path.parts for name in ignored)]
