"""Where lmx keeps what it made itself, for all runs of a user."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """Return the folder of everything lmx keeps: LMX_CACHE, or the system's user cache folder for lmx."""
    override = os.environ.get("LMX_CACHE")
    if override:
        return Path(os.path.expanduser(override)).absolute()
    from platformdirs import user_cache_dir

    return Path(user_cache_dir("lmx"))
