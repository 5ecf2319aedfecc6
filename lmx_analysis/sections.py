"""Sections that an analysis adds to the report: paragraphs, tables and pictures, kept in a file of its output folder.

An analysis writes ``report_section.json`` beside its tables; `lmx report` shows each one that lies at or below the
folders it is given. The file holds text only, and pictures are PNG files of the same folder, so that the report needs
neither the analysis nor a model, and nothing in a foreign folder is more than text or a picture to it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from lmx_files import atomic, jsonl
from lmx_files.errors import UserError
from lmx_files.reading import inside, is_plain_name, is_regular, open_following_links

FILE = "report_section.json"
LARGEST_SECTION = 64_000_000
"""Bytes of a section's file."""
LARGEST_PICTURE = 4_000_000
"""Bytes of one picture."""
LARGEST_PICTURES = 40_000_000
"""Bytes of all pictures of a section."""
PNG = b"\x89PNG\r\n\x1a\n"


def _shown(most: int) -> BeforeValidator:
    """Cut a text that is longer than `most` characters, so that a long name of a model does not lose an analysis."""

    def cut(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        clean = jsonl.without_surrogates(value)
        return clean if len(clean) <= most else clean[: most - 1] + "…"

    return BeforeValidator(cut)


Short = Annotated[str, _shown(200), StringConstraints(min_length=1)]
Text = Annotated[str, _shown(4000)]
Cell = Annotated[str, _shown(400)] | int | float | None


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Table(_Part):
    """A table; its first column names the rows. Cells are text or numbers (None: a dash). `note` stands below it."""

    title: Short
    columns: list[Short] = Field(min_length=1, max_length=1000)
    rows: list[list[Cell]] = Field(max_length=100_000)
    note: Text = ""

    @model_validator(mode="after")
    def _rectangular(self) -> Table:
        if odd := next((row for row in self.rows if len(row) != len(self.columns)), None):
            raise ValueError(f"a row of table {self.title!r} has {len(odd)} cells, not {len(self.columns)}")
        return self


class Picture(_Part):
    """A picture: a PNG file in the section's folder or below it (``figures/x.png``), and what it shows, in words."""

    file: Short
    caption: Text

    @model_validator(mode="after")
    def _name(self) -> Picture:
        if not all(map(is_plain_name, self.file.split("/"))) or not self.file.lower().endswith(".png"):
            raise ValueError(f"{self.file!r} is not the name of a PNG file in the section's folder")
        return self


class Section(_Part):
    """What an analysis shows in the report.

    Attributes:
        analysis: the command that made it, e.g. ``entropy``. title: heading, e.g. with the names of the models.
        text: paragraphs, the first of them the conclusion. tables, pictures: in the order in which they are shown.
        pages: names of HTML files beside it, which the report links to.
    """

    analysis: Short
    title: Short
    text: list[Text] = Field(default_factory=list, max_length=1000)
    tables: list[Table] = Field(default_factory=list, max_length=1000)
    pictures: list[Picture] = Field(default_factory=list, max_length=1000)
    pages: list[Short] = Field(default_factory=list, max_length=1000)

    @model_validator(mode="after")
    def _page_names(self) -> Section:
        for name in self.pages:
            if not is_plain_name(name) or not name.lower().endswith(".html"):
                raise ValueError(f"{name!r} is not the name of an HTML file in the section's folder")
        return self

    def write(self, folder: Path) -> Path:
        """Write the section into an output folder, where its pictures lie; an older one is replaced."""
        atomic.write_files(folder, {FILE: jsonl.strict(self.model_dump(), indent=1) + "\n"})
        return folder / FILE


def find_sections(path: str | Path) -> list[Path]:
    """Return the files of all sections at or below a folder, in the order of their names; of a file, none."""
    path = Path(path)
    if not os.path.isdir(path):
        return []
    return [inside(file, path) for file in sorted(path.rglob(FILE)) if is_regular(file)]


def read_section(path: Path) -> Section:
    """Read one section.

    Raises:
        UserError: the file is too large, is not JSON, or does not hold what a section holds.
    """
    with open_following_links(path) as file:
        raw = file.read(LARGEST_SECTION + 1)
    if len(raw) > LARGEST_SECTION:
        raise UserError(f"{path} is larger than {LARGEST_SECTION:,} bytes, which no analysis writes: leave it out")
    try:
        return Section.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise UserError(
            f"{path} is not a section of the report: {where}: {first['msg']}. Run the analysis again, or leave it out"
        ) from None


def pictures_of(section: Section, folder: Path) -> Iterator[tuple[Picture, bytes | str]]:
    """Yield each picture with its bytes, or with a sentence that says why it cannot be shown."""
    room = LARGEST_PICTURES
    for picture in section.pictures:
        try:
            with open_following_links(inside(folder / picture.file, folder)) as file:
                raw = file.read(LARGEST_PICTURE + 1)
        except UserError as error:
            yield picture, str(error)
            continue
        if not raw.startswith(PNG):
            yield picture, f"{picture.file} is not a PNG picture"
        elif len(raw) > min(LARGEST_PICTURE, room):
            yield picture, f"{picture.file} is too large to be put into the report: see it in {folder.name}"
        else:
            room -= len(raw)
            yield picture, raw


def cells(rows: list[list[Any]]) -> list[list[Any]]:
    """Return rows whose numbers are plain Python ones (numpy's become so) and whose NaN are None."""
    made: list[list[Any]] = []
    for row in rows:
        plain = [value.item() if hasattr(value, "item") else value for value in row]
        made.append([None if isinstance(value, float) and value != value else value for value in plain])
    return made
