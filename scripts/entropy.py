"""Entropy and probability of up to four models, with the published study's flags; the work is `lmx entropy`'s.

python scripts/entropy.py --model_1 tiny-base --model_2 tiny-oracle --output_dir out --teacher_forced

Without --teacher_forced each model writes its own text, as in the study. All other flags are those of `lmx entropy`.
"""

from __future__ import annotations

import sys

STUDY = ("--model_1", "--model_2", "--model_3", "--model_4")


def translated(arguments: list[str]) -> list[str]:
    """Return the arguments of `lmx entropy`: models in the order of their numbers, generate unless told otherwise."""
    found: dict[str, str] = {}
    rest: list[str] = []
    given = iter(arguments)
    for argument in given:
        flag, equals, value = argument.partition("=")
        if flag in STUDY:
            found[flag] = value if equals else next(given, "")
        else:
            rest.append(argument)
    models = [argument for flag in STUDY if found.get(flag) for argument in ("--models", found[flag])]
    modes = ("--teacher_forced", "--mode", "--help")
    told = any(argument.partition("=")[0] in modes for argument in rest)
    return ["entropy", *rest, *models, *([] if told else ["--mode", "generate"])]


if __name__ == "__main__":
    from lmx_cli.main import main

    sys.argv[1:] = translated(sys.argv[1:])
    main()
