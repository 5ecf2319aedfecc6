"""The sections of analyses in the report: what is shown of each, and the chunks that hold their pictures."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lmx_analysis.report.pack import Chunk, bytes_chunk
from lmx_analysis.sections import Section, find_sections, pictures_of, read_section
from lmx_files.reading import is_regular


@dataclass(frozen=True)
class Studies:
    """The sections found: as the page reads them, their pictures, and which of the given paths hold one."""

    sections: list[dict[str, Any]]
    pictures: list[Chunk]
    paths: frozenset[str]


def read_studies(paths: list[str | Path], output: Path) -> Studies:
    """Read the sections at or below all paths, each once, for a page at `output`.

    Raises:
        UserError: a section's file does not hold what it should.
    """
    sections: list[dict[str, Any]] = []
    pictures: list[Chunk] = []
    holding, seen = set(), set()
    for path in paths:
        for file in find_sections(path):
            holding.add(str(path))
            if file.resolve() in seen:
                continue
            seen.add(file.resolve())
            section, chunks = _shown(read_section(file), file.parent, output, len(sections))
            sections.append(section)
            pictures += chunks
    return Studies(sections, pictures, frozenset(holding))


def _shown(section: Section, folder: Path, output: Path, number: int) -> tuple[dict[str, Any], list[Chunk]]:
    chunks: list[Chunk] = []
    shown = []
    for place, (picture, content) in enumerate(pictures_of(section, folder)):
        entry = {"name": picture.file, "caption": picture.caption}
        if isinstance(content, bytes):
            entry["chunk"] = f"picture-{number}-{place}"
            chunks.append(bytes_chunk(entry["chunk"], content))
        else:
            entry["missing"] = content
        shown.append(entry)
    start = output.resolve().parent
    # "./" keeps a name like "javascript:x.html" a path.
    pages = [
        {"name": name, "href": "./" + quote(Path(os.path.relpath(folder.resolve() / name, start)).as_posix())}
        for name in section.pages
        if is_regular(folder / name)
    ]
    made = {"folder": folder.name, "pictures": shown, "pages": pages}
    return section.model_dump(include={"analysis", "title", "text", "tables"}) | made, chunks
