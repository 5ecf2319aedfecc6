"""What `lmx report` shows of a measurement: a conclusion, the tables that a reader looks at first, all pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from lmx_analysis.entropy.load import Measurement
from lmx_analysis.entropy.testing import why_not_split
from lmx_analysis.sections import Picture, Section, Table, cells

CAPTIONS = {
    "distributions": "Entropy, and probability of the written token: the share of tokens, a line a model.",
    "by_position": "Mean entropy by position in the text, with 95 % intervals over documents.",
    "right_and_wrong": "Mean entropy of each text, right answers and wrong ones.",
    "deciles": "How each model's tokens spread over the deciles of all models together.",
    "forking_overlap": "Forking tokens that two models share, and what chance would give.",
    "by_token": "Tokens whose entropy differs most between the first two models.",
    "tokens": "Tokens before which each model is least certain, with 95 % intervals over documents.",
}
COLUMNS = {
    "overview": ("model", "texts", "tokens", "mean_entropy", "low", "high", "mean_probability", "perplexity",
                 "bits_per_byte"),
    "divergence": ("a", "b", "kl_ab_mean", "kl_ab_error", "kl_ab_median", "kl_ab_p99", "kl_ab_p99_9", "kl_ab_max",
                   "kl_ba_mean", "js_mean", "delta_p_rms", "same_top", "perplexity_ratio", "perplexity_ratio_error"),
    "tests_between_models": ("a", "b", "measure", "texts", "difference", "low", "high", "p", "p_holm"),
    "tests_right_and_wrong": ("model", "measure", "n_right", "n_wrong", "difference", "low", "high", "p", "p_holm"),
    "tests_by_token": ("a", "b", "token", "tokens", "documents", "difference", "low", "high", "p", "p_bh"),
    "tokens": ("model", "token", "tokens", "documents", "mean_entropy", "low", "high", "mean_probability"),
    "deciles": ("model", "cut_points", "bin", "low", "high", "tokens", "share", "mean_entropy"),
    "forking": ("model", "threshold", "tokens", "share", "frequent"),
    "forking_overlap": ("a", "b", "overlap", "overlap_by_chance", "jaccard", "jaccard_by_chance"),
    "by_position": ("model", "from", "tokens", "mean_entropy", "low", "high"),
    "by_source": ("model", "source", "tokens", "mean_entropy", "low", "high"),
    "by_fill_step": ("model", "fill_step", "tokens", "mean_entropy", "low", "high"),
    "takeovers": ("model", "source", "where", "tokens", "mean_entropy", "low", "high"),
}  # fmt: skip
NOTES = {
    "overview": "Nats; intervals over documents. Bits per byte compares models of other vocabularies too.",
    "divergence": "b against a on the same tokens, nats; errors over documents: tokens of a text are dependent.",
    "tests_between_models": "Paired by prompt, b less a; p (Holm) is over all rows.",
    "tests_by_token": "The rows of smallest p; corrected over all tokens (Benjamini and Hochberg).",
    "tokens": "Tokens met 20 times in 10 documents: those of highest mean entropy before them.",
    "forking_overlap": "Forking: at or above the model's own 80th percentile. Beside each overlap what chance gives.",
}
ROWS = 60


def section(
    found: Measurement, made: Mapping[str, Sequence[dict[str, Any]]], pictures: Iterable[str], experiment: str
) -> Section:
    """Return the section of a measurement; pictures: the names of the files in its folder ``figures``."""
    shown = {
        name: [[row.get(column) for column in columns] for row in made[name][:ROWS]]
        for name, columns in COLUMNS.items()
        if made.get(name)
    }
    tables = [
        Table(title=name.replace("_", " "), columns=list(COLUMNS[name]), rows=cells(rows), note=_note(name, made[name]))
        for name, rows in shown.items()
    ]
    names = [name.removesuffix(".png") for name in pictures if name.endswith(".png")]
    return Section(
        analysis="entropy",
        title=f"Entropy of {', '.join(found.names)} ({experiment})",
        text=list(conclusions(found, made)),
        tables=tables,
        pictures=[Picture(file=f"figures/{name}.png", caption=CAPTIONS.get(name, name)) for name in names],
        pages=["report.html"],
    )


def conclusions(found: Measurement, made: Mapping[str, Sequence[dict[str, Any]]]) -> Iterable[str]:
    """Yield sentences: what was read, how far models are apart, and which differences of entropy are beyond chance."""
    how = "the same texts" if found.shared else "their own texts"
    for row in made["overview"]:
        yield (
            f"{row['model']}: mean entropy {row['mean_entropy']:.4f} nats over {row['tokens']:,} tokens of "
            f"{row['texts']:,} texts. The models read {how}."
        )
    for row in made.get("divergence", ()):
        yield (
            f"KL({row['a']} || {row['b']}) is {row['kl_ab_mean']:.4f} ± {row['kl_ab_error']:.4f} nats a token; the "
            f"likeliest token is the same at {row['same_top']:.1%}."
        )
    if why := why_not_split(found):
        yield f"{why[0].upper()}{why[1:]}."
    tested = [row for row in made.get("tests_between_models", ()) if row["measure"] == "entropy"]
    for row in tested:
        verdict = "differs" if row["p_holm"] < 0.05 else "does not differ beyond chance"
        yield (
            f"Mean entropy of {row['b']} {verdict} from that of {row['a']}: {row['difference']:+.4f} nats "
            f"[{row['low']:+.4f}, {row['high']:+.4f}], p (Holm) {row['p_holm']:.4f}."
        )


def _note(name: str, rows: Sequence[Any]) -> str:
    more = f" {len(rows) - ROWS} more rows are in tables/{name}.csv." if len(rows) > ROWS else ""
    return NOTES.get(name, "") + more
