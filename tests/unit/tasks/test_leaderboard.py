"""The leaderboard configs run as they are, on rows made up here in place of the Hub's; the page's table is true."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import datasets
import lm_eval.tasks
import pytest
import yaml
from datasets import Dataset
from lm_eval.api.registry import get_model
from lm_eval.config.evaluate_config import EvaluatorConfig
from lm_eval.tasks import TaskManager

from lmx_models.zoo import catalogue
from lmx_plugins.discovery import all_task_folders

ROOT = Path(__file__).parents[3]
HOME = Path(lm_eval.tasks.__file__).parent
NAMES = ("ar", "hf", "guided")
# What some parts import: the packages of lm_eval[ifeval] and lm_eval[math], and pkg_resources of older setuptools.
EXTRAS = {
    "ifeval": ("langdetect", "immutabledict", "nltk"),
    "leaderboard_ifeval": ("langdetect", "immutabledict", "nltk", "pkg_resources"),
    "leaderboard_math_hard": ("sympy", "math_verify", "antlr4"),
}


@pytest.fixture(scope="module")
def manager() -> TaskManager:
    """Return the tasks of plugins and of the four folders that the configs take from lm_eval."""
    folders = [str(HOME / folder) for folder in ("ifeval", "leaderboard", "gsm8k", "hellaswag")]
    plugins = [str(folder) for _, folder in all_task_folders()]
    return TaskManager(include_path=[*plugins, *folders], include_defaults=False)


def config(name: str) -> EvaluatorConfig:
    """Return a config as `lm_eval --config` reads it."""
    return EvaluatorConfig.from_config(ROOT / "configs" / "leaderboard" / f"leaderboard_{name}.yaml")


@pytest.mark.parametrize("name", NAMES)
def test_a_config_names_a_model_and_tasks_that_exist(name: str, manager: TaskManager) -> None:
    read = config(name)
    assert read.model == name
    assert get_model(name)
    assert set(read.tasks) <= set(manager.all_tasks)


def test_the_configs_differ_in_the_model_alone() -> None:
    first, second, third = (
        yaml.safe_load((ROOT / "configs" / "leaderboard" / f"leaderboard_{name}.yaml").read_text()) for name in NAMES
    )
    for read in (first, second, third):
        assert read.pop("output_path") == f"results/leaderboard_{read.pop('model')}"
    for setting in ("oracle", "policy", "c", "k"):
        third["model_args"].pop(setting)
    assert first == second == third


def rows(path: str, name: str | None, choices: dict[str, list[str]]) -> dict[str, Dataset]:
    """Return eight rows a split in the form of a dataset of the Hub; the answers do not matter."""
    question = {"question": "How many cats?", "choices": "['one', 'two']", "narrative": "A cat. Another."}
    made: dict[str, dict[str, Any]] = {
        "openai/gsm8k": {"question": "How much is 2 + 2?", "answer": "2 + 2 = 4\n#### 4"},
        "Rowan/hellaswag": {
            "activity_label": "Cooking",
            "ctx_a": "A cook takes a pan.",
            "ctx_b": "the cook",
            "label": "0",
            "endings": ["heats it.", "eats it.", "sings.", "sleeps."],
        },
        "SaylorTwift/bbh": {"input": "Yes or no?", "target": choices.get(str(name), [""])[0]},
        "Idavidrein/gpqa": {"Question": "Which?", "Correct Answer": "this"}
        | {f"Incorrect Answer {i}": f"that {i}" for i in (1, 2, 3)},
        "TIGER-Lab/MMLU-Pro": {"question": "Which?", "options": ["this", "that"], "answer": "A", "answer_index": 0},
        "TAUR-Lab/MuSR": {**question, "answer_choice": "two", "answer_index": 1},
        "DigitalLearningGmbH/MATH-lighteval": {
            "problem": "How much is 2 + 2?",
            "solution": "It is $\\boxed{4}$.",
            "level": "Level 5",
            "type": "Algebra",
        },
    }
    for ifeval in ("google/IFEval", "wis-k/instruction-following-eval"):
        prompt = {"key": 1, "prompt": "Greet me without a comma.", "kwargs": [{}]}
        made[ifeval] = {**prompt, "instruction_id_list": ["punctuation:no_comma"]}
    splits = ("train", "validation", "test", "murder_mysteries", "object_placements", "team_allocation")
    return {split: Dataset.from_list([made[path]] * 8) for split in splits}


@pytest.fixture
def run(manager: TaskManager, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a config as it is, but for the weights, the rows, and limits on rows and tokens; return lm_eval's results."""
    index = manager.task_index
    parts = [index[name].cfg or {} for name in index["leaderboard_bbh"].cfg["task"]]  # type: ignore[index]
    choices = {part["dataset_name"]: part["doc_to_choice"] for part in parts}

    def load_dataset(path: str, name: str | None = None, **_: Any) -> dict[str, Dataset]:
        return rows(path, name, choices)

    monkeypatch.setattr(datasets, "load_dataset", load_dataset)

    def run(name: str, tasks: list[str]) -> Any:
        read = config(name)
        read.model_args["pretrained"] = catalogue.resolve("tiny-base").pretrained
        if name == "guided":
            read.model_args["oracle"] = catalogue.resolve("tiny-oracle").pretrained
        return lm_eval.simple_evaluate(
            model=read.model,
            model_args=read.model_args,
            tasks=tasks,
            batch_size=read.batch_size,
            device="cpu",
            limit=1,
            apply_chat_template=read.apply_chat_template,
            fewshot_as_multiturn=read.fewshot_as_multiturn,
            gen_kwargs={"max_gen_toks": 8},
            task_manager=manager,
            bootstrap_iters=0,
        )

    return run


