"""Pictures of a measurement; PNG and SVG. Colours: see `lmx_analysis.figures`."""

from __future__ import annotations

from typing import Any

import numpy as np

from lmx_analysis.entropy.load import Measurement
from lmx_analysis.entropy.testing import right_answers
from lmx_analysis.figures import COLOURS, new_figure, rendered

Rows = list[dict[str, Any]]
TOKENS = 15


def all_figures(found: Measurement, made: dict[str, Rows]) -> dict[str, bytes]:
    """Return every picture for which there is data, by file name."""
    files = (
        distributions(found) | positions(found.names, made["by_position"]) | decile_table(found.names, made["deciles"])
    )
    files |= right_and_wrong(found)
    if rows := made.get("forking_overlap"):
        files |= forking_overlap(rows)
    if rows := made.get("tokens"):
        files |= tokens(found.names, rows)
    if rows := made.get("tests_by_token"):
        files |= token_table(rows)
    return files


def distributions(found: Measurement) -> dict[str, bytes]:
    """Draw the distribution of entropy and of the probability of the written token, a line a model."""
    figure = new_figure(9, 3.6)
    for axes, column, label in zip(
        figure.subplots(1, 2),
        ("entropy", "probability_of_next_token"),
        ("entropy (nats)", "p(next token)"),
        strict=True,
    ):
        top = max(float(table[column].max()) for table in found.tokens.values()) or 1.0
        edges = np.linspace(0, top, 41)
        for i, (name, table) in enumerate(found.tokens.items()):
            share = np.histogram(table[column], edges)[0] / len(table)
            axes.stairs(share, edges, color=COLOURS[i % len(COLOURS)], label=name)
        axes.set(xlabel=label, ylabel="share of tokens", yscale="log")
        axes.legend(fontsize=8)
    return rendered(figure, "distributions")


def positions(names: list[str], rows: Rows) -> dict[str, bytes]:
    """Draw mean entropy by position in the text, with 95 % intervals."""
    figure = new_figure(6, 3.6)
    axes = figure.subplots()
    for i, name in enumerate(names):
        own = [row for row in rows if row["model"] == name]
        x, y = [row["from"] + 1 for row in own], [row["mean_entropy"] for row in own]
        axes.plot(x, y, "o-", color=COLOURS[i % len(COLOURS)], label=name, markersize=3)
        axes.fill_between(
            x, [row["low"] for row in own], [row["high"] for row in own], alpha=0.15, color=COLOURS[i % len(COLOURS)]
        )
    axes.set(xlabel="position in the text (bins that double)", ylabel="mean entropy (nats)", xscale="log")
    axes.legend(fontsize=8)
    return rendered(figure, "by_position")


def right_and_wrong(found: Measurement) -> dict[str, bytes]:
    """Draw each text's mean entropy for right and wrong answers; nothing where no text is judged 0 or 1."""
    labels, boxes, colours = [], [], []
    for i, (name, table) in enumerate(found.tokens.items()):
        right = right_answers(found, name)
        if right is None:
            continue
        means = table.groupby("text")["entropy"].mean()
        for side, texts in (("right", right.index[right]), ("wrong", right.index[~right])):
            own = means[means.index.intersection(texts)]
            if len(own):
                labels.append(f"{name}\n{side} ({len(own)})")
                boxes.append(own.to_numpy())
                colours.append(COLOURS[i % len(COLOURS)])
    if not boxes:
        return {}
    figure = new_figure(max(6.0, 1.1 * len(labels)), 3.6)
    axes = figure.subplots()
    drawn = axes.boxplot(boxes, patch_artist=True)
    for box, colour in zip(drawn["boxes"], colours, strict=True):
        box.set(facecolor=colour, alpha=0.4)
    axes.set_xticks(range(1, len(labels) + 1), labels, fontsize=7)
    axes.set(ylabel="mean entropy of a text (nats)")
    return rendered(figure, "right_and_wrong")


