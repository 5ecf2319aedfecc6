r"""The program of the comparing process: reads pairs of expressions, answers whether they are equal.

One JSON list of two strings a line on standard input; one line on standard output each: `1` equal, `0` not, `!` out of
memory or too deeply nested. The time limit ends the process by a signal, which also stops arithmetic inside C code.

LaTeX is read by latex2sympy2_extended, a grammar and no `eval`; relations and anything else that is not a plain
expression go through math-verify. sympy turns *strings* into expressions by `eval`, and the grammar uses that for
numerals; while a text is read, `numeral` takes its place, so that no text is ever evaluated.
"""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import sys
from typing import Any

import sympy
from latex2sympy2_extended import NormalizationConfig, latex2sympy, normalize_latex
from latex2sympy2_extended.latex2sympy2 import ConversionConfig
from math_verify import verify
from math_verify.grader import should_treat_as_complex
from sympy.core.random import seed
from sympy.parsing import sympy_parser

_SPELLING = NormalizationConfig(basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="none")
_NUMERAL = re.compile(r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)")
_READING = ConversionConfig(lowercase_symbols=False)
_DIGITS = 12
"""Decimal places that math-verify compares. An answer of 0.333 is not a third."""


def equal(gold: str, answer: str) -> bool:
    """Whether two LaTeX expressions have the same value; False when one cannot be read or it cannot be told."""
    # Variables are real numbers, unless one of the two texts has complex ones.
    real = None if should_treat_as_complex(gold) or should_treat_as_complex(answer) else True
    one, two = read(gold, real), read(answer, real)
    if one is None or two is None:
        return False
    if isinstance(one, sympy.MatrixExpr) or isinstance(two, sympy.MatrixExpr):
        return same_matrix(one, two)
    if isinstance(one, sympy.Expr) and isinstance(two, sympy.Expr):
        return same_value(one, two)
    if isinstance(one, sympy.Eq) and isinstance(two, sympy.Eq):
        return same_equation(one, two)
    if isinstance(one, sympy.Expr) or isinstance(two, sympy.Expr):
        return False
    return bool(verify(one, two, float_rounding=_DIGITS, timeout_seconds=None))


def read(text: str, real: bool | None) -> Any:
    """Return the sympy object of a LaTeX expression, or None. Decimals are exact fractions, `i` is imaginary."""
    parse_expr = sympy_parser.parse_expr
    sympy_parser.parse_expr = numeral
    try:
        normal = normalize_latex(text, config=_SPELLING)
        found = latex2sympy(
            normal, is_real=real, convert_degrees=False, normalization_config=None, conversion_config=_READING
        )
        if isinstance(found, sympy.MatrixBase):
            found = found.as_immutable()
        if isinstance(found, sympy.Basic):
            exact = {value: sympy.Rational(str(value)) for value in found.atoms(sympy.Float)}
            units = {symbol: sympy.I for symbol in found.free_symbols if str(symbol) in ("i", "imath")}
            return found.xreplace(exact | units)
    except (MemoryError, RecursionError):
        raise
    except Exception:  # whatever a grammar makes of noise
        return None
    finally:
        sympy_parser.parse_expr = parse_expr  # sympy needs it for tables of its own
    return found


def same_value(one: sympy.Expr, two: sympy.Expr) -> bool:
    """Whether the difference is zero: as an exact number, else by sympy's numerical and algebraic test."""
    difference = (one - two).doit()
    if difference.is_Rational:
        return bool(difference == 0)
    if difference.has(sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
        return bool(one.doit() == two.doit() and not one.has(sympy.nan, sympy.zoo))
    verdict = difference.equals(0)
    if verdict is None:
        verdict = sympy.simplify(difference) == 0
    return bool(verdict)


def same_matrix(one: Any, two: Any) -> bool:
    """Whether two matrices, or multiples of matrices, have the same size and values."""
    if not isinstance(one, sympy.MatrixExpr) or not isinstance(two, sympy.MatrixExpr):
        return False
    ours, theirs = one.doit().as_explicit(), two.doit().as_explicit()
    return ours.shape == theirs.shape and all(same_value(a, b) for a, b in zip(ours, theirs, strict=True))


def same_equation(one: sympy.Eq, two: sympy.Eq) -> bool:
    """Whether two equations say the same: one is the other times a number that is not zero."""
    ours, theirs = one.lhs - one.rhs, two.lhs - two.rhs
    if same_value(ours, theirs) or same_value(ours, -theirs):
        return True
    ratio = sympy.simplify(ours / theirs)
    return bool(ratio.is_number and ratio.is_finite and not ratio.is_zero)


def serve(seconds: float, memory: int) -> None:
    """Answer requests until the input ends. `seconds` of processor time and `memory` in bytes for each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        gold, answer = json.loads(line)
        seed(0)
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            verdict = "1" if equal(gold, answer) else "0"
        except (MemoryError, RecursionError):
            verdict = "!"
        except Exception:  # no answer of a model may end a run
            verdict = "0"
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(verdict + "\n")
        answers.flush()


def numeral(text: Any, *_args: Any, **_settings: Any) -> sympy.Rational:
    """Stand in for sympy's `parse_expr`: the grammar hands it numerals, and nothing else is taken."""
    if isinstance(text, str) and _NUMERAL.fullmatch(text):
        return sympy.Rational(text)
    raise ValueError("text is not evaluated here")


if __name__ == "__main__":
    serve(float(sys.argv[1]), int(sys.argv[2]))
