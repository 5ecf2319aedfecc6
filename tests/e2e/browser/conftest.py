"""Fixtures of this folder's tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmx_analysis.report import write_report
from tests.e2e.browser.pages import (
    BROWSERS,
    FLAGS,
)
from tests.unit.report.report_runs import sample, trace, write_run


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        reason = f"no browser found: install one of {', '.join(BROWSERS)}"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with playwright_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS.split())
        yield browser
        browser.close()


@pytest.fixture
def show(chromium: Any) -> Iterator[Any]:
    """Open a report; when the test ends, its page must have logged nothing, failed nowhere and asked for nothing."""
    contexts, complaints = [], []

    def show(file: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> Any:
        context = chromium.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(15_000)
        page.on("console", lambda message: complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: complaints.append(f"error: {error}"))
        page.on("dialog", lambda dialog: complaints.append(f"dialog: {dialog.message}"))
        own = (file.as_uri(), "blob:null/", f"blob:{file.as_uri()}")  # a picture is a blob that the page made itself
        page.on("request", lambda r: r.url.startswith(own) or complaints.append(f"request: {r.url}"))
        page.goto(file.as_uri())
        page.wait_for_selector("#main[aria-busy=false]")
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def report(tmp_path_factory: Any) -> Path:
    """Two runs of 600 samples; the first is guided, with pieces by source, and a diffusion-like step for each piece."""
    folder = tmp_path_factory.mktemp("runs")
    guided, plain, traces = [], [], []
    for i in range(600):
        common = {"doc": {"question": f"What is {i}?", "domain": f"part {i % 4}"}, "target": str(i)}
        text = f"The answer is {i}, says the oracle."
        guided.append(sample(i, text, **common, acc=float(i % 3 == 0), stems_loose=0.5, all_loose=1.0, loss=i / 600))
        plain.append(
            sample(i, f"Perhaps {i}.", **common, acc=float(i % 2 == 0), stems_loose=1.0, all_loose=0.0, loss=0.5)
        )
        cut = text.index("says")
        steps = {"extra": {"steps": [7, 2]}} if i % 2 else {}
        traces.append(trace(guided[-1], [("base", text[:cut]), ("oracle", text[cut:])], **steps))
    first = write_run(folder / "guided", {"toy": guided}, model="guided", traces=traces, oracle="large")
    second = write_run(folder / "ar", {"toy": plain})
    (first / "curve.png").write_bytes(b"")
    return write_report([first, second], folder / "report.html", title="Guided against plain")
