"""Where models run, and which arguments of transformers pass through."""

from __future__ import annotations

import lm_eval
import pytest
import torch
from lm_eval.tasks import TaskManager

from lmx_files.errors import UserError
from lmx_models.engine.self_check import check
from lmx_models.engine.step_model import cache_argument
from lmx_models.harness.devices import usable_device
from lmx_models.methods.ar import AutoregressiveLM

WITHOUT_CUDA = pytest.mark.skipif(torch.cuda.is_available(), reason="says what happens where there is no CUDA")


@WITHOUT_CUDA
@pytest.mark.parametrize(("asked", "device"), [(None, "cpu"), ("cuda:0", "cpu"), ("cuda", "cpu"), ("cpu", "cpu")])
def test_cuda_is_used_only_where_it_is(asked, device):
    assert usable_device(asked) == device


@WITHOUT_CUDA
def test_simple_evaluate_needs_no_device_and_tells_the_one_it_used():
    found = lm_eval.simple_evaluate(
        model="ar",
        model_args="pretrained=tiny-base,attn_implementation=eager",
        tasks=["category_counting_tiny"],
        limit=1,
        task_manager=TaskManager(include_defaults=False),
    )
    assert found["config"]["device"] == "cpu"
    assert found["config"]["decoding"]["threads"]["torch"] == torch.get_num_threads()


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"attn_implementation": "someone/a-kernel"}, "unknown attn_implementation 'someone/a-kernel'"),
        ({"load_in_8bit": True}, "load_in_8bit=True is not supported"),
        ({"load_in_4bit": True}, "load_in_4bit=True is not supported"),
    ],
)
def test_arguments_that_cannot_be_are_refused_with_the_reason(argument, message):
    with pytest.raises(UserError, match=message):
        AutoregressiveLM(pretrained="tiny-base", **argument)


def test_attention_of_likelihoods_is_the_one_asked_for():
    lm = AutoregressiveLM(pretrained="tiny-base", attn_implementation="eager", low_cpu_mem_usage=True, self_check=False)
    assert lm.model.config._attn_implementation == "eager"


def test_only_the_folders_named_are_searched_without_defaults(tmp_path):
    (tmp_path / "mine.yaml").write_text("task: mine_alone\noutput_type: generate_until\ndataset_path: json\n")
    assert TaskManager(include_path=str(tmp_path), include_defaults=False).all_tasks == ["mine_alone"]


def test_a_forward_that_calls_its_cache_otherwise_is_given_it_by_that_name(monkeypatch):
    lm = AutoregressiveLM(pretrained="tiny-base", device="cpu", self_check=False)
    seen, original = [], lm.model.forward

    def forward(input_ids=None, attention_mask=None, position_ids=None, cache=None, **kwargs):
        seen.append(type(cache).__name__)
        return original(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            **kwargs,
        )

    monkeypatch.setattr(lm.model, "forward", forward)
    check(lm.model, "tiny-base")
    assert set(seen) >= {"SlotCache"}
    assert cache_argument(lm.model) == "cache"
