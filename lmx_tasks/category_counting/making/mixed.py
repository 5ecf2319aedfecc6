"""Sets of which a share is made from categories and words that a language model proposed."""

from __future__ import annotations

import random
from collections.abc import Sequence

from lmx_tasks.category_counting.making.design import Design, cells, share, slots
from lmx_tasks.category_counting.making.matching import Progress
from lmx_tasks.category_counting.making.systematic import Doc, documents, lists_id
from lmx_tasks.category_counting.words import Category, load_categories


def make_mixed(
    n: int,
    seed: int,
    design: Design,
    proposed: Sequence[Category],
    model: str,
    part: float = 1.0,
    lists: str = "full",
    progress: Progress = iter,
) -> list[Doc]:
    """Return `n` documents, of which `part` (0 to 1) are of proposed categories; the whole is flat over cells.

    Args:
        proposed: a model's categories. model: its name, kept in each document's provenance.
        lists: the shipped word lists that the others are of.

    Raises:
        UserError: the design cannot be filled from these words.
    """
    rng = random.Random(seed)
    by_list, by_model = share(cells(rng, n, design), part)
    listed = load_categories(lists)
    about = {"seed": seed, "words": lists_id(listed), "model": ""}
    docs = documents(rng, slots(rng, by_list, design, len(listed)), listed, lists, "systematic", about, progress)
    about = {"seed": seed, "words": lists_id(proposed), "model": model}
    docs += documents(rng, slots(rng, by_model, design, len(proposed)), proposed, "", "model", about, progress)
    seen: dict[str, Doc] = {}
    for doc in docs:  # a proposed category may be one of the lists too, and its question the same
        seen.setdefault(doc["prompt"], doc)
    made = list(seen.values())
    rng.shuffle(made)
    return made
