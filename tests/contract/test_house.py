"""The sizes that keep the house readable: folders of at most 15 files, files of 350 lines, functions of 60.

A function or a file that is better whole says why in a comment that begins with ``# long:``, on its first lines.
"""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILES, LINES, FUNCTION = 15, 350, 60
EXCUSE = "# long:"
# Generated, or data rather than code.
LEFT_OUT = {".git", ".venv", ".next", "results", "build", "dist", "data", "templates", "node_modules"}


def sources() -> list[Path]:
    """All files that the project keeps, apart from those of `LEFT_OUT` and hidden folders."""
    found = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") or part == "__pycache__" or part in LEFT_OUT for part in parts)
        if path.is_file() and not hidden:
            found.append(path)
    return sorted(found)


CODE = [path for path in sources() if path.suffix == ".py"]


def test_folders_are_small() -> None:
    count = Counter(path.parent.relative_to(ROOT) for path in sources() if path.suffix in {".py", ".md", ".yaml"})
    large = {str(folder): files for folder, files in count.items() if files > FILES}
    assert not large, f"folders with more than {FILES} files: {large}"


def test_files_and_functions_are_short() -> None:
    long = [complaint for path in CODE for complaint in complaints(path)]
    assert not long, "\n".join(long)


def complaints(path: Path) -> list[str]:
    """Say what of a file is too long."""
    lines = path.read_text(encoding="utf-8").splitlines()
    name, found = path.relative_to(ROOT), []
    if len(lines) > LINES and not any(line.startswith(EXCUSE) for line in lines[:20]):
        found.append(f"{name}: {len(lines)} lines")
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            excused = any(EXCUSE in line for line in lines[node.lineno - 2 : node.lineno + 1])
            if length > FUNCTION and not excused:
                found.append(f"{name}: {node.name} has {length} lines")
    return found
