"""What these tests share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

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


def keep(page: Any, tmp_path: Path, name: str) -> None:
    folder = Path(os.environ.get("LMX_ARTIFACTS") or tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"report-{name}.png", full_page=True)


def texts(page: Any) -> list[str]:
    page.wait_for_selector(".answer")
    return page.locator(".answer .text").all_text_contents()


def selected(page: Any) -> str:
    return page.locator(".row[aria-selected=true] .where").text_content()


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
