"""The shipped sweeps name commands, options and predictors that there are; the study's template is the study's."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.main import get_command

from lmx_analysis.performance_prediction import predictor
from lmx_cli.main import app
from lmx_runs.sweep.arms import Arm, expand
from lmx_runs.sweep.config import load

CONFIGS = Path(__file__).parents[3] / "configs"
TEMPLATE = CONFIGS / "study" / "templates" / "open_instruct_13b.jinja"


def arms(name: str, folder: Path) -> list[Arm]:
    return expand(load(CONFIGS / name), folder)


@pytest.mark.parametrize(("name", "cells"), [("perfpred_tiny.yaml", 4), ("study/perfpred_superni.yaml", 43)])
def test_every_cell_is_a_command_that_there_is(name: str, cells: int, tmp_path: Path) -> None:
    commands = [list(arm.command) for arm in arms(name, tmp_path) if arm.command]
    group = get_command(app).commands["perfpred"]  # type: ignore[attr-defined]
    trained = []
    for _python, _m, module, *words in commands:
        assert module == "lmx_cli.main"
        if words.pop(0) == "run":
            continue
        with group.commands[words[0]].make_context(words[0], words[1:]) as context:  # refuses unknown options
            if words[0] == "train":
                trained.append((context.params["predictors"], context.params["seeds"], str(context.params["output"])))
    assert len(trained) == cells
    assert len({output for *_, output in trained}) == cells  # each goes on by itself
    known = set(predictor.names())
    assert all(set(names.split(",")) <= known for names, *_ in trained)


def test_the_study_asks_its_models_and_closed_ones(tmp_path: Path) -> None:
    found = [str(arm.flags) for arm in arms("study/perfpred_superni.yaml", tmp_path)]
    for model in ("alpaca-13b", "sharegpt-13b", "tulu-13b", "Qwen3-8B", "openai-chat-completions"):
        assert any(model in each for each in found), model


def test_the_study_s_template() -> None:
    from transformers import AutoTokenizer

    from lmx_models.zoo.catalogue import TINY

    tokenizer = AutoTokenizer.from_pretrained(TINY / "tiny-base")
    tokenizer.chat_template = TEMPLATE.read_text(encoding="utf-8")
    end = tokenizer.eos_token
    turns = [{"role": "user", "content": "Do it. "}, {"role": "assistant", "content": "ok"}]
    text = tokenizer.apply_chat_template([*turns, turns[0]], tokenize=False, add_generation_prompt=True)
    assert text == f"<|user|>\nDo it.\n<|assistant|>\nok{end}\n<|user|>\nDo it.\n<|assistant|>\n"
