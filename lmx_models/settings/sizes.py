"""Names of sizes (``1B``, ``70B``) that stand for models on servers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_models.settings.user_files import read_mapping, read_user_file

SHIPPED = Path(__file__).with_name("sizes.yaml")
VARIABLE = "LMX_SIZES"


@dataclass(frozen=True)
class Size:
    """What a name stands for: an endpoint (``openai:URL#MODEL``), and perhaps its tokenizer."""

    endpoint: str
    tokenizer: str | None


def sizes() -> dict[str, Size]:
    """Return all names; those of the user's file (LMX_SIZES, ``~/.config/lmx/sizes.yaml``) replace the shipped ones."""
    own, path = read_user_file("sizes.yaml", VARIABLE)
    shipped = {name: _size(name, entry, SHIPPED) for name, entry in read_mapping(SHIPPED, VARIABLE).items()}
    return shipped | {name: _size(name, entry, path) for name, entry in own.items()}


def expand(name: Any) -> tuple[Any, str | None]:
    """Return the endpoint and tokenizer that `name` stands for; any other name as it is."""
    size = sizes().get(name) if isinstance(name, str) else None
    return (size.endpoint, size.tokenizer) if size else (name, None)


def _size(name: str, entry: dict[str, Any], path: Path) -> Size:
    wrong = set(entry) - {"model", "port", "url", "tokenizer"}
    if wrong or "model" not in entry or ("port" in entry) == ("url" in entry):
        raise UserError(f"{path}: size {name!r} needs `model` and either `port` or `url`; `tokenizer` is optional")
    url = entry.get("url") or f"http://localhost:{entry['port']}/v1"
    tokenizer = entry.get("tokenizer")
    return Size(f"openai:{url}#{entry['model']}", None if tokenizer is None else str(tokenizer))
