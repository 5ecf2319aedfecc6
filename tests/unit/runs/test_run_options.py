"""What `lmx run` makes of its command line, before anything heavy is loaded."""

from pathlib import Path

import pytest

from lmx_files.errors import UserError
from lmx_plugins import bridge
from lmx_runs import fast_start
from lmx_runs.options import parse

BASE = ["--model", "ar", "--tasks", "constraint_tiny"]


def test_defaults():
    options = parse(BASE)
    assert options.output_path == Path("results")
    assert options.journal == Path("results/journal")
    assert options.lm_eval.log_samples
    assert options.lm_eval.output_path == "results"
    assert options.tasks == ("constraint_tiny",)
    assert not hasattr(options.lm_eval, "journal")


def test_lm_eval_s_flags_and_ours_in_any_form():
    options = parse([*BASE, "--output_path", "o/r.json", "--limit", "3", "--no_journal", "--include_path", "x,y"])
    assert options.journal is None
    assert options.lm_eval.limit == 3
    assert options.include_path == (Path("x"), Path("y"))
    assert parse([*BASE, "--output_path", "o/r.json"]).journal == Path("o/journal")
    assert parse(["--tasks", "a,b", "c", "--journal=j"]).tasks == ("a", "b", "c")


def test_tokens_of_a_vocabulary_are_no_secrets():
    parse([*BASE, "--model_args", "think_end_token=</think>,add_bos_token=True"])


def test_a_config_file_counts_where_the_command_line_is_silent(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("model: guided\ntasks: [constraint_tiny]\noutput_path: from_file\n")
    options = parse(["--config", str(config)])
    assert (options.model, options.tasks, options.output_path) == ("guided", ("constraint_tiny",), Path("from_file"))
    assert parse(["--config", str(config), "--output_path", "mine"]).output_path == Path("mine")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modle", "ar"], "unknown flag '--modle': did you mean '--model'"),
        (["--limit", "many"], "--limit"),
        (["constraint_tiny"], "unexpected argument 'constraint_tiny'"),
        (["--model_args", "pretrained=x,api_key=123"], "'api_key' looks like a secret"),
        (["--model_args", "hf_token=123"], "'hf_token' looks like a secret"),
        (["--config", "nowhere.yaml"], "cannot read --config nowhere.yaml"),
        (["--model", "ar"], "no tasks: give --tasks"),
        ([*BASE, "--resume", "--no_journal"], "--resume needs the journal"),
        ([*BASE, "--limit", "0"], "--limit 0.0: give a whole number of documents"),
        ([*BASE, "--limit", "-1"], "--limit -1.0: give"),
        ([*BASE, "--limit", "2.5"], "--limit 2.5: give"),
        ([*BASE, "--limit", "nan"], "--limit nan: give"),
        ([*BASE, "--limit", "inf"], "--limit inf: give"),
        ([*BASE, "--seed", "-1"], "--seed=-1 must be a whole number of at least 0"),
        ([*BASE, "--seed", "0,4294967296,1,1"], "--seed (numpy)=4294967296 must be at most 4294967295"),
        ([*BASE, "--cache_requests"], "--cache_requests: lm_eval finds cached requests by a key that knows neither"),
        ([*BASE, "--cache_requests", "refresh"], "--cache_requests: lm_eval finds"),
        ([*BASE, "--samples", '{"constraint_tiny": []}'], "--samples wants numbers of documents"),
        ([*BASE, "--samples", '{"constraint_tiny": [3, -1]}'], "constraint_tiny has -1"),
        ([*BASE, "--samples", '{"constraint_tiny": [1, true]}'], "constraint_tiny has True"),
        ([*BASE, "--samples", '{"constraint_tiny": [1, 4, 1]}'], "names document 1 twice"),
        ([*BASE, "--samples", '{"constraint_tiny": "0"}'], "constraint_tiny has '0'"),
        ([*BASE, "--samples", "[0]"], "--samples wants numbers of documents by task"),
        ([*BASE, "--samples", "nowhere.json"], "--samples nowhere.json is neither JSON nor a file"),
    ],
)
def test_mistakes_are_one_line(arguments, message):
    with pytest.raises(UserError) as error:
        parse(arguments)
    assert message in str(error.value)
    assert "123" not in str(error.value)


