"""The report in a browser: what it shows, that nothing in it runs or leaves, and that it can be read and used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.e2e.browser.pages import (
    keep,
    selected,
    texts,
)


def test_all_parts_are_shown(show: Any, report: Path, tmp_path: Path) -> None:
    page = show(report)
    assert page.locator("h1").text_content() == "Guided against plain"
    assert page.locator("h2").all_text_contents() == ["Runs", "Results", "Charts", "Cost", "Samples"]
    assert "2 runs · 1 task · 600 samples" in page.locator("#subtitle").text_content()
    assert page.locator("a", has_text="curve.png").get_attribute("href") == "./guided/curve.png"
    accuracy = page.locator(".results tbody tr", has_text="acc").first
    assert re.findall(r"highest|[\d.]+ ± [\d.]+", accuracy.text_content()) == [
        "0.333 ± 0.100",
        "highest",
        "0.500 ± 0.100",
    ]
    assert page.locator("#charts svg.chart").count() == 2
    assert page.locator("#cost select").first.locator("option").all_text_contents() == [
        "seconds of the whole evaluation"
    ]
    assert page.locator("#cost svg.chart .target").count() == 2
    assert texts(page) == ["The answer is 0, says the oracle.", "Perhaps 0."]
    keep(page, tmp_path, "light")


def test_charts_follow_their_controls(show: Any, report: Path) -> None:
    page = show(report)
    rates = page.locator("figure", has_text="Rates")
    assert rates.get_by_label("Metrics").locator("option").all_text_contents()[:1] == ["all rates"]
    by_category = page.locator("figure", has_text="By category")
    by_category.get_by_label("Metric").select_option("acc")
    by_category.locator("summary").click()
    cells = by_category.locator("tbody tr").nth(1).locator("th, td").all_text_contents()
    assert cells[0] == "part 1"
    assert cells[1].startswith("0.333 ±")
    assert cells[1].endswith("(n 150)")
    assert cells[2] == "0.000 (n 150)"  # no standard error of what is all alike
    by_category.locator(".target").first.hover()
    assert page.locator("#tip").inner_text().splitlines()[0] == "guided small + large"


def test_results_can_be_sorted_and_filtered(show: Any, report: Path) -> None:
    page = show(report)
    names = page.locator(".results tbody th[scope=row]")
    assert names.all_text_contents() == ["acc ↑", "loss ↓", "stems_loose", "all_loose"]
    page.locator(".results .sort").nth(1).click()
    assert names.all_text_contents()[0] == "all_loose"
    assert page.locator(".results thead th").nth(1).get_attribute("aria-sort") == "descending"
    page.locator(".results .sort").nth(1).click()
    assert names.all_text_contents()[-1] == "all_loose"
    page.get_by_label("Show tasks and metrics whose name holds").fill("stem")
    assert names.all_text_contents() == ["stems_loose"]


def test_the_list_holds_few_rows_and_obeys_keys(show: Any, report: Path) -> None:
    page = show(report)
    texts(page)
    assert page.locator(".row").count() < 40
    rows = page.locator(".list")
    rows.focus()
    for key, expected in (("j", 1), ("ArrowDown", 2), ("k", 1), ("End", 599), ("Home", 0)):
        page.keyboard.press(key)
        assert selected(page) == f"document {expected}"
    page.keyboard.press("PageDown")
    assert selected(page) != "document 0"
    assert rows.get_attribute("aria-activedescendant")
    page.locator("h2").first.click()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "search"


def test_filters_by_outcome_of_each_run(show: Any, report: Path) -> None:
    page = show(report)
    status = page.locator(".status")
    page.locator("#samples").get_by_label("Metric", exact=True).select_option("acc")
    page.get_by_label("guided small + large", exact=True).select_option("right")
    page.get_by_label("ar small", exact=True).select_option("wrong")
    status.filter(has_text=f"{sum(i % 3 == 0 and i % 2 == 1 for i in range(600))} of 600").wait_for()
    assert selected(page) == "document 3"
    assert texts(page) == ["The answer is 3, says the oracle.", "Perhaps 3."]
    page.locator("#samples").get_by_label("Metric", exact=True).select_option("loss")
    page.get_by_label("guided small + large", exact=True).select_option("right")
    page.get_by_label("limit").fill("0.9")
    status.filter(has_text=f"{sum(i / 600 >= 0.9 for i in range(600))} of 600").wait_for()


def test_search_reads_all_texts_and_marks_what_it_found(show: Any, report: Path) -> None:
    page = show(report)
    page.locator("#search").fill("PERHAPS 321")
    page.locator(".status", has_text="1 of 600").wait_for()
    assert page.locator(".answer mark").all_text_contents() == ["Perhaps 321"]
    page.locator("#search").fill("nowhere to be found")
    page.locator(".status", has_text="0 of 600").wait_for()
    assert page.locator(".row").count() == 0
    assert page.locator(".detail").text_content() == "No sample fits the filters."


def test_a_text_is_coloured_by_who_wrote_it_and_by_step(show: Any, report: Path) -> None:
    page = show(report)
    texts(page)
    page.keyboard.press("j")
    page.locator(".sample-head", has_text="document 1").wait_for()
    page.get_by_label("Colour").select_option("source")
    assert page.locator(".answer .source").all_text_contents() == ["The answer is 1, ", "says the oracle."]
    colour = "(e) => getComputedStyle(e).color.match(/\\d+/g).map(Number)"
    red, _, blue = page.locator(".answer .source.oracle").evaluate(colour)[:3]
    assert blue > red
    red, _, blue = page.locator(".answer .source.base").evaluate(colour)[:3]
    assert red > blue
    page.get_by_label("Colour").select_option("step")
    assert page.locator(".answer .step").evaluate_all("all => all.map((e) => e.title)") == ["step 7", "step 2"]
    backs = page.locator(".answer .step").evaluate_all("all => all.map((e) => e.style.backgroundColor)")
    assert backs[0] == "rgb(253, 231, 37)", "the last step has viridis' last colour"
    assert backs[1] == "rgb(68, 1, 84)", "and the first step its first"
    assert page.locator(".key").text_content() == "filled in step 2  step 7"
    page.get_by_label("Colour").select_option("plain")
    assert page.locator(".answer .step, .answer .source").count() == 0
