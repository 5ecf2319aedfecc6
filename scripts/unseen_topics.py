"""Score the tiny family on topics that no member was trained on: the shares of plans solved, with standard errors.

The 100 shipped prompts of `constraint_tiny` are few, and some settings were chosen on them. This goes through the
training streams again and keeps the topics that never came up.

    python scripts/unseen_topics.py
    python scripts/unseen_topics.py --only tiny-mdlm --set threshold=0.9
"""

from __future__ import annotations

import argparse
import itertools
import random
from typing import Any

import yaml
from lm_eval.api.instance import Instance

from lmx_metrics import structure
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.methods.bd3lm import BlockDiffusionLM
from lmx_models.methods.mdlm import MaskedDiffusionLM
from lmx_models.methods.wedlm import WeDLM
from lmx_tasks.constraint_tiny import generate as sections
from lmx_tasks.constraint_tiny.utils import on_topic
from training.tiny import data
from training.tiny.evaluate import DECODING, MAX_SECTIONS_TOKENS
from training.tiny.spec import FAMILY

CLASSES: dict[str, Any] = {"ar": AutoregressiveLM, "wedlm": WeDLM, "mdlm": MaskedDiffusionLM, "bd3lm": BlockDiffusionLM}
Topic = tuple[str, str, str]


def unseen() -> list[Topic]:
    """Return ``(factor, subject, measure)`` of the topics that are in no training stream and in no shipped prompt."""
    seen = {(i.factor, i.subject, i.measure) for i in sections.generate(*data.HELD_OUT_SECTIONS)}
    for spec in FAMILY.values():
        seen |= drawn(0, -(-spec.steps // 8) * 8 * spec.batch["sections"])
    topics = itertools.product(sections.FACTORS, sections.SUBJECTS, sections.MEASURES)
    return [topic for topic in topics if topic not in seen]


def drawn(seed: int, n: int) -> set[Topic]:
    """Return the topics of the first `n` section examples of a training round."""
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


def answers(lm: Any, topics: list[Topic], settings: dict[str, Any]) -> list[Any]:
    """Return the greedy answer to each topic's prompt in the chat format, with its trace."""
    requests = []
    for i, topic in enumerate(topics):
        prompt = lm.apply_chat_template([{"role": "user", "content": sections.render(*topic)}])
        how = {"until": [], "max_gen_toks": MAX_SECTIONS_TOKENS, "do_sample": False, "temperature": 0.0, **settings}
        requests.append(Instance("generate_until", {}, (prompt, how), 0, ("unseen", i, 1)))
    return list(lm.generate_until(requests, disable_tqdm=True))


def solved(topic: Topic, text: str) -> bool:
    """Return whether a text follows the layout and uses all three words of its topic."""
    words = dict(zip(("factor", "subject", "measure"), topic, strict=True))
    return bool(structure.score(text)["all_strict"] == on_topic(words, text) == 1)


def setting(text: str) -> tuple[str, Any]:
    """Return the name and value of a ``NAME=VALUE``."""
    name, value = text.split("=", 1)
    return name, yaml.safe_load(value)


def main() -> None:
    """Print a row a member."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=sorted(FAMILY), action="append", help="score only this member")
    parser.add_argument("--n", type=int, default=500, help="topics to score on")
    parser.add_argument("--set", type=setting, action="append", default=[], help="another decoding setting, NAME=VALUE")
    args = parser.parse_args()
    topics = unseen()
    random.Random(1).shuffle(topics)
    part = topics[: args.n]
    print(f"{len(topics)} topics were never trained on; solved of {len(part)} of them (± one standard error):\n")
    print("| model | decoding | solved | tokens per forward |\n|---|---|---|---|", flush=True)
    for name in args.only or FAMILY:
        how = {**DECODING[FAMILY[name].objective], **dict(args.set)}
        lm = CLASSES[FAMILY[name].objective](pretrained=name, device="cpu", batch_size=10)
        texts = answers(lm, part, how)
        share = sum(map(solved, part, texts)) / len(part)
        error = (share * (1 - share) / len(part)) ** 0.5
        kept, forwards = (sum(getattr(text.trace, what) for text in texts) for what in ("kept", "forwards"))
        settings = ", ".join(f"{key}={value}" for key, value in how.items())
        decoding = f"{FAMILY[name].objective} {settings}".strip()
        print(f"| `{name}` | {decoding} | {share:.3f} ± {error:.3f} | {kept / forwards:.2f} |", flush=True)


if __name__ == "__main__":
    main()
