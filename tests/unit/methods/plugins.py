"""Installs the plugin package of the tests for this process, and for those that it starts, without pip."""

from __future__ import annotations

from pathlib import Path

import pytest

from lmx_plugins import discovery

PACKAGE = Path(__file__).parents[2] / "plugin_pkg"


def installed(folder: Path, monkeypatch: pytest.MonkeyPatch, *more: str) -> Path:
    """Lay what pip would note of `tests/plugin_pkg` into a folder on the path. `more`: further lines of models."""
    info = folder / "lmx_example-1.2.3.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lmx-example\nVersion: 1.2.3\n")
    lines = (PACKAGE / "pyproject.toml").read_text().splitlines()
    begin = lines.index('[project.entry-points."lm_eval.models"]') + 1
    models = [line.replace('"', "") for line in lines[begin : lines.index("", begin)]]
    (info / "entry_points.txt").write_text("\n".join(["[lm_eval.models]", *models, *more, ""]))
    for place in (PACKAGE, folder):
        monkeypatch.syspath_prepend(str(place))
    discovery.find_plugins.cache_clear()
    return folder