def answers(results: Any, task: str) -> list[Any]:
    """Return what a model answered to the documents of a task."""
    return [sample["resps"] for sample in sorted(results["samples"][task], key=lambda sample: sample["doc_id"])]


def can_import(task: str) -> bool:
    return all(importlib.util.find_spec(module) for module in EXTRAS.get(task, ()))


@pytest.mark.full
def test_everything_in_the_configs_runs_and_likelihoods_are_the_bases(run: Any, manager: TaskManager) -> None:
    group = manager.task_index["leaderboard"].cfg["task"]  # type: ignore[index]
    wanted = [task for task in config("ar").tasks if task != "leaderboard"]
    tasks = [task for task in (*wanted, *group) if can_import(task)]
    done = {name: run(name, tasks) for name in NAMES}
    for name in NAMES:
        assert set(done[name]["samples"]) == set(done["hf"]["samples"])
        assert all(len(samples) >= 1 for samples in done[name]["samples"].values())
    for task, settings in done["hf"]["configs"].items():
        if settings["output_type"] != "generate_until":  # the network's alone: no way of decoding changes it
            assert answers(done["ar"], task) == answers(done["hf"], task) == answers(done["guided"], task), task
        elif not settings["generation_kwargs"].get("do_sample"):
            assert answers(done["ar"], task) == answers(done["hf"], task), task
    assert answers(done["guided"], "gsm8k") != answers(done["ar"], "gsm8k")


@pytest.fixture(scope="module")
def standard_tasks() -> Any:
    """Import the script that makes the page's table."""
    spec = importlib.util.spec_from_file_location("standard_tasks", ROOT / "scripts" / "standard_tasks.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["standard_tasks"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_table_is_that_of_the_installed_lm_eval(standard_tasks: Any) -> None:
    page = (ROOT / "docs/tasks/leaderboard.md").read_text(encoding="utf-8")
    assert standard_tasks.with_table(page) == page, "run scripts/standard_tasks.py --write docs/tasks/leaderboard.md"


def test_groups_and_tags_are_counted_by_their_parts(standard_tasks: Any) -> None:
    found = {row.name: row for row in standard_tasks.rows()}
    assert (found["ifeval"].judges, found["hellaswag"].judges) == ("network and decoder", "network alone")
    assert found["ifeval"].stops == "itself"
    assert found["mmlu"].likelihood == 57
    group = [found[name] for name in found if name.startswith("leaderboard_")]
    assert found["leaderboard"].generated == sum(row.generated for row in group)
    assert found["leaderboard"].likelihood == sum(row.likelihood for row in group)


def test_a_page_without_markers_is_refused(standard_tasks: Any) -> None:
    with pytest.raises(ValueError, match="the page has no"):
        standard_tasks.with_table("a page")
