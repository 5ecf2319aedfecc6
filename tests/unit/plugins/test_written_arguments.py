"""A name that stands twice in the pairs of one flag is refused where one of our models is asked for."""

from __future__ import annotations

import pytest

from lmx_files.errors import UserError
from lmx_plugins.evaluation import written_arguments
from lmx_plugins.evaluation.written_arguments import doubled
from lmx_runs.options import parse


@pytest.mark.parametrize(
    ("values", "name"),
    [
        (["temperature=0.5,temperature=0.7"], "temperature"),
        (["a=1", "b=2,a=3"], "a"),
        (['{"top_p": 1, "top_p": 0.5}'], "top_p"),
        (['{"x": {"y": 1, "y": 2}}'], "y"),
        (["a=1, a=2"], "a"),
        (["a=1,b=2"], None),
        (["until=['a=1,a=2']"], None),
        (['until=["x=1","x=2"],n=3'], None),
        (['{"a": [1, 1], "b": {"a": 2}}'], None),
        ([""], None),
        (["pretrained=x/y==z"], None),
    ],
)
def test_names_given_twice(values, name):
    assert doubled(values) == name


@pytest.mark.parametrize("flag", ["--gen_kwargs", "--model_args", "--metadata"])
def test_lmx_run_refuses_them(flag):
    arguments = ["--model", "ar", "--tasks", "constraint_tiny", flag, "top_p=0.5,top_p=0.7"]
    with pytest.raises(UserError, match=f"{flag}: 'top_p' is given twice"):
        parse(arguments)
    parse([*arguments[:-1], "top_p=0.5,temperature=0.7"])


@pytest.mark.parametrize(("model", "refused"), [("ar", True), ("hf", False)])
def test_plain_lm_eval_refuses_them_for_models_of_plugins(model, refused):
    from lm_eval._cli.harness import HarnessCLI
    from lm_eval.config.evaluate_config import EvaluatorConfig

    arguments = ["run", "--model", model, "--tasks", "constraint_tiny", "--gen_kwargs", "top_p=0.5,top_p=0.7"]
    namespace = HarnessCLI()._parser.parse_args(arguments)
    if refused:
        with pytest.raises(UserError, match="'top_p' is given twice"):
            EvaluatorConfig.from_cli(namespace)
    else:
        assert EvaluatorConfig.from_cli(namespace).gen_kwargs["top_p"] == 0.7
    written_arguments.refuse_doubled()  # nothing is left for the next command line


def test_samples_of_a_task_that_is_not_run_are_found_at_the_start(tmp_path):
    from lmx_runs.run import run

    arguments = ["--model", "scripted", "--model_args", "text=x", "--output_path", str(tmp_path)]
    with pytest.raises(UserError, match="unknown task in --samples 'constraint_tny': did you mean 'constraint_tiny'"):
        run([*arguments, "--tasks", "constraint_tiny", "--samples", '{"constraint_tny": [0]}'])
