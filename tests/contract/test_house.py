"""The sizes that keep the house readable: folders of at most 15 files, files of 350 lines, functions of 60.

What is better whole says why in a comment ``long: REASON``: a file on its first lines, a function on the line before.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.contract.house import ROOT, kept_files

FILES, LINES, FUNCTION = 15, 350, 60
HEAD = 20  # lines among which a file's excuse stands
# What people write and read. Data (JSON, word lists, pictures, weights) has no length that matters.
WRITTEN = {".py", ".pyi", ".js", ".css", ".j2", ".html", ".md", ".yaml", ".yml", ".toml", ".sh", ".cfg", ""}
EXCUSE = re.compile(r"(?:#|//|/\*|<!--|\{#) long: \w+(?:[^\w\n]+\w+){2,}")


def excused(lines: Sequence[str]) -> bool:
    """Tell whether one of the lines says why something is long, in three words at least."""
    return any(EXCUSE.search(line) for line in lines)


def large_folders(files: Sequence[Path]) -> dict[str, int]:
    count = Counter(path.parent.as_posix() for path in files)
    return {folder: number for folder, number in count.items() if number > FILES}


def complaints(name: str, text: str) -> Iterator[str]:
    """Say what of a file is too long."""
    lines = text.splitlines()
    if len(lines) > LINES and not excused(lines[:HEAD]):
        yield f"{name}: {len(lines)} lines"
    if not name.endswith(".py"):
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            if length > FUNCTION and not excused(lines[max(0, first - 2) : node.lineno]):
                yield f"{name}: {node.name} has {length} lines"


def test_folders_are_small() -> None:
    large = large_folders([path.relative_to(ROOT) for path in kept_files()])
    assert not large, f"folders with more than {FILES} files: {large}"


def test_files_and_functions_are_short() -> None:
    long = [
        complaint
        for path in kept_files()
        if path.suffix in WRITTEN
        for complaint in complaints(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8"))
    ]
    assert not long, "\n".join(long)


def test_nothing_that_people_write_is_left_out() -> None:
    """Whatever its folder is called: templates, pages, results."""
    seen = {path.relative_to(ROOT).as_posix() for path in kept_files()}
    assert {
        "lmx_analysis/report/page/main.js",
        "lmx_cli/templates/decoder/my_decoder/decoding.py",
        "tests/plugin_pkg/lmx_example/tasks/data.py",
        "Makefile",
    } <= seen
    assert not [name for name in seen if "__pycache__" in name or name.startswith((".git/", ".venv/"))]


LONG = "def f():\n" + "    x = 1\n" * FUNCTION


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.py", "x = 1\n" * LINES, []),
        ("a.py", "x = 1\n" * (LINES + 1), ["a.py: 351 lines"]),
        ("page/a.js", "x;\n" * 351, ["page/a.js: 351 lines"]),
        ("data/a.md", "text\n" * 351, ["data/a.md: 351 lines"]),
        ("a.md", "# A\n<!-- long: one table of all names -->\n" + "text\n" * 351, []),
        ("a.md", "# A\n<!-- long: -->\n" + "text\n" * 351, ["a.md: 353 lines"]),
        ("a.py", LONG, ["a.py: f has 61 lines"]),
        ("a.py", "# long: the loop in one piece\n" + LONG, []),
        ("a.py", "# long: the loop in one piece\n@cache\n" + LONG, []),
        ("a.py", "# long:\n" + LONG, ["a.py: f has 61 lines"]),
        ("a.py", "# long: yes\n" + LONG, ["a.py: f has 61 lines"]),
        ("a.py", LONG.replace("x = 1", "x = '# long: said in a text'"), ["a.py: f has 61 lines"]),
    ],
)
def test_what_is_too_long_is_found(name: str, text: str, found: list[str]) -> None:
    assert list(complaints(name, text)) == found


def test_a_folder_counts_all_its_files() -> None:
    files = [Path("page") / f"{n}.{suffix}" for n in range(4) for suffix in ("js", "css", "j2", "svg")]
    assert large_folders(files) == {"page": 16}
    assert large_folders(files[1:]) == {}
