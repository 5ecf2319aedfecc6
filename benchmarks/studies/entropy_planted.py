"""What `lmx entropy` finds where the truth is known, on a real model: four models are made of one, and read.

original; 8-bit: every matrix rounded to 8 bits, row by row (an error of some 1 % of its deviation); noised: normal
noise of 5 % of each matrix's deviation; tuned: some minutes of fine-tuning on made text. Noise is several times the
rounding error and divergence grows with its square, and tuning moves the model to another language: the order of KL is
known.

1. Order: KL(original || each) from the stored hidden states, and in how many of 200 resamplings of the texts it holds.
2. A planted shift: the 8-bit model's entropies, a real reading with real noise, are scaled so that their mean is that
   of the original times 1.03, then 100 times 75 of the texts are drawn and compared by prompt. It is found where the
   row of entropy has p (Holm) < 0.05. With a factor of 1 it is not to be found.
3. A/A, seeds: the original writes each prompt with many seeds; 400 times two of them are drawn for every prompt.
4. A/A, halves: 400 times the texts of one reading are split in halves, compared as right and wrong answers are.
   In 3 and 4 any measure with p (Holm) < 0.05 counts as a finding.

    python benchmarks/studies/entropy_planted.py FOLDER     # killed, it goes on when started again
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

ROOT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.common import machine, model_folder, report  # noqa: E402
from lmx_analysis.entropy import divergence, testing  # noqa: E402
from lmx_analysis.entropy.load import Measurement, load  # noqa: E402
from lmx_models.core.sampling import Sampling  # noqa: E402
from lmx_probes.entropy.generate import Writing  # noqa: E402
from lmx_probes.entropy.inputs import Inputs, Item  # noqa: E402
from lmx_probes.entropy.measurement import Options, entropy  # noqa: E402

NAMES = ("original", "int8", "noised", "tuned")
TEXTS, PROMPT, ANSWER = 100, 100, 220  # texts; characters of prompt and of text
PROMPTS, SEEDS, WRITTEN = 30, 12, 20
STEPS, NOISE = 50, 0.05
DRAWN = 75


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="for models and measurements; some 3 GB")
    parser.add_argument("--model", default="smollm2-135m")
    options = parser.parse_args()
    made = {name: options.folder / "models" / name for name in NAMES[1:]}
    for name, folder in made.items():
        if not (folder / "model.safetensors").is_file():
            print(f"making {name}", file=sys.stderr, flush=True)
            MAKERS[name](options.model, folder)
    texts = passages(TEXTS)
    read = Options((options.model, *map(str, made.values())), NAMES, options.folder / "read")
    entropy(Inputs([Item(prompt, text, "", i) for i, (prompt, text) in enumerate(texts)]), read, "stamp", told)
    items = [Item(texts[i][0], None, "t", i, seed) for i in range(PROMPTS) for seed in range(SEEDS)]
    writing = Writing(WRITTEN, 1, Sampling(temperature=1.0), 32)
    wrote = Options((options.model,), ("original",), options.folder / "written", "generate", writing=writing)
    entropy(Inputs(items), wrote, "stamp", told)
    found = load(options.folder / "read")
    means = {name: testing.text_means(found, name) for name in NAMES}
    written = testing.text_means(load(options.folder / "written"), "original")
    report(
        "entropy_planted",
        {
            "machine": machine(), "model": options.model, "texts": TEXTS,
            "scored_tokens": len(found.tokens["original"]), "order": order(found),
            "shift_of_3_percent_found": shifts(means, 1.03, 100), "shift_of_0_found": shifts(means, 1.0, 400),
            "two_seeds_differ": seeds(written, 400), "halves_differ": halves(means["original"], 400),
        },
    )  # fmt: skip


def told(items: Any, what: str) -> Any:
    """Print what is done, a line a part."""
    for item in items:
        print(what, item, file=sys.stderr, flush=True)
        yield item


def passages(count: int) -> list[tuple[str, str]]:
    """Return pairs of prompt and text, cut from the project's own pages."""
    prose = " ".join(path.read_text("utf-8") for path in sorted((ROOT / "docs").glob("**/*.md")))
    size = PROMPT + ANSWER
    if len(prose) < count * size:
        raise SystemExit(f"the pages hold only {len(prose) // size} texts")
    pieces = [prose[i * size : (i + 1) * size].strip() for i in range(count)]
    return [(piece[:PROMPT].rstrip(), piece[len(piece[:PROMPT].rstrip()) :]) for piece in pieces]


