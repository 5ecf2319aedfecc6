"""A measurement as one HTML file: pictures, tables, and texts coloured by entropy, models side by side.

No script and nothing from the network; every text is escaped. Shown are the first texts and the first rows of long
tables: the rest is in the Parquet and CSV files.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from lmx_analysis.entropy.load import Measurement
from lmx_analysis.tables import number

TEXTS, ROWS, TOKENS, SHADES = 20, 60, 2_000, 10
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2em auto;max-width:76em;padding:0 1em;color:#111}
table{border-collapse:collapse;font-size:13px;margin:.5em 0 1.5em}td,th{padding:.15em .6em;text-align:right}
th{border-bottom:1px solid #999}td:first-child,th:first-child{text-align:left}img{max-width:100%}
.side{display:flex;gap:1em}.side>div{flex:1;min-width:0}pre{white-space:pre-wrap;word-break:break-word;
background:#f7f7f7;padding:.6em}.fork{text-decoration:underline}"""


def page(
    found: Measurement, made: Mapping[str, Sequence[dict[str, Any]]], pictures: Mapping[str, bytes], title: str
) -> str:
    """Return the page."""
    shades = "".join(f".h{i}{{background:rgba(213,94,0,{0.07 * i:.2f})}}" for i in range(SHADES))
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none';img-src data:;style-src 'unsafe-inline'\">",
        f"<title>{html.escape(title)}</title><style>{_STYLE}{shades}</style><h1>{html.escape(title)}</h1>",
        *(f"<p><img alt={_quoted(name)} src=data:image/png;base64,{base64.b64encode(data).decode()}>"
          for name, data in pictures.items() if name.endswith(".png")),
        *_tables(made),
        *_texts(found),
        "</html>\n",
    ]  # fmt: skip
    return "\n".join(parts)


def _tables(made: Mapping[str, Sequence[dict[str, Any]]]) -> Iterator[str]:
    for name, rows in made.items():
        columns = list(rows[0])
        yield f"<h2>{html.escape(name.replace('_', ' '))}</h2><table><tr>"
        yield "".join(f"<th>{html.escape(column)}</th>" for column in columns) + "</tr>"
        for row in rows[:ROWS]:
            yield "<tr>" + "".join(f"<td>{html.escape(_cell(row.get(column)))}</td>" for column in columns) + "</tr>"
        more = len(rows) - ROWS
        yield "</table>" + (f"<p>and {more} rows more in tables/{html.escape(name)}.csv</p>" if more > 0 else "")


def _texts(found: Measurement) -> Iterator[str]:
    yield "<h2>texts coloured by entropy</h2><p>The darker, the higher the entropy before the token, on one scale for "
    yield "all models; underlined: at or above the model's own 80th percentile. Point at a token for its numbers.</p>"
    edges = np.quantile(np.concatenate([t["entropy"].to_numpy() for t in found.tokens.values()]),
                        np.linspace(0, 1, SHADES + 1)[1:-1])  # fmt: skip
    forks = {name: float(np.quantile(table["entropy"], 0.8)) for name, table in found.tokens.items()}
    first = found.texts[found.names[0]].head(TEXTS)
    shown = {name: table[table["text"].isin(first["text"])] for name, table in found.tokens.items()}
    for _, text in first.iterrows():
        where = f"{text['task']} {text['doc_id']}" if text["task"] else f"prompt {text['text'] + 1}"
        yield f"<h3>{html.escape(where)}</h3><pre>{html.escape(str(text['prompt'])[-1000:])}</pre><div class=side>"
        for name, table in shown.items():
            yield f"<div><b>{html.escape(name)}</b><pre>"
            yield (
                "".join(_spans(table[table["text"] == text["text"]].head(TOKENS), edges, forks[name])) + "</pre></div>"
            )
        yield "</div>"


def _spans(tokens: pd.DataFrame, edges: Any, fork: float) -> Iterator[str]:
    shades = np.searchsorted(edges, tokens["entropy"].to_numpy(), side="right")
    columns = ("next_token", "entropy", "probability_of_next_token", "rank")
    for shade, (token, entropy, p, rank) in zip(shades, tokens[list(columns)].itertuples(index=False), strict=True):
        classes = f"h{shade}" + (" fork" if entropy >= fork else "")
        about = f"H {entropy:.3f}, p {p:.4f}" + ("" if pd.isna(rank) else f", rank {int(rank)}")
        yield f'<span class="{classes}" title="{about}">{html.escape(str(token))}</span>'


def _cell(value: Any) -> str:
    return number(value) if isinstance(value, float) else str(value)


def _quoted(text: str) -> str:
    return f'"{html.escape(text)}"'
