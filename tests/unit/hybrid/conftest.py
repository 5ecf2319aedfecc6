"""Fixtures of this folder's tests."""

import pytest
import yaml

from lmx_models.methods.method import Method
from lmx_models.methods.registry import METHODS
from tests.unit.hybrid.hybrid_tools import _echo, _echo_after_draws


@pytest.fixture
def echo(monkeypatch):
    monkeypatch.setitem(METHODS, "echo", Method("echo", _echo))
    monkeypatch.setitem(METHODS, "draws", Method("draws", _echo_after_draws, ("echo",)))


@pytest.fixture
def graph(tmp_path):
    """Return a function that writes a graph file, of nodes given as (model, method, prompt, more)."""

    def write(**nodes) -> str:
        path = tmp_path / f"graph{len(list(tmp_path.iterdir()))}.yaml"
        data = {
            name: {"model": model, "method": method, "prompt": prompt, **(more[0] if more else {})}
            for name, (model, method, prompt, *more) in nodes.items()
        }
        path.write_text(yaml.safe_dump({"nodes": data}, sort_keys=False))
        return str(path)

    return write