def _altered(name: str, folder: Path, change: Any) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    source = model_folder(name)
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(source)
    change(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def rounded(name: str, folder: Path) -> None:
    """Round every matrix to 8 bits, symmetric, a scale a row."""

    def change(model: Any, _: Any) -> None:
        for weight in (each.data for each in model.parameters() if each.dim() == 2):
            scale = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
            weight.copy_((weight / scale).round() * scale)

    _altered(name, folder, change)


def noised(name: str, folder: Path) -> None:
    """Add normal noise to every matrix."""

    def change(model: Any, _: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        for weight in (each.data for each in model.parameters() if each.dim() == 2):
            weight += torch.randn(weight.shape, generator=generator) * weight.std() * NOISE

    _altered(name, folder, change)


def tuned(name: str, folder: Path) -> None:
    """Fine-tune on made text: entries of a log book in a fixed form."""

    def change(model: Any, tokenizer: Any) -> None:
        draw = np.random.default_rng(1)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
        model.train()
        for step in range(STEPS):
            lines = "".join(
                f"Entry {draw.integers(9999)}: {draw.choice(['north', 'south', 'east', 'west'])} wind, "
                f"{draw.integers(30)} knots; cargo of {draw.choice(['salt', 'tin', 'rope', 'tea'])}, all well.\n"
                for _ in range(24)
            )
            ids = torch.tensor(tokenizer.encode(lines)[:512]).view(1, -1)[:, :384].view(4, 96)
            loss = model(input_ids=ids, labels=ids).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            print(f"step {step}: loss {loss.item():.3f}", file=sys.stderr, flush=True)
        model.eval()

    _altered(name, folder, change)


MAKERS = {"int8": rounded, "noised": noised, "tuned": tuned}


def order(found: Measurement) -> dict[str, Any]:
    """Return KL(original || each), and how often its order holds when texts are drawn again."""
    tables = {name: found.pair("original", name) for name in NAMES[1:]}
    sums = np.stack([table.groupby("text")["kl_ab"].sum().to_numpy() for table in tables.values()])
    sizes = next(iter(tables.values())).groupby("text").size().to_numpy()
    rng, held = np.random.default_rng(1), 0
    for _ in range(200):
        drawn = rng.integers(0, len(sizes), len(sizes))
        kl = sums[:, drawn].sum(1) / sizes[drawn].sum()
        held += bool((np.diff(kl) > 0).all())
    made: dict[str, Any] = {}
    for name, table in tables.items():
        summary = divergence.summary(table, found.documents("original")[table["text"].to_numpy()])
        names = ("kl_ab_mean", "kl_ab_error", "kl_ab_median", "kl_ab_p99", "same_top", "perplexity_ratio")
        made[name] = {each: summary[each] for each in names} | {"kl_ab_min": summary["kl_ab_min"]}
    return {"pairs": made, "held_in_200_resamplings": held}


def between(a: Any, b: Any, seed: int) -> list[dict[str, Any]]:
    """Compare two tables of texts' means by prompt, with the command's own function."""
    return testing.between_models(_measurement({"a": a, "b": b}), resamples=2000, seed=seed)


def _measurement(tables: dict[str, Any], correct: Any = np.nan) -> Measurement:
    """A measurement whose texts have one row each: the mean over their tokens."""
    plan = {"models": [{"name": name} for name in tables], "mode": "generate", "stamp": "s"}
    made = Measurement(Path(), plan)
    count = len(next(iter(tables.values())))
    texts = pd.DataFrame({"text": range(count), "task": "", "doc_id": range(count), "correct": correct})
    rows = {name: table.reset_index(drop=True).rename_axis("text").reset_index() for name, table in tables.items()}
    made.__dict__.update(tokens=rows, texts=dict.fromkeys(tables, texts))
    return made


def shifts(means: dict[str, Any], factor: float, repeats: int) -> str:
    """Plant a shift of the mean into the 8-bit model's entropies and count how often it is found."""
    a, b = means["original"], means["int8"].copy()
    b["entropy"] *= factor * a["entropy"].mean() / b["entropy"].mean()
    rng, found = np.random.default_rng(2), 0
    for i in range(repeats):
        drawn = rng.choice(len(a), DRAWN, replace=False)
        rows = between(a.iloc[drawn], b.iloc[drawn], i)
        found += next(row["p_holm"] for row in rows if row["measure"] == "entropy") < 0.05
    return f"{found} of {repeats}"


def seeds(written: Any, repeats: int) -> str:
    """Compare two seeds of one model, drawn anew for every prompt."""
    rng, found = np.random.default_rng(3), 0
    for i in range(repeats):
        two = (
            np.array([rng.choice(SEEDS, 2, replace=False) for _ in range(PROMPTS)])
            + SEEDS * np.arange(PROMPTS)[:, None]
        )
        rows = between(written.iloc[two[:, 0]], written.iloc[two[:, 1]], i)
        found += min(row["p_holm"] for row in rows) < 0.05
    return f"{found} of {repeats}"


def halves(means: Any, repeats: int) -> str:
    """Compare two halves of the texts of one reading."""
    rng, found = np.random.default_rng(4), 0
    for _ in range(repeats):
        side = rng.permutation(np.arange(len(means)) % 2).astype(float)
        rows = testing.right_and_wrong(_measurement({"a": means}, side))
        found += min(row["p_holm"] for row in rows) < 0.05
    return f"{found} of {repeats}"


if __name__ == "__main__":
    main()
