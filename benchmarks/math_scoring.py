r"""How well and how fast MATH answers are judged, beside math-verify alone.

    python benchmarks/math_scoring.py                       # golden pairs, hostile answers, speed on shipped problems
    python benchmarks/math_scoring.py --data test.jsonl.gz  # and every gold answer of a data set, and altered ones

1. Gold answers: each must be found in its solution, be read (as numbers, words, or by computer algebra), and equal
   itself, by computer algebra also where the two strings are the same.
2. Altered gold answers (`math_altered.py`): signs, numbers, ends, brackets, members, times, chains, ... changed, blanks
   in numbers, products for sums, a wrong box beside the right one. All must be refused.
3. The pairs of `tests/golden/lmx_math`: ours against math-verify alone, with each disagreement.
4. Hostile answers finish within their limits.
5. Seconds to score 5,000 answers, once over all problems and once over those whose answer is no plain number: a quarter
   spelled as the gold answer, a quarter in another notation where there is one, half of them the answer of another
   problem or an altered one.

Wall time depends on what else the machine does; processor seconds include those of the comparing process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from benchmarks.studies.math_altered import altered, slips
from lmx_metrics.math.compare.shapes import Shape, shape
from lmx_metrics.math.notation.answer import extract
from lmx_metrics.math.notation.normalise import is_words, normalise
from lmx_metrics.math.notation.numbers import based, number
from lmx_metrics.math.process import worker as workers
from lmx_metrics.math.process.worker import LimitError
from lmx_metrics.math.scoring import score
from lmx_tasks.math import data

GOLDEN = Path(__file__).resolve().parents[1] / "tests" / "golden" / "lmx_math"
N = 5000
PEER = 1000  # of them math-verify alone judges for comparison
LIMIT = 120.0


def main() -> int:
    """Print the measurements; exit with 1 when a claim does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="problems as .jsonl or .jsonl.gz; default: those that are shipped")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rows = data.from_file(arguments.data or data.HERE / "data" / "mini.jsonl")
    golds = [row["answer"] for row in rows]
    holds = [
        gold_answers(rows),
        altered_answers(golds),
        golden_pairs(),
        hostile(),
        speed("any", golds, random.Random(arguments.seed)),
        speed("not a number", [g for g in golds if number(normalise(g)[0]) is None], random.Random(arguments.seed)),
    ]
    print("claims hold" if all(holds) else "a claim does NOT hold")
    return 0 if all(holds) else 1


def gold_answers(rows: list[dict[str, str]]) -> bool:
    """Print how many gold answers are found, read and equal to themselves, with every exception."""
    wrong: list[str] = []
    ways: Counter[str] = Counter()
    equal = 0
    for number_, row in enumerate(rows, start=1):
        answer = extract(row["solution"])
        if answer is None or not score(row["solution"], row["answer"])["math_equal"]:
            wrong.append(f"problem {number_}: {row['answer']!r} is not equal to itself (extracted {answer!r})")
            continue
        equal += 1
        how = {_how_read(leaf) for leaf in _leaves(shape(normalise(answer)[0]))}
        ways[next(way for way in ("spelling only", "algebra", "words", "base", "ratio", "number") if way in how)] += 1
        if "spelling only" in how:
            wrong.append(f"problem {number_}: {answer!r} is compared by its spelling only")
    print(f"gold answers: {equal} of {len(rows)} ({equal / len(rows):.2%}) are parsed and equal themselves")
    print("  read as: " + ", ".join(f"{way} {n}" for way, n in ways.most_common()))
    for line in wrong:
        print(f"  {line}")
    return equal == len(rows)


def _leaves(form: Shape) -> Iterator[str]:
    if form.kind == "leaf":
        yield form.text
    for part in form.parts:
        yield from _leaves(part)


def _how_read(leaf: str) -> str:
    if number(leaf.removesuffix("%").removesuffix("\\")) is not None:
        return "number"
    if based(leaf):
        return "base"
    if is_words(leaf) or len(leaf) == 1:
        return "words"
    if ":" in leaf:
        return "ratio"
    try:
        return "algebra" if workers.compare(leaf, leaf) else "spelling only"
    except LimitError:
        return "spelling only"


def altered_answers(golds: list[str]) -> bool:
    """Print how many altered gold answers are refused, and those that are not."""
    made: Counter[str] = Counter()
    accepted = []
    for gold in dict.fromkeys(golds):
        for kind, response in altered(gold):
            made[kind] += 1
            if score(response, gold)["math_equal"]:
                accepted.append(f"  {kind}: {gold!r} takes {response!r}")
    total = sum(made.values())
    print(f"altered gold answers: {total - len(accepted)} of {total} refused")
    print("  " + ", ".join(f"{kind} {n}" for kind, n in made.most_common()))
    print("\n".join(accepted), end="\n" if accepted else "")
    return not accepted


