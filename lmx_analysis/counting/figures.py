"""Pictures of a counting run; PNG and SVG. Systematic and model-made questions are drawn apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lmx_analysis.counting.split import KINDS
from lmx_analysis.figures import COLOURS, new_figure, rendered

Rows = Sequence[Mapping[str, Any]]
BASELINES = {"majority": ":", "from_length": "--", "always_zero": "-."}
LABELS = {"majority": "majority", "from_length": "best guess from the length", "always_zero": "always zero"}


def all_figures(made: Mapping[str, Rows]) -> dict[str, bytes]:
    """Return every picture for which there is data, by file name."""
    files: dict[str, bytes] = {}
    for task in dict.fromkeys(row["task"] for row in made.get("overall", ())):
        own = {name: [row for row in rows if row["task"] == task] for name, rows in made.items()}
        files |= by_category(task, own["by_category"])
        files |= by_number(task, own["by_count"], "count", "right count")
        files |= by_number(task, own["by_length"], "length", "words in the list")
        files |= responses(task, own["responses"])
        files |= confusion(task, own["confusion"])
        files |= errors(task, own["errors"])
    for task in dict.fromkeys(row["task"] for row in made.get("membership", ())):
        files |= membership(task, [row for row in made["membership_by_category"] if row["task"] == task])
    if rows := made.get("split_kinds"):
        files |= split(rows)
    return files


def _items(rows: Rows) -> list[str]:
    """Return which questions are drawn: the sources apart where there are several, else all."""
    names = list(dict.fromkeys(str(row["items"]) for row in rows))
    return names[1:] if len(names) > 1 else names


def by_category(task: str, rows: Rows) -> dict[str, bytes]:
    """Draw accuracy by category, the best category first, with the best guess from the length beside it."""
    items = _items(rows)
    order = [
        row["category"] for row in sorted(rows, key=lambda row: row["accuracy"]) if row["items"] == rows[0]["items"]
    ]
    figure = new_figure(6.5, 1.2 + 0.24 * len(order))
    axes = figure.subplots()
    y = np.arange(len(order))
    for i, name in enumerate(items):
        own = {row["category"]: row for row in rows if row["items"] == name}
        shift = 0.5 * (i - (len(items) - 1) / 2) / len(items)
        at = [k + shift for k in y if order[k] in own]
        drawn = [own[category] for category in order if category in own]
        _points(axes, [row["accuracy"] for row in drawn], at, drawn, COLOURS[i], name, flat=True)
        if drawn and drawn[0].get("from_length") is not None:
            axes.plot([row["from_length"] for row in drawn], at, "|", color="#555555", markersize=8,
                      label=LABELS["from_length"] if i == 0 else None)  # fmt: skip
    axes.set_yticks(y, order, fontsize=8)
    axes.set(xlim=(-0.02, 1.02), xlabel="accuracy (95 % intervals)", title=task)
    axes.legend(fontsize=7)
    return rendered(figure, f"{task}_by_category")


def _points(axes: Any, x: Sequence[float], y: Sequence[float], rows: Rows, colour: str, label: str, flat: bool) -> None:
    values = x if flat else y
    low = [max(0.0, value - row["low"]) for value, row in zip(values, rows, strict=True)]
    high = [max(0.0, row["high"] - value) for value, row in zip(values, rows, strict=True)]
    bars = {"xerr": [low, high]} if flat else {"yerr": [low, high]}
    axes.errorbar(x, y, fmt="o", color=colour, markersize=4, linewidth=1, label=label, **bars)


def by_number(task: str, rows: Rows, column: str, label: str) -> dict[str, bytes]:
    """Draw accuracy by right count or length with the baselines, and the mean answer."""
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    items = _items(rows)
    for i, name in enumerate(items):
        own = [row for row in rows if row["items"] == name]
        x = [row[column] for row in own]
        _points(left, x, [row["accuracy"] for row in own], own, COLOURS[i], name, flat=False)
        said = [np.nan if row["mean_answer"] is None else row["mean_answer"] for row in own]
        right.plot(x, said, "o-", color=COLOURS[i], markersize=4, label=name)
    first = [row for row in rows if row["items"] == rows[0]["items"]]
    x = [row[column] for row in first]
    for name, style in BASELINES.items():
        if first[0].get(name) is not None:
            left.plot(x, [row[name] for row in first], style, color="#555555", linewidth=1, label=LABELS[name])
    if column == "count":
        right.plot(x, x, ":", color="#555555", linewidth=1, label="right")
    left.set(ylim=(-0.02, 1.02), xlabel=label, ylabel="accuracy (95 % intervals)", title=task)
    right.set(xlabel=label, ylabel="mean answer (words)")
    for axes in (left, right):
        axes.legend(fontsize=7)
    return rendered(figure, f"{task}_by_{column}")


def responses(task: str, rows: Rows) -> dict[str, bytes]:
    """Draw how often each number was answered, beside how often it was right to."""
    items = _items(rows)
    names = sorted({row["answer"] for row in rows if row["answer"] != "unparsed"})
    shown = [*names[:30], "unparsed"]  # what is above stands in the table
    figure = new_figure(max(6.0, 1 + 0.3 * len(shown)), 3.4)
    axes = figure.subplots()
    x = np.arange(len(shown))
    width = 0.8 / (len(items) + 1)
    for i, name in enumerate(items):
        share = {row["answer"]: row["share"] for row in rows if row["items"] == name}
        axes.bar(
            x + i * width, [share.get(each, 0) for each in shown], width, color=COLOURS[i], label=f"answers, {name}"
        )
    gold = {row["answer"]: row["right_share"] for row in rows if row["items"] == rows[0]["items"]}
    axes.bar(
        x + len(items) * width, [gold.get(each, 0) for each in shown], width, color="#bbbbbb", label="right answers"
    )
    axes.set_xticks(x + width * len(items) / 2, list(map(str, shown)), fontsize=8)
    axes.set(xlabel="answer", ylabel="share of questions", title=task)
    axes.legend(fontsize=7)
    return rendered(figure, f"{task}_responses")


def confusion(task: str, rows: Rows) -> dict[str, bytes]:
    """Draw which answer each right count got; the diagonal is right."""
    items = _items(rows)
    golds = sorted({row["count"] for row in rows})
    said = sorted({row["answer"] for row in rows if row["answer"] != "unparsed"})[:30]
    shown = [*said, "unparsed"]
    figure = new_figure(1.5 + 0.35 * len(shown) * len(items), 1.6 + 0.3 * len(golds))
    for i, axes in enumerate(np.atleast_1d(figure.subplots(1, len(items)))):
        share = np.zeros((len(golds), len(shown)))
        for row in rows:
            if row["items"] == items[i] and row["answer"] in shown:
                share[golds.index(row["count"]), shown.index(row["answer"])] = row["share"]
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for j, k in np.argwhere(share > 0):
            axes.text(k, j, f"{share[j, k]:.2f}".lstrip("0"), ha="center", va="center", fontsize=6,
                      color="white" if share[j, k] > 0.6 else "black")  # fmt: skip
        axes.set_xticks(range(len(shown)), list(map(str, shown)), fontsize=7, rotation=90)
        axes.set_yticks(range(len(golds)), list(map(str, golds)), fontsize=7)
        axes.set(xlabel="answer", ylabel="right count", title=f"{task}, {items[i]}" if len(items) > 1 else task)
    return rendered(figure, f"{task}_confusion")


def errors(task: str, rows: Rows) -> dict[str, bytes]:
    """Draw the share of each kind of answer."""
    return _bars(f"{task}_errors", rows, "pattern", list(dict.fromkeys(row["pattern"] for row in rows)), task)


def split(rows: Rows) -> dict[str, bytes]:
    """Draw the share of each kind of answer when it is split into membership, counting and parsing."""
    tasks = list(dict.fromkeys(row["task"] for row in rows))
    files: dict[str, bytes] = {}
    for task in tasks:
        own = [row for row in rows if row["task"] == task]
        name = "split" if len(tasks) == 1 else f"{task}_split"
        files |= _bars(name, own, "kind", list(KINDS), f"{task}: where its errors come from")
    return files


def _bars(name: str, rows: Rows, column: str, order: Sequence[str], title: str) -> dict[str, bytes]:
    items = _items(rows)
    figure = new_figure(6.5, 1.0 + 0.3 * len(order) * max(1, len(items) * 0.7))
    axes = figure.subplots()
    y, height = np.arange(len(order))[::-1], 0.8 / len(items)
    for i, chosen in enumerate(items):
        share = {row[column]: row["share"] for row in rows if row["items"] == chosen}
        values = [share.get(each, 0) for each in order]
        drawn = axes.barh(y - i * height, values, height, color=COLOURS[i], label=chosen)
        axes.bar_label(drawn, [f"{value:.1%}" for value in values], fontsize=7, padding=2)
    axes.set_yticks(y - height * (len(items) - 1) / 2, order, fontsize=8)
    axes.set(xlim=(0, 1.12), xlabel="share of questions", title=title)
    if len(items) > 1:
        axes.legend(fontsize=7)
    return rendered(figure, name)


def membership(task: str, rows: Rows) -> dict[str, bytes]:
    """Draw by category how many members and how many others are judged rightly, and how often yes is said."""
    own = sorted((row for row in rows if row["items"] == rows[0]["items"]), key=lambda row: row["accuracy"])
    figure = new_figure(6.5, 1.2 + 0.24 * len(own))
    axes = figure.subplots()
    y = np.arange(len(own))
    for i, (column, label, sign) in enumerate(
        (("accuracy_members", "members judged rightly", "o"), ("accuracy_others", "others judged rightly", "s"),
         ("says_yes", "says yes", "|"))
    ):  # fmt: skip
        values = [np.nan if row[column] is None else row[column] for row in own]
        axes.plot(values, y, sign, color=COLOURS[i], markersize=5, label=label)
    axes.set_yticks(y, [row["category"] for row in own], fontsize=8)
    axes.set(xlim=(-0.02, 1.02), xlabel="share of questions", title=task)
    axes.legend(fontsize=7)
    return rendered(figure, f"{task}_by_category")
