"""Any sweep file and any state of somebody else: one line at worst, nothing started, no secret written."""

import json
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_files.safety import terminal
from lmx_runs.jobs.executors import Job, LocalExecutor
from lmx_runs.sweep import arms, config, plan
from lmx_runs.sweep.state import STATE_FILE, ArmState, State
from tests.unit.files.watching import HOSTILE, Watcher

ARM = ArmState(status="running", executor="local", token="0123456789abcdef" * 2).model_dump()
STATE = {"version": 1, "process": "", "arms": {"a": ARM}}


def sweep(**changes):
    return {
        "name": "s",
        "output_path": "out",
        "defaults": {"model": "scripted", "tasks": ["x"]},
        "arms": [{"name": "a"}],
        **changes,
    }


def load(folder: Path, data: object) -> list[arms.Arm]:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(data, allow_unicode=True), encoding="utf-8", errors="surrogatepass")
    return arms.expand(config.load(path), folder / "out")


@pytest.mark.parametrize(
    "secret",
    [
        {"env": {"DB_URL": "postgres://me:hunter22@host/x"}},
        {"env": {"GITHUB_PAT": "hunter22"}},
        {"wandb_args": {"project": "x", "api_key": "hunter22"}},
        {"gen_kwargs": {"extra": {"headers": {"Authorization": "hunter22"}}}},
        {"metadata": {"deep": [{"auth": "hunter22"}]}},
        {"model_args": {"base_url": "https://me:hunter22@host/v1"}},
        {"slurm": {"additional_parameters": {"comment": "token=hunter22"}}},
        {"matrix": {"model_args.auth_token": ["hunter22"]}},
        {"matrix": {"env.X": ["https://me:hunter22@host"]}},
        {"hf_hub_log_args": {"token": "hunter22"}},
    ],
)
@pytest.mark.parametrize("where", ["arms", "defaults"])
def test_a_secret_anywhere_in_a_sweep_file_is_refused_and_not_shown(tmp_path, secret, where):
    data = sweep(arms=[{"name": "a", **secret}])
    if where == "defaults" and "matrix" not in secret:
        data = sweep(defaults={**sweep()["defaults"], **secret})
    with pytest.raises(UserError, match="looks like a secret") as told:
        load(tmp_path, data)
    assert "hunter22" not in str(told.value)


def test_a_matrix_is_counted_before_it_is_built(tmp_path):
    matrix = {f"model_args.x{i}": list(range(10)) for i in range(9)}
    with pytest.raises(
        UserError, match=r"would have 1,000,000,001 arms, and 10,000 is the most: make the matrix of 'b'"
    ):
        load(tmp_path, sweep(arms=[{"name": "a"}, {"name": "b", "matrix": matrix}]))


FIELDS = st.sampled_from([*ArmState.model_fields, "more"])
STATES = st.builds(
    lambda name, value, top, odd: {**STATE, "arms": {"a": {**ARM, name: value}}} | ({top: odd} if top else {}),
    FIELDS,
    st.sampled_from(HOSTILE),
    st.sampled_from(["", "", "version", "process", "arms", "more"]),
    st.sampled_from(HOSTILE),
)
SETTINGS = st.sampled_from(
    [
        "name",
        "python",
        "env",
        "slurm",
        "matrix",
        "needs",
        "model_args",
        "gen_kwargs",
        "tasks",
        "model",
        "limit",
        "metadata",
        "x",
        "seed",
    ]
)
FILES = st.builds(
    lambda top, value, name, inner, key, deep: sweep(
        **(
            {"arms": [{"name": "a", name: {key: inner} if deep else inner}, {"name": "b"}]}
            | ({top: value} if top else {})
        )
    ),
    st.sampled_from(["", "", "", "name", "output_path", "executor", "max_parallel", "slurm", "defaults", "arms", "x"]),
    st.sampled_from(HOSTILE),
    SETTINGS,
    st.sampled_from(HOSTILE),
    SETTINGS | st.sampled_from(["env.X", "flags.seed", "\x1b[2J"]),
    st.booleans(),
)


def check_state(folder: Path, state: object) -> None:
    """Any state is taken, or refused in one line; nothing is signalled, whatever it names."""
    (folder / STATE_FILE).write_text(json.dumps(state))
    with Watcher(folder):
        try:
            known = State.load(folder)
        except UserError as error:
            told = str(error)
            assert "\n" not in told
            return
        executor = LocalExecutor()
        jobs = {name: Job(one.handle, one.token, folder / "outcome.json") for name, one in known.arms.items()}
        executor.poll(jobs)
        executor.stop(jobs)
        plan.selected([], known, [], True)
        known.save(folder)


def check_file(folder: Path, data: object) -> None:
    """Any sweep file gives arms, or one line; nothing is written and nothing started."""
    try:
        path = folder / "sweep.yaml"
        path.write_text(json.dumps(data))  # which is YAML too
        with Watcher(folder):
            found = arms.expand(config.load(path), folder / "out")
            for arm in found:
                assert arm.folder.parent == folder / "out" / "arms"
                plan.command_line(arm)
    except UserError as error:
        told = terminal.one_line(error)
        assert len(told) < 2100
        assert told == terminal.plain(told)


FAST = {"deadline": None, "suppress_health_check": list(HealthCheck), "database": None}


@settings(max_examples=200, **FAST)
@given(state=STATES)
def test_any_state_is_one_line_at_worst(tmp_path_factory, state):
    check_state(tmp_path_factory.getbasetemp(), state)


@settings(max_examples=200, **FAST)
@given(data=FILES)
def test_any_sweep_file_is_one_line_at_worst(tmp_path_factory, data):
    check_file(tmp_path_factory.getbasetemp(), data)


@pytest.mark.full
@settings(max_examples=10_000, **FAST)
@given(state=STATES)
def test_ten_thousand_states_are_one_line_at_worst(tmp_path_factory, state):
    check_state(tmp_path_factory.getbasetemp(), state)


@pytest.mark.full
@settings(max_examples=10_000, **FAST)
@given(data=FILES)
def test_ten_thousand_sweep_files_are_one_line_at_worst(tmp_path_factory, data):
    check_file(tmp_path_factory.getbasetemp(), data)