def test_samples_are_put_in_order_wherever_they_come_from(tmp_path):
    wanted = {"constraint_tiny": [1, 4, 7]}
    assert parse([*BASE, "--samples", '{"constraint_tiny": [4, 7, 1]}']).lm_eval.samples == wanted
    (tmp_path / "samples.json").write_text('{"constraint_tiny": [7, 1, 4]}')
    assert parse([*BASE, "--samples", str(tmp_path / "samples.json")]).lm_eval.samples == wanted
    (tmp_path / "samples.json").write_text('{"constraint_tiny": [7], "constraint_tiny": [1]}')
    with pytest.raises(UserError, match="'constraint_tiny' stands there twice"):
        parse([*BASE, "--samples", str(tmp_path / "samples.json")])
    config = tmp_path / "run.yaml"
    config.write_text("model: ar\ntasks: [constraint_tiny]\nsamples: {constraint_tiny: [4, 1, 7]}\n")
    assert parse(["--config", str(config)]).lm_eval.samples == wanted


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("cache_requests: true", "--cache_requests: lm_eval finds"),
        ("cache_requests: refresh", "--cache_requests: lm_eval finds"),
        ("cache_requests: {cache_requests: true}", "--cache_requests: lm_eval finds"),
        ("limit: 0", "--limit 0: give"),
        ("limit: true", "--limit True: give"),
        ("limit: many", "--limit many: give"),
        ("seed: true", "--seed=True is not a whole number"),
        ("seed: [1, 2, -3, 4]", "--seed (torch)=-3 must be"),
        ("samples: {constraint_tiny: 3}", "constraint_tiny has 3"),
    ],
)
def test_mistakes_in_a_config_file_are_one_line(tmp_path, line, message):
    config = tmp_path / "run.yaml"
    config.write_text(f"model: ar\ntasks: [constraint_tiny]\n{line}\n")
    with pytest.raises(UserError) as error:
        parse(["--config", str(config)])
    assert message in str(error.value)


def test_what_is_cached_of_requests_may_be_deleted_and_is_never_used(tmp_path):
    config = tmp_path / "run.yaml"
    for word, deleted in (("false", False), ("null", False), ("delete", True)):
        config.write_text(f"model: ar\ntasks: [constraint_tiny]\ncache_requests: {word}\n")
        settings = parse(["--config", str(config)]).lm_eval.cache_requests
        assert (settings["cache_requests"], settings["delete_requests_cache"]) == (False, deleted)
    assert parse([*BASE, "--cache_requests", "delete"]).lm_eval.cache_requests["delete_requests_cache"]
    assert parse([*BASE, "--seed", "1,None,3,4", "--limit", "0.5"]).lm_eval.seed == [1, None, 3, 4]


def test_a_secret_in_a_config_file_is_refused_too(tmp_path):
    config = tmp_path / "run.yaml"
    config.write_text("model: ar\nmodel_args: {pretrained: x, password: abc}\n")
    with pytest.raises(UserError, match="'password' looks like a secret"):
        parse(["--config", str(config)])


@pytest.mark.parametrize(
    ("tasks", "fast"),
    [
        (["constraint50"], True),
        (["constraint50", "category_counting_tiny"], True),
        (["constraint50", "hellaswag"], False),
        (["constraint*"], False),
        (["lmx_tasks/constraint50/constraint50.yaml"], False),
        ([], False),
    ],
)
def test_which_runs_need_no_index_of_built_in_tasks(tasks, fast):
    assert fast_start.known(tasks) is fast


def test_tasks_of_an_include_path_and_their_references(tmp_path):
    (tmp_path / "a.yaml").write_text("task: my_task\ntag: my_tag\noutput_type: generate_until\n")
    (tmp_path / "g.yaml").write_text("group: my_group\ntask: [my_task, constraint50]\n")
    (tmp_path / "h.yaml").write_text("group: other_group\ntask: [my_task, {task: hellaswag}]\n")
    assert fast_start.known(["my_task", "my_tag", "my_group"], [tmp_path])
    assert not fast_start.known(["other_group"], [tmp_path])
    assert not fast_start.known(["my_task"])


def test_the_index_is_left_out_only_when_it_can_be(monkeypatch):
    monkeypatch.setattr(bridge, "with_built_in_tasks", True)
    assert not fast_start.skip_built_in_tasks(["hellaswag"])
    assert bridge.with_built_in_tasks
    assert fast_start.skip_built_in_tasks(["constraint_tiny"])
    assert not bridge.with_built_in_tasks
    from lm_eval.tasks import TaskManager

    tasks = TaskManager().all_tasks
    assert "constraint_tiny" in tasks
    assert "hellaswag" not in tasks