def golden_pairs() -> bool:
    """Print our verdicts and those of math-verify alone on the pairs that a person judged, with disagreements."""
    cases = [case for path in sorted(GOLDEN.glob("*.json")) for case in json.loads(path.read_text(encoding="utf-8"))]
    pairs = [
        (case["doc"]["answer"], case["response"], bool(case["expected"]["math_equal"]))
        for case in cases
        if "math_equal" in case["expected"] and isinstance(case["response"], str) and len(case["response"]) < 300
    ]
    ours = [bool(score(text, gold)["math_equal"]) for gold, text, _ in pairs]
    answers = [(gold, extract(text) or "", want) for gold, text, want in pairs]
    rows = [(*pair, equal, _alone(*pair[:2])) for pair, equal in zip(answers, ours, strict=True)]
    print(f"golden pairs: {len(rows)}")
    print("| pairs | judged by | right | wrong |\n|---|---|---|---|")
    for want, name in ((True, "equal"), (False, "not equal")):
        kind = [row for row in rows if row[2] == want]
        for index, judge in ((3, "lmx"), (4, "math-verify alone")):
            right = sum(row[index] == want for row in kind)
            print(f"| {name} ({len(kind)}) | {judge} | {right} | {len(kind) - right} |")
    agree = sum(row[3] == row[4] for row in rows)
    print(f"the two agree on {agree} of {len(rows)} ({agree / len(rows):.1%}); where they do not:")
    for gold, answer, _, ours, alone in rows:
        if ours != alone:
            print(f"  gold {gold!r}, answer {answer!r}: lmx {_word(ours)}, math-verify {_word(alone)}")
    return all(row[2] == row[3] for row in rows)


def _alone(gold: str, answer: str) -> bool:
    """Return math-verify's verdict on two boxed answers, with its default settings."""
    from math_verify import parse, verify

    return bool(verify(parse(rf"$\boxed{{{gold}}}$"), parse(rf"$\boxed{{{answer}}}$")))


def _word(equal: bool) -> str:
    return "equal" if equal else "not equal"


def hostile() -> bool:
    """Time answers that are made to hang, to fill memory or to nest too deeply; none may raise or be accepted."""
    answers = {
        "tower of powers": "9^{9^{9^{9^9}}}",
        "factorial": "(10^{10})!",
        "factorial of a factorial": "1000!!!!",
        "100,000 nested braces": "{" * 100_000 + "1" + "}" * 100_000,
        "100,000 nested boxes": r"\boxed{" * 100_000 + "1" + "}" * 100_000,
        "100,000 open boxes": r"\boxed{" * 100_000,
        "600 nested roots": r"\sqrt{" * 280 + "x" + "}" * 280,
        "900 brackets": "(" * 900 + "x" + ")" * 900,
        "long sum": r"\sum_{k=1}^{10^{9}} \frac{1}{k^k}",
        "long product": r"\prod_{k=1}^{10^{6}} (x+k)",
        "integral": r"\int_0^{10^9} e^{x^2}\sin(x^x)\,dx",
        "wide power": "(a+b+c+d+f+g)^{4000}",
        "2,000 members": ",".join(f"x+{n}" for n in range(2000)),
        "unicode noise": "".join(chr(c) for c in range(0x20, 0x2FF)) + "\u202e\u0000\ud83d\ude00½²³₂√∞\u0301" * 50,
        "million digits": "7" * 1_000_000,
    }
    holds = True
    workers.own().close()
    print("hostile answers:")
    for name, answer in answers.items():
        begin, before = time.perf_counter(), _cpu()
        try:
            values = score(f"The answer is $\\boxed{{{answer}}}$", r"3x+\sqrt{2}")
            outcome = "refused" if not values["math_equal"] else "ACCEPTED"
        except Exception as error:  # that is what is looked for
            outcome = f"RAISED {type(error).__name__}"
        holds = holds and outcome == "refused"
        wall = time.perf_counter() - begin
        workers.own().close()  # the times of a child count when it has ended
        print(f"  {name:<26} {outcome} after {wall:5.2f} s wall, {_cpu() - before:5.2f} s of processor time")
    return holds


def speed(kind_of_gold: str, golds: list[str], rng: random.Random) -> bool:
    """Print the seconds for `N` answers; return whether they are below the limit, by processor time."""
    work = []
    for _ in range(N):
        gold = rng.choice(golds)
        kind = rng.randrange(4)
        if kind == 1:
            answer = (
                gold.replace(r"\frac", r"\dfrac").replace("x", " x ").replace("(", r"\left(").replace(")", r"\right)")
            )
        elif kind > 1:
            wrong = [text for _, text in slips(gold)]
            answer = rng.choice(wrong) if wrong and kind == 2 else rng.choice(golds)
        else:
            answer = gold
        work.append((answer, gold))
    before, begin = _cpu(), time.perf_counter()
    starts = workers.own().started
    right = sum(score(f"So the answer is $\\boxed{{{answer}}}$.", gold)["math_equal"] for answer, gold in work)
    wall = time.perf_counter() - begin
    replaced = workers.own().started - starts
    workers.own().close()  # the times of a child count when it has ended
    cpu = _cpu() - before
    print(
        f"{N} answers, gold answer {kind_of_gold} ({right:.0f} equal): {wall:.1f} s wall, {cpu:.1f} s of processor time"
    )
    begin_alone = time.process_time()
    for answer, gold in work[:PEER]:
        _alone(gold, answer)
    alone = (time.process_time() - begin_alone) / PEER
    print(f"  {1000 * cpu / N:.2f} ms an answer; math-verify alone {1000 * alone:.2f} ms, on the first {PEER}")
    print(f"  processes started: {replaced}; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    return cpu < LIMIT


def _cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in used)


if __name__ == "__main__":
    sys.exit(main())
