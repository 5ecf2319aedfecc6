"""The report's page in a browser: hostile texts, contrast, small screens, broken files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lmx_analysis.report import write_report
from tests.e2e.browser.pages import (
    CONTRAST,
    HOSTILE,
    UNSEEN,
    keep,
    texts,
)
from tests.unit.report.report_runs import sample, trace, write_run


def test_hostile_output_is_inert_and_shown_as_it_was_written(show: Any, tmp_path: Path) -> None:
    attack = HOSTILE[2]
    lines = [
        sample(i, text, prompt=text, doc={"question": text, "domain": attack, attack: text}, target=text, acc=i % 2)
        for i, text in enumerate([*HOSTILE, *(written for written, _ in UNSEEN)])
    ]
    for line in lines:
        line[attack] = 1.0
        line["metrics"].append(attack)
    traces = [trace(line, [(attack, line["resps"][0][0])], finish=attack) for line in lines]
    manifest = {"command": attack, attack: {attack: attack}}
    task = "<b onclick=window.pwned=1>"
    run = write_run(tmp_path / "a", {task: lines}, model=attack, traces=traces, manifest=manifest, note=attack)
    (run / f"{attack}.png").write_bytes(b"")
    page = show(write_report([run], tmp_path / "report.html", title=attack))
    shown = [*HOSTILE, *(as_shown for _, as_shown in UNSEEN)]
    page.locator("summary", has_text="Prompt").click()
    page.locator("summary", has_text="Document").click()
    for i, expected in enumerate(shown):
        page.locator(".sample-head", has_text=f"document {i}").wait_for()
        assert texts(page) == [expected]
        assert page.locator(".folds .text").text_content() == expected
        assert page.locator(".target .inline-text").text_content() == expected
        page.keyboard.press("j")
    assert page.locator("h1").text_content() == attack
    assert page.evaluate("window.pwned") is None
    assert page.locator("#main img, #main iframe, #main script, #main svg a, #main b").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_policy_stops_what_would_slip_through(chromium: Any, report: Path) -> None:
    page = chromium.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    page.goto(report.as_uri())
    page.wait_for_selector("#main[aria-busy=false]")
    assert page.evaluate("try { document.body.innerHTML = '<b>x</b>'; 'set' } catch { 'refused' }") == "refused"
    page.evaluate("document.body.append(Object.assign(document.createElement('img'), {src: 'data:,'}))")
    failed = "fetch('http://127.0.0.1:9/').then(() => 'sent', () => 'refused')"
    assert page.evaluate(failed) == "refused"
    assert sum("Content Security Policy" in line for line in refused) >= 2
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("mode", ["source", "step"])
def test_every_text_has_contrast(show: Any, report: Path, tmp_path: Path, scheme: str, mode: str) -> None:
    page = show(report, scheme=scheme)
    texts(page)
    page.keyboard.press("j")
    page.locator(".sample-head", has_text="document 1").wait_for()
    page.get_by_label("Colour").select_option(mode)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    page.locator("#search").fill("answer is")
    page.locator(".answer mark").first.wait_for()
    ratio, where, seen = page.evaluate(CONTRAST)
    assert seen > 100
    assert ratio >= 4.5, where
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (int(background.split("(")[1].split(",")[0]) > 127) == (scheme == "light")
    keep(page, tmp_path, f"{scheme}-{mode}")


def test_the_button_overrides_the_systems_scheme(show: Any, report: Path) -> None:
    page = show(report, scheme="light")
    back = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(back)
    button = page.locator("#theme")
    button.click()
    assert button.text_content() == "Theme: dark"
    assert page.evaluate(back) != light
    button.click()
    button.click()
    assert button.text_content() == "Theme: auto"
    assert page.evaluate(back) == light


def test_a_phone_shows_all_without_scrolling_sideways(show: Any, report: Path, tmp_path: Path) -> None:
    page = show(report, width=360, height=740)
    texts(page)
    page.evaluate("for (const fold of document.querySelectorAll('details')) fold.open = true")
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    outside = "all => all.filter((e) => e.getBoundingClientRect().right > 361).map((e) => e.className)"
    assert page.locator(".card, .text, select, input, button.quiet").evaluate_all(outside) == []
    keep(page, tmp_path, "phone")


def test_print_leaves_out_the_controls(show: Any, report: Path) -> None:
    page = show(report, scheme="dark")
    texts(page)
    page.emulate_media(media="print")
    assert not page.locator(".side").is_visible()
    assert not page.locator("#theme").is_visible()
    assert page.locator(".answer .text").first.is_visible()


def test_runs_without_the_sample_are_named(show: Any, tmp_path: Path) -> None:
    shared, alone = sample(0, "both"), sample(1, "only the first")
    first = write_run(tmp_path / "a", {"toy": [shared, alone]}, model="first")
    second = write_run(tmp_path / "b", {"toy": [shared]}, model="second")
    page = show(write_report([first, second], tmp_path / "report.html"))
    assert texts(page) == ["both", "both"]
    page.keyboard.press("j")
    page.locator(".sample-head", has_text="document 1").wait_for()
    assert texts(page) == ["only the first"]
    assert page.locator(".detail > .note").text_content() == "No sample of this prompt: second small."


def test_a_report_without_samples_says_how_to_get_them(show: Any, tmp_path: Path) -> None:
    run = write_run(tmp_path / "a", {"toy": [sample(0, "x", acc=1.0)]})
    next(run.glob("samples_*")).unlink()
    page = show(write_report([run], tmp_path / "report.html"))
    assert "run with --log_samples" in page.locator("#samples").text_content()
    assert page.locator(".results tbody tr").count() == 2


def test_a_file_cut_short_says_so(chromium: Any, report: Path, tmp_path: Path) -> None:
    whole = report.read_text(encoding="utf-8")
    cut = tmp_path / "cut.html"
    cut.write_text(whole[: whole.index('id="block-0"') - 40], encoding="utf-8")
    page = chromium.new_page()
    page.goto(cut.as_uri())
    page.locator(".detail", has_text="lacks its data block block-0; was the file cut short?").wait_for()
    page.close()
