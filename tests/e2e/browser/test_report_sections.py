"""Sections of analyses in a browser: shown, drawn, inert."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from lmx_analysis.report import write_report
from lmx_analysis.sections import PNG, Picture, Section, Table
from tests.e2e.browser.pages import HOSTILE


def png(width: int, height: int) -> bytes:
    """Return a grey picture."""

    def part(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + b"\x80" * width for _ in range(height))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return PNG + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


def test_sections_alone_are_shown_and_pictures_are_drawn(show: Any, tmp_path: Path) -> None:
    folder = tmp_path / "entropy"
    folder.mkdir()
    (folder / "a.png").write_bytes(png(30, 20))
    (folder / "page.html").write_text("x")
    table = Table(title="By model", columns=["model", "mean"], rows=[["a", 1.5], ["b", None], ["c", 1200]], note="nats")
    pictures = [Picture(file="a.png", caption="by position"), Picture(file="none.png", caption="")]
    Section(
        analysis="entropy", title="Entropy", text=["Lead.", "More."], tables=[table], pictures=pictures,
        pages=["page.html"],
    ).write(folder)  # fmt: skip
    page = show(write_report([folder], tmp_path / "report.html"))
    assert page.locator("h2").all_text_contents() == ["Entropy"]
    assert "1 analysis" in page.locator("#subtitle").text_content()
    cells = page.locator("#study-0 tbody tr").all_text_contents()
    assert cells == ["a1.500", "b\u2013", "c1,200"]
    assert page.locator("#study-0 a").get_attribute("href") == "./entropy/page.html"
    page.wait_for_function("document.querySelector('#study-0 img').naturalWidth === 30")
    assert "cannot read" in page.locator("#study-0 .note").last.text_content()


def test_hostile_sections_are_inert(show: Any, tmp_path: Path) -> None:
    attack = HOSTILE[2]
    table = Table(title=attack, columns=[attack], rows=[[text[:300]] for text in HOSTILE], note=attack)
    Section(analysis=attack, title=attack, text=[attack], tables=[table]).write(tmp_path / "a")
    page = show(write_report([tmp_path / "a"], tmp_path / "report.html"))
    assert page.locator("h2").all_text_contents() == [attack]
    assert page.evaluate("window.pwned") is None
    assert page.locator("#main img, #main iframe, #main script, #main b").count() == 0
