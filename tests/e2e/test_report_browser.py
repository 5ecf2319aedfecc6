"""The report in a browser: what it shows, that nothing in it runs or leaves, and that it can be read and used.

Screenshots are kept in the folder that LMX_ARTIFACTS names.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lmx_analysis.report import write_report
from tests.unit.report.report_runs import sample, trace, write_run

playwright_api = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")

FLAGS = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
FLAGS += " --disable-component-update --disable-sync"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

ATTACK = "window.pwned=1"
HOSTILE = [
    f"<script>{ATTACK}</script>",
    f"</script><script>{ATTACK}</script>",
    f"<img src=x onerror={ATTACK}>",
    f"<svg onload={ATTACK}><a href='javascript:{ATTACK}'>javascript:{ATTACK}</a></svg>",
    f'"><iframe srcdoc="<script>{ATTACK}</script>">',
    f"</div></template></style><!--<script>{ATTACK}//-->",
    "{{ constructor.constructor('" + ATTACK + "')() }} ${" + ATTACK + "}",
    "[click](javascript:alert(1)) &lt;b&gt; &#60;script&#62; \\u003cscript\\u003e",
    "W" * 400,
]
# What cannot be seen is shown by name: (as written, as shown).
UNSEEN = [
    ("\x1b[31mred\x1b[0m", "ESC[31mredESC[0m"),
    ("a\u202egnp.exe", "aRLOgnp.exe"),
    ("nul\x00nul", "nulNULnul"),
    ("lone \ud83d end \udc00", "lone U+D83D end U+DC00"),
    ("emoji 😀 stays, 日本 stays", "emoji 😀 stays, 日本 stays"),
]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
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
        page.on("request", lambda r: r.url.split("#")[0] == file.as_uri() or complaints.append(f"request: {r.url}"))
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


def keep(page: Any, tmp_path: Path, name: str) -> None:
    folder = Path(os.environ.get("LMX_ARTIFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"report-{name}.png", full_page=True)


def texts(page: Any) -> list[str]:
    page.wait_for_selector(".answer")
    return page.locator(".answer .text").all_text_contents()


def selected(page: Any) -> str:
    return page.locator(".row[aria-selected=true] .where").text_content()


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


# The least contrast of any text on the page with what is behind it, by WCAG 2, and where it is.
CONTRAST = """() => {
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = (colour) => colour.slice(0, 3)
    .map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = rgba(getComputedStyle(at).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  let worst = [99, ''];
  let seen = 0;
  for (const element of document.querySelectorAll('body *')) {
    const text = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    if (!text || !element.checkVisibility() || element.closest('script, style, noscript, title')) continue;
    seen += 1;
    const style = getComputedStyle(element);
    const front = luminance(rgba(element.namespaceURI.endsWith('svg') ? style.fill : style.color));
    const back = luminance(behind(element));
    const ratio = (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
    if (ratio < worst[0]) worst = [ratio, element.outerHTML.slice(0, 120)];
  }
  return [...worst, seen];
}"""


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
