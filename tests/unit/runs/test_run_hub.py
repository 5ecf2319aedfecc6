"""Where the Hub's name is unknown, a run does not try for minutes; and what lm_eval makes of wrong arguments."""

from __future__ import annotations

import os
import socket
import sys
import threading

import pytest
from lm_eval._cli.run import Run
from lm_eval.api.registry import get_model

from lmx_files.errors import UserError
from lmx_models.scripted import ScriptedLM
from lmx_runs import hub, run
from lmx_runs.options import parse


@pytest.fixture
def asked(monkeypatch):
    """The hosts whose names were looked up, all of them unknown."""
    hosts = []

    def unknown(host, _port):
        hosts.append(host)
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    monkeypatch.setenv("HF_HUB_OFFLINE", "")
    for name in [*hub._proxies(), "HF_ENDPOINT"]:
        monkeypatch.delenv(name, raising=False)
    return hosts


def test_an_unknown_name_means_offline(asked):
    hub.look_up()()
    assert asked == ["huggingface.co"]
    assert os.environ["HF_HUB_OFFLINE"] == "1"


def test_a_known_name_changes_nothing(asked, monkeypatch):
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: [asked.append(host)])
    hub.look_up()()
    assert asked == ["huggingface.co"]
    assert not os.environ["HF_HUB_OFFLINE"]


def test_a_name_service_that_hangs_is_not_waited_for(asked, monkeypatch):
    never = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda host, port: never.wait())
    monkeypatch.setattr(hub, "LONGEST_WAIT", 0.05)
    hub.look_up()()
    never.set()
    assert not os.environ["HF_HUB_OFFLINE"]


def test_another_endpoint_is_looked_up(asked, monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example:8443/x")
    hub.look_up()()
    assert asked == ["hub.example"]


@pytest.mark.parametrize("name", ["HF_HUB_OFFLINE", "https_proxy", "HTTPS_PROXY", "ALL_PROXY"])
def test_what_the_user_set_stands(asked, monkeypatch, name):
    monkeypatch.setenv(name, "0")
    hub.look_up()()
    assert asked == []
    assert os.environ["HF_HUB_OFFLINE"] == ("0" if name == "HF_HUB_OFFLINE" else "")


def test_arguments_that_do_not_fit_a_model_of_lm_eval_are_one_line(monkeypatch):
    class Needing(ScriptedLM):
        def __init__(self, pretrained):
            pass

    options = parse(["--model", "hf", "--tasks", "constraint_tiny"])
    monkeypatch.setattr(Run, "_execute", lambda _: Needing.create_from_arg_obj({}, {"device": None}))
    with pytest.raises(UserError, match=r"--model hf cannot be made from its --model_args: .*'pretrained'"):
        run._execute(options)


def test_a_fault_within_a_model_keeps_its_traceback(monkeypatch):
    class Faulty(ScriptedLM):
        def __init__(self):
            raise TypeError("a fault")

    options = parse(["--model", "hf", "--tasks", "constraint_tiny"])
    monkeypatch.setattr(Run, "_execute", lambda _: Faulty.create_from_arg_obj({}, {}))
    with pytest.raises(TypeError, match="a fault"):
        run._execute(options)


def test_empty_names_of_tasks_are_left_out():
    assert parse(["--tasks", "constraint_tiny,", ",constraint50"]).lm_eval.tasks == ["constraint_tiny", "constraint50"]


def test_a_package_that_is_not_installed_is_one_line(monkeypatch):
    monkeypatch.setitem(sys.modules, "lm_eval.models.gguf", None)
    options = parse(["--model", "gguf", "--tasks", "constraint_tiny"])
    monkeypatch.setattr(Run, "_execute", lambda _: get_model("gguf"))
    with pytest.raises(UserError, match=r"--model gguf, or a task, needs a package that is not here: .*gguf"):
        run._execute(options)


@pytest.mark.parametrize("flag", ["--seed", "--limit"])
def test_a_value_that_a_flag_cannot_take_names_no_function(flag):
    with pytest.raises(UserError, match=f"argument {flag}.*: invalid (float )?value: 'x'"):
        parse(["--tasks", "constraint_tiny", flag, "x"])
