"""What is refused or told before a model is loaded: vocabularies, rows, beginnings, masks, idle flags."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from lmx_cli.main import app
from lmx_files.errors import UserError
from lmx_models.core.sampling import Sampling
from lmx_models.zoo import catalogue
from lmx_probes import models
from lmx_probes.entropy import before, measure
from lmx_probes.entropy import measurement as measuring
from lmx_probes.entropy.generate import scored_writing
from lmx_probes.entropy.inputs import Inputs, Item, Writer
from lmx_probes.entropy.recorded import difference
from tests.unit.entropy.test_measure import PAIR, items, options
from tests.unit.probes.tiny_models import tokenizer


def changed(folder: Path, config=None, words=None) -> str:
    """Copy tiny-base with another configuration or tokenizer."""
    shutil.copytree(catalogue.TINY / "tiny-base", folder)
    if config:
        about = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(about | config))
    if words is not None:
        words.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def unloaded(monkeypatch):
    """A model that is loaded is a failure: it was to be refused before."""

    def refused(*_args, **_more):
        raise AssertionError("a model was loaded")

    monkeypatch.setattr(models, "load", refused)


def test_vocabularies_that_differ_are_told_by_number_and_token(tmp_path, unloaded):
    words = tokenizer()
    words.add_tokens(["<another>", "<third>"])
    other = changed(tmp_path / "other", words=words)
    with pytest.raises(UserError, match="2 tokens differ, the first is '<another>'"):
        measuring.entropy(items(2), measuring.Options(("tiny-base", other), ("a", "b"), tmp_path / "o"), "s")


def test_fewer_rows_than_tokens_are_refused(tmp_path, unloaded):
    size = models.vocabulary_of(tokenizer())
    small = changed(tmp_path / "small", {"vocab_size": size - 1})
    with pytest.raises(UserError, match=rf"{size:,} tokens of the vocabulary and .*small to {size - 1:,}"):
        measuring.entropy(items(2), measuring.Options(("tiny-base", small), ("a", "b"), tmp_path / "o"), "s")
    least = changed(tmp_path / "least", {"vocab_size": 5})
    for mode, text in (("teacher", " plan"), ("generate", None)):
        given = measuring.Options((least,), ("a",), tmp_path / "o", mode)
        with pytest.raises(UserError, match=r"document 3 of t: it holds .* has 5 rows of output"):
            measuring.entropy(Inputs([Item("Write a", text, "t", 3)]), given, "s")
    assert not (tmp_path / "o").exists()


def test_another_beginning_of_text_is_told(tmp_path):
    words = tokenizer()
    words.add_special_tokens({"bos_token": next(token for token, i in words.get_vocab().items() if i == 7)})
    other = changed(tmp_path / "other", words=words)
    found = [before.known(name) for name in ("tiny-base", other)]
    assert found[0].vocabulary == found[1].vocabulary
    [note] = before.check_same(found)
    assert "both read the tokens of tiny-base" in note
    assert before.check_same([found[0], before.known("tiny-oracle")]) == []


@pytest.mark.parametrize("name", ["tiny-mdlm", "tiny-bd3lm", "tiny-wedlm"])
def test_models_that_fill_masks_are_not_read(tmp_path, name):
    with pytest.raises(UserError, match=r"trained to fill masks.*record=all"):
        models.load(name)
    for names, mode in ((("tiny-base", name), "teacher"), ((name,), "generate")):
        with pytest.raises(UserError, match="trained to fill masks"):
            measuring.entropy(items(2), options(tmp_path / "o", names, mode=mode), "s")
    assert not (tmp_path / "o").exists()


def test_a_model_type_that_nobody_knows_is_one_line(tmp_path):
    odd = changed(tmp_path / "odd", {"model_type": "no_such_type", "architectures": ["NoSuch"]})
    with pytest.raises(UserError, match="cannot load"):
        measuring.entropy(items(2), measuring.Options((odd,), ("m",), tmp_path / "o"), "s")


def test_prompts_without_room_are_found_before_anything_is_written(tmp_path, unloaded):
    short = changed(tmp_path / "short", {"max_position_embeddings": 16})
    given = Inputs([Item("Write", None, "t", 0), Item("Write " * 30, None, "t", 1)])
    with pytest.raises(UserError, match=r"document 1 of t: the prompt has .*short reads 16"):
        measuring.entropy(given, measuring.Options(("tiny-base", short), ("a", "b"), tmp_path / "o", "generate"), "s")
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize("flag", ["top", "keep_hidden", "forward"])
def test_flags_of_readings_are_refused_where_models_write(tmp_path, flag):
    with pytest.raises(UserError, match=f"--{flag} is for texts that are read"):
        options(tmp_path, PAIR, mode="generate", **{flag: 3})


CASES = {
    "gold texts": (["--mode", "generate", "--texts", "gold"], "--texts gold"),
    "a stamp with a path": (["--timestamp", "a/b"], "--timestamp"),
    "no stamp": (["--timestamp", ""], "--timestamp"),
    "a flag of runs": (["--metric", "acc"], "--metric is for runs"),
}


@pytest.mark.parametrize("case", CASES)
def test_flags_that_would_do_nothing_are_refused_at_the_start(tmp_path, case, unloaded):
    arguments, why = CASES[case]
    command = ["entropy", "--models", "tiny-base", "-o", str(tmp_path / "out"), "--no-plots", *arguments]
    done = CliRunner().invoke(app, command)
    assert done.exit_code != 0
    assert why in (str(done.exception) if isinstance(done.exception, UserError) else done.output)
    assert not (tmp_path / "out").exists()


def test_states_are_compared_where_models_are_put(tmp_path, monkeypatch):
    monkeypatch.setattr(models, "place_of", lambda device: torch.device("meta") if device is None else device)
    monkeypatch.setattr(measuring.measure, "measure", lambda *_args, **_more: 0)
    monkeypatch.setattr(models, "opened", _opened)
    places = []
    monkeypatch.setattr(measure, "compare", lambda _names, _scored, _work, device, _track: places.append(device))
    measuring.entropy(items(2), measuring.Options(PAIR, PAIR, tmp_path), "s")
    assert places == [torch.device("meta")]


class _opened:  # noqa: N801  (stands for a function)
    def __init__(self, *_args):
        self.head = type("Head", (), {"padding": 0})

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None


@pytest.mark.parametrize(
    ("writer", "why"),
    [
        (Writer("tiny-base", {"peft": "x"}), "peft=x"),
        (Writer("tiny-base", {"revision": "abc"}), "revision abc"),
        (Writer("tiny-base", {"load_in_4bit": "True"}), "load_in_4bit=True"),
        (Writer("tiny-base", {"load_in_4bit": "False", "peft": None}), None),
        (Writer("tiny-base", {}, "bfloat16"), "bfloat16, here it is float32"),
        (Writer("tiny-base", {"revision": "main"}, "float32"), None),
        (Writer("tiny-base"), None),
    ],
)
def test_recorded_values_are_those_of_the_same_weights(writer, why):
    found = difference(writer, "tiny-base", "float32")
    assert found is None if why is None else why in found


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_padding_rows_are_never_drawn(temperature):
    from lmx_models.core.sampling import stream
    from lmx_models.core.stopping import Stopping
    from lmx_models.decoding.autoregressive import autoregressive

    stopping = Stopping(3, frozenset(), (), lambda ids: "")
    inner = autoregressive([1], "ar", Sampling(temperature=temperature), stopping, stream(1))
    found: list[dict[str, float]] = []
    decoding = scored_writing(inner, 4, found)
    next(decoding)
    logits = torch.tensor([[0.0, 1.0, 0.0, 0.0, 50.0, 50.0]])
    for _ in range(2):
        decoding.send(logits)
    with pytest.raises(StopIteration) as ended:
        decoding.send(logits)
    assert max(ended.value.value.tokens) < 4
    assert len(found) == 3


def test_each_text_has_its_own_room(tmp_path):
    """A long prompt in the same part does not shorten the text behind a short one."""
    from lmx_models import writing

    small = changed(tmp_path / "small", {"max_position_embeddings": 64})
    given = [Item("Write " * 25, None, "t", 0), Item("Write", None, "t", 1)]
    with writing.opened("ar", small, {}, max_new_tokens=40, temperature=0.0, seed=1, rows=2, device="cpu") as write:
        both, alone = write(given), write(given[1:])
    assert both[1].answer == alone[0].answer
    assert len(both[1].trace["tokens"]) == len(alone[0].trace["tokens"])
    assert len(both[1].trace["tokens"]) > 64 - len(both[0].prompt) >= len(both[0].trace["tokens"])