def tokens(names: list[str], rows: Rows) -> dict[str, bytes]:
    """Draw the tokens before which each model is least certain, with 95 % intervals over documents."""
    sides = [[row for row in rows if row["model"] == name][:TOKENS] for name in names]
    figure = new_figure(max(4.0, 3.2 * len(names)), 1 + 0.28 * max(map(len, sides)))
    places = np.atleast_1d(figure.subplots(1, len(names)))
    for i, (axes, name, own) in enumerate(zip(places, names, sides, strict=True)):
        y, means = np.arange(len(own))[::-1], np.array([row["mean_entropy"] for row in own])
        ends = np.array([[row["low"], row["high"]] for row in own]).reshape(-1, 2)
        axes.errorbar(
            means, y, xerr=np.nan_to_num(np.abs(ends.T - means)), fmt="o", color=COLOURS[i % len(COLOURS)], markersize=3
        )
        axes.set_yticks(y, [_token(row["token"]) for row in own], fontsize=7)
        axes.set(title=name, xlabel="mean entropy (nats)")
    return rendered(figure, "tokens")


def decile_table(names: list[str], rows: Rows) -> dict[str, bytes]:
    """Draw how each model's tokens spread over the deciles of all models together."""
    common = [row for row in rows if row["cut_points"] == "common"]
    bins = max(row["bin"] for row in common)
    shares = np.zeros((len(names), bins))
    for row in common:
        shares[names.index(row["model"]), row["bin"] - 1] = row["share"]
    figure = new_figure(8, 1.2 + 0.5 * len(names))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", aspect="auto", vmin=0)
    for i, j in np.ndindex(*shares.shape):
        dark = shares[i, j] > 0.6 * shares.max()
        axes.text(j, i, f"{shares[i, j]:.1%}", ha="center", va="center", fontsize=8, color="white" if dark else "black")
    axes.set_xticks(range(bins), [str(j + 1) for j in range(bins)])
    axes.set_yticks(range(len(names)), names)
    axes.set(xlabel="decile of entropy over all models' tokens", title="share of each model's tokens")
    return rendered(figure, "deciles")


def forking_overlap(rows: Rows) -> dict[str, bytes]:
    """Draw the overlap of forking tokens of each pair, and what it would be by chance."""
    figure = new_figure(1.5 + 5, 1.2 + 0.4 * len(rows))
    axes = figure.subplots()
    y = np.arange(len(rows))
    axes.barh(y, [row["jaccard"] for row in rows], color=COLOURS[0], label="Jaccard")
    axes.plot([row["jaccard_by_chance"] for row in rows], y, "|", color=COLOURS[1], markersize=16, label="by chance")
    axes.set_yticks(y, [f"{row['a']}, {row['b']}" for row in rows], fontsize=8)
    axes.set(xlim=(0, 1), xlabel="forking tokens shared")
    axes.legend(fontsize=8)
    return rendered(figure, "forking_overlap")


def token_table(rows: Rows) -> dict[str, bytes]:
    """Draw the tokens whose entropy differs most between the first two models, by p."""
    a, b = rows[0]["a"], rows[0]["b"]
    own = [row for row in rows if (row["a"], row["b"]) == (a, b)][:TOKENS]
    figure = new_figure(6, 1 + 0.28 * len(own))
    axes = figure.subplots()
    y = np.arange(len(own))[::-1]
    axes.barh(y, [row["difference"] for row in own], color=[COLOURS[1] if r["p_bh"] < 0.05 else "#bbbbbb" for r in own])
    axes.set_yticks(y, [_token(row["token"]) for row in own], fontsize=8)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel=f"mean entropy, {b} less {a} (nats); coloured: p < 0.05 (BH)")
    return rendered(figure, "by_token")


def _token(token: str) -> str:
    return _printable(repr(token)).replace("$", r"\$")


def _printable(text: str) -> str:
    """Return a text in which the letters that the picture's font lacks are escapes."""
    return "".join(c if ord(c) < 0x250 else c.encode("unicode_escape").decode() for c in text)
