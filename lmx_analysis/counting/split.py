"""Splits the error of counting into membership, counting and parsing.

Of each list, g is the right count, a the model's answer to "how many of these words are fruits?", and m the number of
its words of which the same model, asked one by one, says that they are fruits: the count that it would give if it
counted its own judgements without error. Then

    a - g  =  (m - g)      +  (a - m)
    error     membership      counting

holds list by list, and so for means (bias); for squares, E(a-g)^2 = E(m-g)^2 + E(a-m)^2 + 2 E(m-g)(a-m). Each answer is
of one kind: unparsed; right; and of the wrong ones `membership` where a = m, `counting` where m = g, `both` else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from lmx_analysis.counting.load import COUNT, Answers, Counted
from lmx_analysis.stats import mean_t, wilson

Rows = list[dict[str, Any]]
KINDS = ("right", "right, errors cancel", "membership", "counting", "both", "parsing", "not judged")
"""`not judged`: a wrong answer of whose list some word has no yes or no, so that m is not known."""


def joined(counting: Answers, membership: Answers) -> pd.DataFrame:
    """Return the counting questions with `own` (m; NaN where a word has no answer) and the words' errors.

    Columns beside those of the table: `own`, `asked` (whether all words were asked about), `kind` (of `KINDS`; "" for
    lists not asked about).
    """
    words = membership.table
    yes = dict(zip(zip(words["category"], words["word"], strict=True), words["yes"], strict=True))
    table = counting.table.copy()
    own, asked = [], []
    for category, listed in zip(table["category"], table["words"], strict=True):
        said = [yes.get((category, word)) for word in listed]
        asked.append(bool(said) and None not in said)
        own.append(float(np.sum([value for value in said if value is not None])) if asked[-1] else np.nan)
    table["own"], table["asked"] = own, asked
    table["kind"] = _kinds(table)
    return table


def _kinds(table: pd.DataFrame) -> pd.Series:
    a, g, m = table["answer"], table["gold"], table["own"]
    kind = pd.Series("both", index=table.index)
    kind[m == g] = "counting"
    kind[(a == m) & (a != g)] = "membership"
    kind[m.isna()] = "not judged"
    kind[a == g] = "right"
    kind[(a == g) & m.notna() & (m != g)] = "right, errors cancel"
    kind[a.isna()] = "parsing"
    kind[~table["asked"]] = ""
    return kind


def tables(found: Counted) -> dict[str, Rows]:
    """Return `split` (one row a counting task), `split_kinds` and `split_by_category`; empty without membership.

    The membership task must have asked about the words of the counting task's lists.
    """
    made: dict[str, Rows] = {"split": [], "split_kinds": [], "split_by_category": []}
    for membership in found.of("membership"):
        for counting in found.of(COUNT):
            table = joined(counting, membership)
            table = table[table["asked"]]
            if table.empty:
                continue
            controls = {name: _control(found, name, set(table["id"])) for name in ("all", "nonce")}
            for name, part in _selections(table):
                head = {"task": counting.task, "items": name}
                made["split"].append(head | summary(part, membership.table) | (controls if name == "all" else {}))
                made["split_kinds"] += [head | row for row in kinds(part)]
            made["split_by_category"] += [
                {"task": counting.task, "category": value} | summary(part, membership.table)
                for value, part in table.groupby("category", sort=True)
            ]
    return {name: rows for name, rows in made.items() if rows}


def _selections(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    sources = sorted(table["source"].unique())
    apart = [(name, table[table["source"] == name]) for name in sources] if len(sources) > 1 else []
    return [("all", table), *apart]


def _control(found: Counted, variant: str, ids: set[str]) -> float | None:
    """Return the share of wrong answers among the parsed ones of a variant, on the same lists."""
    parts = [each.table[each.table["id"].isin(ids)] for each in found.of(variant)]
    parsed = [part[part["answer"].notna()] for part in parts]
    together = pd.concat(parsed) if parsed else pd.DataFrame()
    return None if together.empty else float(1 - together["right"].mean())


def kinds(table: pd.DataFrame) -> Rows:
    """Return the share of each kind of answer, with Wilson's 95 % interval; the shares sum to 1."""
    rows: Rows = []
    for kind in KINDS:
        times = int((table["kind"] == kind).sum())
        interval = wilson(times, len(table))
        rows.append(
            {"kind": kind, "times": times, "share": times / len(table), "low": interval.low, "high": interval.high}
        )
    return rows


def summary(table: pd.DataFrame, words: pd.DataFrame) -> dict[str, Any]:
    """Return the rates of the three kinds of error and what they do to the count.

    Args:
        table: lists with `own`. words: the membership answers; those about words of these lists are used.

    `membership_errors`, `missed_members`, `false_members`: shares of words that are judged wrongly, over all, the
    members and the others, unparsed ones left out. `counting_errors`: share of parsed answers that are not m.
    `parsing_errors`: share of answers that are unparsed. `count_error_membership`, `count_error_counting`: means of
    m - g and a - m, which sum to `count_error`; `squares_*`: means of their squares, and twice that of their product.
    `expected_accuracy`: what three independent errors of these rates would leave,
    (1 - parsing)(1 - counting) P(m = g).
    """
    pairs = {(c, word) for c, listed in zip(table["category"], table["words"], strict=True) for word in listed}
    used = words[[key in pairs for key in zip(words["category"], words["word"], strict=True)]]
    judged = used[used["yes"].notna()]
    wrong = ~judged["right"].astype(bool)
    member = judged["member"].astype(bool)
    known = table[table["answer"].notna() & table["own"].notna()]
    apart = _apart(known)
    lists = table[table["own"].notna()]
    same = float((lists["own"] == lists["gold"]).mean()) if len(lists) else None
    counting = float((known["answer"] != known["own"]).mean()) if len(known) else None
    parsing = float(table["answer"].isna().mean())
    expected = None if same is None or counting is None else (1 - parsing) * (1 - counting) * same
    return {
        "lists": len(table),
        "accuracy": float(table["right"].mean()),
        "words": len(used),
        "words_unparsed": float(used["yes"].isna().mean()) if len(used) else None,
        "membership_errors": _share(wrong),
        "missed_members": _share(wrong[member]),
        "false_members": _share(wrong[~member]),
        "lists_misjudged": None if same is None else 1 - same,
        "counting_errors": counting,
        "parsing_errors": parsing,
        "expected_accuracy": expected,
        **apart,
    }


def _apart(known: pd.DataFrame) -> dict[str, Any]:
    """Return the means of m - g and a - m and of their squares, with the t intervals of the means."""
    if known.empty:
        return {}
    of_words, of_count = known["own"] - known["gold"], known["answer"] - known["own"]
    made: dict[str, Any] = {"count_error": float((known["answer"] - known["gold"]).mean())}
    parts: Mapping[str, pd.Series] = {"membership": of_words, "counting": of_count}
    for name, values in parts.items():
        interval = mean_t(values.to_numpy(dtype=float))
        made |= {
            f"count_error_{name}": float(values.mean()),
            f"count_error_{name}_low": interval.low,
            f"count_error_{name}_high": interval.high,
        }
    made |= {f"squares_{name}": float((values**2).mean()) for name, values in parts.items()}
    return made | {"squares_both": 2 * float((of_words * of_count).mean())}


def _share(wrong: pd.Series) -> float | None:
    return float(wrong.mean()) if len(wrong) else None
