"""The public module stays as it is: a change of its names or their arguments shows here."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest

from lmx_models import api

PINNED = Path(__file__).with_name("api.json")
GUIDE = Path(__file__).parents[3] / "docs" / "extend.md"


def signatures() -> dict[str, str]:
    """Return the arguments of every public name, as they are written."""
    found = {}
    for name in api.NAMES:
        value = getattr(api, name)
        own = "__init__" in vars(value) or "__new__" in vars(value) if inspect.isclass(value) else callable(value)
        found[name] = str(inspect.signature(value)) if own and not hasattr(value, "__origin__") else ""
    return found


def test_names_and_arguments_are_as_pinned() -> None:
    assert signatures() == json.loads(PINNED.read_text()), (
        "tell it in CHANGELOG.md, then write tests/unit/methods/api.json"
    )


@pytest.mark.parametrize("name", api.NAMES)
def test_every_name_is_documented(name: str) -> None:
    assert f"| `{name}` | {api.NAMES[name][1]} |" in GUIDE.read_text()


def test_importing_it_brings_no_torch() -> None:
    heavy = "('torch', 'transformers', 'lm_eval')"
    program = f"import sys, lmx_models.api; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_name() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Metod'"):
        api.Metod  # noqa: B018
