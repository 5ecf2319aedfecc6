"""YAML wherever a user writes it: a key that stands twice is an error with its line."""

import pytest

from lmx_files.errors import UserError
from lmx_files.yaml import load_yaml, read_yaml
from lmx_models.hybrid.graph import read_graph
from lmx_models.iterative import _prompts
from lmx_models.settings.prices import price_of
from lmx_models.settings.sizes import sizes
from lmx_runs.options import parse
from lmx_runs.sweep import config


def test_plain_data():
    assert load_yaml("a: {b: [1, 2]}\nc: &x {d: 1}\ne: {<<: *x, d: 2}\n") == {
        "a": {"b": [1, 2]},
        "c": {"d": 1},
        "e": {"d": 2},
    }
    assert load_yaml("") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: 2\na: 3\n", "line 3: 'a' stands there twice, first in line 1"),
        ("x:\n  k: 1\n  k: 2\n", "line 3: 'k' stands there twice, first in line 2"),
        ("- {a: 1, a: 2}\n", "line 1: 'a' stands there twice"),
        ("1: a\n1: b\n", "line 2: 1 stands there twice"),
        ("a: [", "it is not valid YAML"),
        ("a: !!python/object/apply:os.system [ls]", "it is not valid YAML"),
        ("a: \x00", "it is not valid YAML"),
        ("{[a]: 1}", "it is not valid YAML"),
        ("d: 2020-99-99", "it is not valid YAML"),
    ],
)
def test_what_is_refused(text, message):
    with pytest.raises(UserError, match=message) as error:
        load_yaml(text)
    assert "\n" not in str(error.value)


def test_files(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\n")
    assert read_yaml(path) == {"a": 1}
    path.write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"cannot read .*x\.yaml"):
        read_yaml(path)
    with pytest.raises(UserError, match="cannot read the file"):
        read_yaml(tmp_path / "none", "the file")


def test_everywhere_a_user_writes_yaml(tmp_path, monkeypatch):
    def written(text: str) -> str:
        path = tmp_path / "x.yaml"
        path.write_text(text)
        return str(path)

    twice = "model: ar\ntasks: [constraint_tiny]\nmodel: guided\n"
    with pytest.raises(UserError, match=r"--config .*line 3: 'model' stands there twice, first in line 1"):
        parse(["--config", written(twice)])
    with pytest.raises(UserError, match=r"line 2: 'seed' stands there twice"):
        parse(["--config", written("model_args: {seed: 1,\n seed: 2}\n")])
    with pytest.raises(UserError, match=r"the sweep file .*line 2: 'name' stands there twice"):
        config.load(written("name: a\nname: b\n"))
    with pytest.raises(UserError, match=r"graph=.*line 1: 'a' stands there twice"):
        read_graph(written("nodes: {a: {model: m}, a: {model: m}}"))
    with pytest.raises(UserError, match=r"prompts=.*line 2: 'revise' stands there twice"):
        _prompts(written("revise: '{text}'\nrevise: '{text}{critique}'\n"))
    monkeypatch.setenv("LMX_SIZES", written("1B: {model: m, port: 1}\n1B: {model: n, port: 2}\n"))
    with pytest.raises(UserError, match="line 2: '1B' stands there twice"):
        sizes()
    monkeypatch.setenv("LMX_PRICES", written("m: {input: 1,\n input: 2, output: 3}\n"))
    with pytest.raises(UserError, match="line 2: 'input' stands there twice"):
        price_of("m")
