"""Hashes of what a study wrote and of likelihoods, to hold one version of lmx against another.

    python scripts/same_results.py texts results/tiny_study     # after `lmx sweep configs/tiny_study.yaml`
    python scripts/same_results.py likelihoods                  # of the shipped tiny models, every kind there is

Run each with both versions (PYTHONPATH=CHECKOUT) and compare the lines.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

MODELS: list[tuple[str, dict[str, Any]]] = [
    ("ar", {"pretrained": "tiny-oracle"}),
    ("guided", {"pretrained": "tiny-base", "oracle": "tiny-oracle"}),
    ("iterative", {"pretrained": "tiny-base"}),
    ("wedlm", {"pretrained": "tiny-wedlm"}),
    ("wedlm", {"pretrained": "tiny-wedlm", "ll": "mask"}),
    ("wedlm", {"pretrained": "tiny-wedlm", "ll": "mc", "mc_samples": 8}),
    ("mdlm", {"pretrained": "tiny-mdlm", "mc_samples": 8}),
    ("bd3lm", {"pretrained": "tiny-bd3lm", "mc_samples": 8}),
]
PAIRS = [("The kitchen needs", " rules"), ("Goal:", " a plan of three parts"), ("Once", " upon a time there was")]


def digest(lines: list[str]) -> str:
    """Return a hash of lines in any order."""
    return hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()[:16]


def texts(folder: Path) -> None:
    """Print a hash of all texts of each arm, with their number, and one of all."""
    everything = []
    for arm in sorted(path for path in (folder / "arms").iterdir() if path.is_dir()):
        lines = []
        for path in sorted(arm.rglob("samples_*.jsonl")):
            task = path.name.removeprefix("samples_").rpartition("_")[0]
            for sample in map(json.loads, path.read_text(encoding="utf-8").splitlines()):
                lines.append(json.dumps([task, sample["doc_id"], sample["resps"]]))
        print(f"{arm.name:20} {len(lines):5} {digest(lines)}")
        everything += [f"{arm.name} {line}" for line in lines]
    print(f"{'all':20} {len(everything):5} {digest(everything)}")


def likelihoods() -> None:
    """Print a hash of the likelihoods of some texts under each kind of model, and their sum in nats."""
    from lm_eval.api.instance import Instance
    from lm_eval.api.registry import get_model

    for name, arguments in MODELS:
        lm = get_model(name)(**arguments, device="cpu", batch_size=4)
        asked = [Instance("loglikelihood", {}, pair, i, ("t", i, 1)) for i, pair in enumerate(PAIRS)]
        whole = [Instance("loglikelihood_rolling", {}, ("".join(pair),), 0, ("t", 0, 1)) for pair in PAIRS]
        found = [*lm.loglikelihood(asked, disable_tqdm=True), *lm.loglikelihood_rolling(whole, disable_tqdm=True)]
        total = sum(one[0] if isinstance(one, tuple) else one for one in found)
        print(
            f"{name:10} {arguments.get('ll', ''):5} {total:12.6f} {digest([f'{i} {x!r}' for i, x in enumerate(found)])}"
        )


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="what", required=True)
    kinds.add_parser("texts").add_argument("folder", type=Path)
    kinds.add_parser("likelihoods")
    options = parser.parse_args()
    texts(options.folder) if options.what == "texts" else likelihoods()


if __name__ == "__main__":
    main()
