"""The choice of attention, and flash-attention's packing against PyTorch's kernels; the CUDA kernel is stood in for."""

import sys
import types

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.core.base import Feed
from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.diffusion.wedlm import WeDLMConfig, wedlm
from lmx_models.engine import flash_attention
from lmx_models.engine.flash_attention import choose, rows_varlen
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.slot_attention import attend_by
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import VOCABULARY, random_model, stopping

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
HALF, FULL = torch.bfloat16, torch.float32


def varlen(q, k, v, cu_q, cu_k, max_q, max_k, softmax_scale, causal, window_size, softcap):
    """What flash_attn_varlen_func computes, by its documentation: causal is aligned at the bottom right."""
    assert cu_q.dtype == cu_k.dtype == torch.int32
    assert q.is_contiguous()
    lengths_q, lengths_k = cu_q.diff(), cu_k.diff()
    assert (int(lengths_q.max()), int(lengths_k.max())) == (max_q, max_k)
    assert (int(cu_q[-1]), int(cu_k[-1])) == (len(q), len(k))
    out = torch.empty_like(q)
    for i in range(len(lengths_q)):
        a, b = slice(cu_q[i], cu_q[i + 1]), slice(cu_k[i], cu_k[i + 1])
        n, m = int(lengths_q[i]), int(lengths_k[i])
        last = torch.arange(n)[:, None] + m - n
        slot = torch.arange(m)
        seen = slot <= last if causal else torch.ones(n, m, dtype=torch.bool)
        if window_size[0] >= 0:
            seen &= slot >= last - window_size[0]
        if window_size[1] >= 0:
            seen &= slot <= last + window_size[1]
        keys, values = (x[b].repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
        scale = softmax_scale if softmax_scale is not None else q.shape[-1] ** -0.5
        scores = torch.einsum("nhd,mhd->hnm", q[a], keys) * scale
        if softcap:
            scores = torch.tanh(scores / softcap) * softcap
        weights = torch.softmax(scores.masked_fill(~seen, float("-inf")), dim=-1)
        out[a] = torch.einsum("hnm,mhd->nhd", weights, values)
    return out


@pytest.fixture
def installed(monkeypatch):
    """Stand in for the package flash-attn."""
    package = types.ModuleType("flash_attn")
    package.flash_attn_varlen_func = varlen
    monkeypatch.setitem(sys.modules, "flash_attn", package)


@pytest.fixture
def missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "flash_attn", None)


def test_choice_where_flash_is_installed(installed):
    assert choose("auto", CUDA, HALF) == choose("flash", CUDA, HALF) == "flash"
    assert choose("auto", CUDA, torch.float16) == "flash"
    assert choose("sdpa", CUDA, HALF) == choose("auto", CPU, HALF) == choose("auto", CUDA, FULL) == "sdpa"
    with pytest.raises(UserError, match=r"attn=flash needs a CUDA device.*on cpu.*attn=sdpa"):
        choose("flash", CPU, HALF)
    with pytest.raises(UserError, match=r"attn=flash needs 16-bit weights.*float32.*dtype=bfloat16"):
        choose("flash", CUDA, FULL)


def test_choice_where_flash_is_missing(missing):
    assert choose("auto", CUDA, HALF) == "sdpa"
    with pytest.raises(UserError, match=r"attn=flash needs the package flash-attn .*pip install 'lmx-eval\[flash\]'"):
        choose("flash", CUDA, HALF)


def test_an_unknown_choice():
    with pytest.raises(UserError, match="did you mean 'flash'"):
        choose("flsh", CPU, FULL)


def feeds(step, rows):
    """Prompts of several lengths, single tokens, several tokens, full blocks, roll-backs and reordered positions."""
    out = []
    for key in range(rows):
        step.open(key)
    out += step.step([(key, Feed("m", [5 + key] * (key + 1), logits=key + 1)) for key in range(rows)])[0]
    out += step.step([(0, Feed("m", [7])), (2, Feed("m", [9, 4, 3], logits=3)), (3, Feed("m", [8], logits=1))])[0]
    out += step.step([(0, Feed("m", [7, 2], logits=2, full=True)), (1, Feed("m", [3, 1, 2], logits=3))])[0]
    out += step.step([(2, Feed("m", [6, 6], at=3, positions=[5, 3], keep=1, logits=2))])[0]
    return out


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma2", "gemma3"])
def test_packing_equals_sdpa(architecture, installed):
    model = random_model(architecture)
    expected = feeds(StepModel(model, 4), 4)
    step = StepModel(model, 4)
    calls = []
    attend_by(step.cache, lambda *args: (calls.append(len(args[3].spans)), rows_varlen(*args))[1])
    for ours, theirs in zip(feeds(step, 4), expected, strict=True):
        assert torch.allclose(ours, theirs, atol=1e-4)
    assert set(calls) == {4, 3, 2, 1}


def test_wedlm_writes_the_same_text_by_packing(installed):
    model = random_model("qwen3")
    model.lm_head.weight.data.mul_(4)
    prompts = [[5, 9, 2], [7], [3, 3, 8, 1], [21, 2], [6] * 9]

    def texts(packed):
        step = StepModel(model, 3)
        if packed:
            attend_by(step.cache, rows_varlen)
        config = WeDLMConfig(window=6, tau=1.4)
        jobs = [
            Job(
                i,
                lambda i=i, p=p: wedlm(p, "m", VOCABULARY - 1, config, Sampling(1.0), stopping(), stream(i)),
            )
            for i, p in enumerate(prompts)
        ]
        return {one.key: one.generation.tokens for one in Scheduler({"m": step}, 3).run(jobs)}

    assert texts(True) == texts(False)


def test_the_packing_is_made_once_a_forward(installed, monkeypatch):
    made = []
    packing = flash_attention._packing
    monkeypatch.setattr(flash_attention, "_packing", lambda *args: made.append(packing(*args)) or made[-1])
    step = StepModel(random_model("llama"), 1)
    attend_by(step.cache, rows_varlen)
    step.open(0)
    step.step([(0, Feed("m", [3, 4, 5]))])
    assert len(made) == 3  # layers
    assert all(a is b for a, b in zip(made[0], made[2], strict=True))
