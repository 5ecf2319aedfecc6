r"""The program of the comparing process: reads pairs of expressions, answers whether they are equal.

One JSON list of two strings and a number of seconds a line on standard input; one line on standard output each: `1`
equal, `0` not, with the seconds of processor time that it took, or `!` out of memory or too deeply nested. The time
limit ends the process by a signal, which also stops arithmetic inside C code.

LaTeX is read by latex2sympy2_extended, a grammar and no `eval`; relations and anything else that is not a plain
expression go through math-verify. sympy turns *strings* into expressions by `eval`, and the grammar uses that for
numerals; while a text is read, `numeral` takes its place, so that no text is ever evaluated.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import resource
import signal
import sys
import time
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
_SAMPLES = ((37, 29), (13, 41), (53, 17))
"""Where expressions are compared below zero, as numerators and denominators."""
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
    if differs_somewhere(difference):  # one positive point suffices, and algebra is slow
        return False
    verdict = difference.equals(0)
    if verdict is None or (not verdict and difference.has(sympy.binomial, sympy.factorial)):
        verdict = sympy.simplify(difference.rewrite(sympy.gamma)) == 0
    return bool(verdict) or same_where_real(one, two, difference)


def same_where_real(one: sympy.Expr, two: sympy.Expr, difference: sympy.Expr) -> bool:
    r"""Whether two expressions with roots or logarithms are the same wherever they are real.

    `\sqrt{1/n}` and `1/\sqrt{n}` differ as complex numbers below zero, where neither is real; `\sqrt{x^2}` and `x`
    differ where both are. So the difference must vanish for positive variables, and at negative numbers wherever both
    are real. In one variable both must also be real for the same signs (`\ln x^2` is not `2\ln x`); of several it is
    understood that they are positive (`\ln a-\ln b` for `\ln\frac{a}{b}`).
    """
    symbols = sorted(difference.free_symbols, key=str)
    powers = [power for power in difference.atoms(sympy.Pow) if not power.exp.is_Integer and power.free_symbols]
    if not 0 < len(symbols) <= 3 or not (powers or difference.has(sympy.log)):
        return False
    positive = difference.xreplace({symbol: sympy.Symbol(f"{symbol}_", positive=True) for symbol in symbols})
    positive = sympy.expand_log(positive)
    if not (positive.equals(0) or sympy.simplify(positive) == 0):
        return False
    for signs in itertools.product((1, -1), repeat=len(symbols)):
        at = {s: sign * sympy.Rational(*_SAMPLES[i]) for i, (s, sign) in enumerate(zip(symbols, signs, strict=True))}
        ours, theirs = real_at(one, at), real_at(two, at)
        if ours is None or theirs is None:
            if len(symbols) == 1 and ours is not theirs:
                return False
        elif abs(ours - theirs) > sympy.Float("1e-20") * (1 + abs(ours)):
            return False
    return True


def differs_somewhere(difference: sympy.Expr) -> bool:
    """Whether a difference is certainly not zero at one point with positive variables, by its first digits."""
    symbols = sorted(difference.free_symbols, key=str)
    point = {one: sympy.Rational(*_SAMPLES[i % len(_SAMPLES)]) + i for i, one in enumerate(symbols)}
    value = abs(sympy.N(difference.subs(point), 20))
    return bool(value.is_Float and value > sympy.Float("1e-10"))


def real_at(expression: sympy.Expr, at: dict[sympy.Symbol, sympy.Rational]) -> sympy.Expr | None:
    """Return the value at a point, or None where a root or logarithm in it is not real."""
    for node in sympy.preorder_traversal(expression):
        inner = node.base if isinstance(node, sympy.Pow) and not node.exp.is_Integer else None
        inner = node.args[0] if isinstance(node, sympy.log) else inner
        if inner is not None and not sympy.N(inner.subs(at), 30).is_nonnegative:
            return None
    value = sympy.N(expression.doit().subs(at), 30)
    return value if value.is_real else None


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


def serve(memory: int) -> None:
    """Answer requests until the input ends, each with its own limit on processor time and `memory` in bytes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    answers.write("ready\n")
    answers.flush()
    for line in sys.stdin:
        gold, answer, seconds = json.loads(line)
        seed(0)
        begin = time.process_time()
        signal.setitimer(signal.ITIMER_PROF, seconds)
        try:
            verdict = "1" if equal(gold, answer) else "0"
            verdict += f" {time.process_time() - begin:.6f}"
        except (MemoryError, RecursionError):
            verdict = "!"
        except Exception:  # no answer of a model may end a run
            verdict = f"0 {time.process_time() - begin:.6f}"
        signal.setitimer(signal.ITIMER_PROF, 0)
        answers.write(verdict + "\n")
        answers.flush()


def numeral(text: Any, *_args: Any, **_settings: Any) -> sympy.Rational:
    """Stand in for sympy's `parse_expr`: the grammar hands it numerals, and nothing else is taken."""
    if isinstance(text, str) and _NUMERAL.fullmatch(text):
        return sympy.Rational(text)
    raise ValueError("text is not evaluated here")


if __name__ == "__main__":
    serve(int(sys.argv[1]))
