"""Figures for print and screen: PNG and SVG of the same picture, by matplotlib, without a window system."""

from __future__ import annotations

import importlib.util
import io
from typing import TYPE_CHECKING

from lmx_files.errors import UserError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's colours, which the colour-blind tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")


def require_matplotlib() -> None:
    """Raise a `UserError` that names the extra if matplotlib is not installed; call it before any work."""
    if importlib.util.find_spec("matplotlib") is None:
        raise UserError("plots need matplotlib: pip install 'lmx-eval[plots]', or leave them out with --no-plots")


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def rendered(figure: Figure, name: str) -> dict[str, bytes]:
    """Return a figure as ``name.png`` and ``name.svg``; the same data give the same bytes."""
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "lmx"}):
        files = {}
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            out = io.BytesIO()
            figure.savefig(out, format=kind, dpi=150, metadata=metadata)
            files[f"{name}.{kind}"] = out.getvalue()
    return files
