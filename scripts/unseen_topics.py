"""Score the tiny family on topics that no member trained on and that no setting was chosen on.

The 100 shipped prompts of `constraint_tiny` served to choose settings, so scores on them flatter. This goes through the
training streams again, keeps the topics that never came up, and prints the share of plans solved on some of them:

    python scripts/unseen_topics.py [--n 150]
"""

from __future__ import annotations

import argparse
import itertools
import random
from typing import Any

from lm_eval.api.instance import Instance

from lmx_metrics import structure
from lmx_models.autoregressive import AutoregressiveLM
from lmx_models.diffusion import BlockDiffusionLM, MaskedDiffusionLM
from lmx_models.tiny.data import HELD_OUT_SECTIONS
from lmx_models.tiny.evaluate import DECODING, MAX_SECTIONS_TOKENS
from lmx_models.tiny.spec import FAMILY
from lmx_models.wedlm import WeDLM
from lmx_tasks.constraint_tiny import generate as sections
from lmx_tasks.constraint_tiny.utils import on_topic

CLASSES: dict[str, Any] = {"ar": AutoregressiveLM, "wedlm": WeDLM, "mdlm": MaskedDiffusionLM, "bd3lm": BlockDiffusionLM}
Topic = tuple[str, str, str]


def unseen() -> list[Topic]:
    """Return ``(factor, subject, measure)`` of the topics that are in no training stream and in no shipped prompt."""
    seen = {(i.factor, i.subject, i.measure) for i in sections.generate(*HELD_OUT_SECTIONS)}
    for spec in FAMILY.values():
        for turn in range(spec.rounds):
            seen |= drawn(1000 * turn, -(-spec.steps // 8) * 8 * spec.batch["sections"])
    topics = itertools.product(sections.FACTORS, sections.SUBJECTS, sections.MEASURES)
    return [topic for topic in topics if topic not in seen]


def drawn(seed: int, n: int) -> set[Topic]:
    """Return the topics of the first `n` section examples of a training round."""
    from lmx_models.tiny import data

    topics: set[Topic] = set()
    rng = random.Random(f"sections-{seed}")
    items = sections.stream(rng)
    kept = 0
    while kept < n:
        item = next(items)
        if sections.fingerprint(item) not in data.held_out():
            topics.add((item.factor, item.subject, item.measure))
            data.wrap(rng, item.prompt, item.answer)
            kept += 1
    return topics


def main() -> None:
    """Print a line a member."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=150, help="topics to score on")
    topics = unseen()
    print(f"{len(topics)} topics were never trained on")
    random.Random(1).shuffle(topics)
    topics = topics[: parser.parse_args().n]
    for name, spec in FAMILY.items():
        lm = CLASSES[spec.objective](pretrained=name, device="cpu", batch_size=10, **DECODING[spec.objective])
        requests = []
        for i, topic in enumerate(topics):
            prompt = lm.apply_chat_template([{"role": "user", "content": sections.render(*topic)}])
            how = {"until": [], "max_gen_toks": MAX_SECTIONS_TOKENS, "do_sample": False, "temperature": 0.0}
            requests.append(Instance("generate_until", {}, (prompt, how), 0, ("unseen", i, 1)))
        texts = lm.generate_until(requests, disable_tqdm=True)
        words = [dict(zip(("factor", "subject", "measure"), topic, strict=True)) for topic in topics]
        good = [structure.score(t)["all_strict"] == on_topic(w, t) == 1 for w, t in zip(words, texts, strict=True)]
        print(f"{name}: {sum(good)} of {len(good)} solved ({sum(good) / len(good):.3f})", flush=True)


if __name__ == "__main__":
    main()
