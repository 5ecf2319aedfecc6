"""Mistakes in tasks' files and in `--config` are one line, before weights are looked for."""

import argparse
import json

import pytest

from lmx_files.errors import UserError

TASK = """task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {data}}}
test_split: train
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{q}}}}"
metric_list: [{{metric: exact_match}}]
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data.jsonl").write_text(json.dumps({"q": "x"}) + "\n")
    return tmp_path


def manager(folder):
    from lm_eval.tasks import TaskManager

    return TaskManager(include_path=str(folder), include_defaults=False)


def add(folder, settings, name="written", file=None):
    text = TASK.format(name=name, data=folder / "data.jsonl") + settings
    (folder / f"{file or name}.yaml").write_text(text)


def evaluate(folder, monkeypatch, tasks=("written",), **asked):
    import lm_eval.evaluator as evaluator

    import lmx_models.harness.decoder_lm as decoder_lm

    monkeypatch.setattr(decoder_lm.catalogue, "resolve", lambda *_, **__: pytest.fail("looked for weights"))
    evaluator.simple_evaluate(
        "ar", "pretrained=tiny-base", tasks=list(tasks), device="cpu", task_manager=manager(folder), **asked
    )


MISTAKES = [
    ("{temperature: hot}", "temperature='hot' is not a number"),
    ("{temperature: [1]}", r"temperature=\[1\] is not a number"),
    ("{temperature: null}", "temperature=None: a number is needed"),
    ("{until: 5}", "until=5: 5 is not text"),
    ("{until: {a: b}}", "is not text"),
    ("{max_gen_toks: ten}", "max_gen_toks='ten' is not a whole number"),
    ("{max_gen_toks: 0}", "max_gen_toks=0 must be a whole number of at least 1"),
    ("{do_sample: maybe}", "do_sample='maybe' is not a true/false value"),
    ("{top_k: 1.5}", "top_k=1.5 is not a whole number"),
    ("{temprature: 1}", "did you mean 'temperature'"),
    ("{do_sample: true, temperature: -1}", "temperature=-1"),
]


@pytest.mark.parametrize(("settings", "message"), MISTAKES)
def test_a_task_s_own_generation_settings_are_read_before_weights(folder, monkeypatch, settings, message):
    add(folder, f"generation_kwargs: {settings}\n")
    with pytest.raises(UserError, match=f"^task written: .*{message}") as error:
        evaluate(folder, monkeypatch)
    assert "\n" not in str(error.value)


def test_in_groups_tags_and_included_files_too(folder, monkeypatch):
    (folder / "common").write_text("generation_kwargs: {max_gen_toks: 1.5}\n")
    add(folder, "include: common\ntag: written_tag\n")
    add(folder, "generation_kwargs: {max_gen_toks: 2}\n", name="right")
    (folder / "group.yaml").write_text("group: written_group\ntask: [right, written]\n")
    (folder / "outer.yaml").write_text("group: written_outer\ntask:\n- group: inner\n  task: [right, written]\n")
    for name in ("written_tag", "written_group", "written_outer"):
        with pytest.raises(UserError, match=r"^task written: max_gen_toks=1\.5"):
            evaluate(folder, monkeypatch, [name])
    with pytest.raises(pytest.fail.Exception, match="looked for weights"):
        evaluate(folder, monkeypatch, ["right"])
    with pytest.raises(pytest.fail.Exception, match="looked for weights"):
        evaluate(folder, monkeypatch, gen_kwargs={"max_gen_toks": 3})  # replaces the mistake, as in lm_eval
    with pytest.raises(UserError, match=r"^max_gen_toks=2\.5"):
        evaluate(folder, monkeypatch, gen_kwargs={"max_gen_toks": 2.5})  # not the task's


def test_a_key_that_stands_twice_in_a_task_s_file(folder, monkeypatch):
    add(folder, "generation_kwargs: {max_gen_toks: 2}\ngeneration_kwargs: {max_gen_toks: 3}\n")
    with pytest.raises(UserError, match=r"task file .*written.yaml: line 10: 'generation_kwargs' stands there twice"):
        evaluate(folder, monkeypatch)
    (folder / "common").write_text("num_fewshot: 0\nnum_fewshot: 1\n")
    add(folder, "include: common\nprocess_docs: !function nowhere.nothing\n")
    with pytest.raises(UserError, match=r"task file .*common: line 2: 'num_fewshot'"):
        evaluate(folder, monkeypatch)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": "hot"}, "task written: generation_kwargs: temperature='hot' is not a number"),
        (["a"], r"task written: generation_kwargs=\['a'\] are no settings"),
        ("greedy", "task written: generation_kwargs='greedy' are no settings"),
    ],
)
def test_what_lm_eval_itself_fails_with_is_one_line_for_any_model(settings, message):
    from lm_eval.config.task import TaskConfig

    with pytest.raises(UserError, match=message):
        TaskConfig(task="written", generation_kwargs=settings)
    assert TaskConfig(task="written", generation_kwargs={"temperature": "0.5"}).generation_kwargs["temperature"] == 0.5


@pytest.mark.parametrize("model", ["flag", "file"])
def test_a_config_file_under_plain_lm_eval(tmp_path, model, capsys):
    from lm_eval.config.evaluate_config import EvaluatorConfig

    path = tmp_path / "run.yaml"

    def read(name, text):
        path.write_text(text + (f"model: {name}\n" if model == "file" else ""))
        flag = name if model == "flag" else None
        return EvaluatorConfig.from_cli(argparse.Namespace(config=str(path), model=flag))

    twice = "tasks: [arc_easy]\nlimit: 2\nlimit: 3\n"
    with pytest.raises(UserError, match=r"cannot read --config .*run.yaml: line 3: 'limit' stands there twice"):
        read("ar", twice)
    assert read("hf", twice).limit == 3, "other models are lm_eval's own affair"
    assert read("ar", "tasks: [arc_easy]\nlimit: 2\n").limit == 2
