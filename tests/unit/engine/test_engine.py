"""The engine against stock transformers, on small random networks of several architectures."""

import pytest
import torch

from lmx_files.errors import UserError
from lmx_models.core.base import Feed, Generation
from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.autoregressive import autoregressive
from lmx_models.engine import slot_attention
from lmx_models.engine.scheduler import Job, Scheduler
from lmx_models.engine.self_check import check
from lmx_models.engine.step_model import StepModel
from tests.unit.decoding.decoding_tools import ARCHITECTURES, EOS, VOCABULARY, random_model, stopping

PROMPTS = [[5, 9, 2], [7], [3, 3, 8, 1, 4, 9, 11, 13], [21, 2], [6] * 15, [30, 31, 32], [8, 9]]


@pytest.fixture(autouse=True, params=["rows_one_by_one", "rows_padded"])
def attention(request, monkeypatch):
    """Both ways of attending must be right; a GPU takes the second one."""
    monkeypatch.setattr(slot_attention, "_rows_one_by_one", getattr(slot_attention, f"_{request.param}"), raising=True)


def texts(model, sampling: Sampling, rows: int, in_flight: int | None = None) -> dict[int, list[int]]:
    scheduler = Scheduler({"ar": StepModel(model, in_flight or rows)}, rows, in_flight)
    jobs = [
        Job(i, lambda i=i, p=p: autoregressive(p, "ar", sampling, stopping(25), stream(i)))
        for i, p in enumerate(PROMPTS)
    ]
    return {finished.key: finished.generation.tokens for finished in scheduler.run(jobs)}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cached_equals_full_forward(architecture):
    assert check(random_model(architecture), architecture) < 1e-4


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3"])
def test_greedy_equals_transformers_generate(architecture):
    model = random_model(architecture)
    ours = texts(model, Sampling(), rows=3)
    for i, prompt in enumerate(PROMPTS):
        ids = torch.tensor([prompt])
        theirs = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),  # else transformers takes the padding id in a prompt for padding
            max_new_tokens=25,
            do_sample=False,
            eos_token_id=EOS,
            pad_token_id=1,
        )[0, len(prompt) :]
        assert ours[i] == theirs.tolist()


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_rows_and_sequences_in_flight_do_not_change_texts(temperature):
    model = random_model()
    expected = texts(model, Sampling(temperature), rows=1)
    assert len({tuple(tokens) for tokens in expected.values()}) == len(PROMPTS)
    for rows, in_flight in ((2, None), (4, 7), (7, None), (16, None)):
        assert texts(model, Sampling(temperature), rows, in_flight) == expected


def test_a_limit_on_tokens_in_a_forward_does_not_change_texts():
    model = random_model()
    expected = texts(model, Sampling(1.0), rows=4)
    scheduler = Scheduler({"ar": StepModel(model, 4)}, 4, max_batched_tokens=5)
    jobs = [
        Job(i, lambda i=i, p=p: autoregressive(p, "ar", Sampling(1.0), stopping(25), stream(i)))
        for i, p in enumerate(PROMPTS)
    ]
    assert {one.key: one.generation.tokens for one in scheduler.run(jobs)} == expected


@pytest.mark.parametrize("rows", [(0, 2), (0, 3, 5), (1, 2, 4, 6), (0, 1, 2, 3), (0, 2, 4, 5, 6)])
def test_single_tokens_in_any_rows_side_by_side_or_not(rows):
    model = random_model()
    step = StepModel(model, len(PROMPTS))
    for i, prompt in enumerate(PROMPTS):
        step.open(i)
        step.step([(i, Feed("m", prompt))])
    got = step.step([(i, Feed("m", [17])) for i in rows])[0]
    for i, logits in zip(rows, got, strict=True):
        with torch.inference_mode():
            expected = model(torch.tensor([[*PROMPTS[i], 17]])).logits[0, -1:]
        assert torch.allclose(logits, expected, atol=1e-4)


def test_roll_back_forgets_and_keep_drops():
    model = random_model()
    step = StepModel(model, 2)
    step.open("a")
    right = [4, 8, 15, 16, 23]
    with torch.inference_mode():
        expected = model(torch.tensor([right])).logits[0]
    step.step([("a", Feed("m", [4, 8]))])
    step.step([("a", Feed("m", [40, 41, 42], keep=0))])
    assert step.length("a") == 2
    step.step([("a", Feed("m", [15, 45, 46], keep=1))])
    step.step([("a", Feed("m", [44]))])
    logits = step.step([("a", Feed("m", [16, 23], at=3, logits=2))])[0][0]
    assert torch.allclose(logits, expected[3:], atol=1e-5)


def test_full_attention_inside_a_block_over_a_cached_prefix():
    model = random_model()
    step = StepModel(model, 1)
    step.open(0)
    tokens, block = [4, 8, 15], [16, 23, 42]
    step.step([(0, Feed("m", tokens))])
    logits = step.step([(0, Feed("m", block, logits=3, full=True))])[0][0]
    mask = torch.ones(6, 6).tril().bool()
    mask[3:, 3:] = True
    with torch.inference_mode():
        whole = model(torch.tensor([tokens + block]), attention_mask=mask[None, None]).logits[0, 3:]
    assert torch.allclose(logits, whole, atol=1e-5)


def test_positions_may_differ_from_slots():
    model = random_model()
    step = StepModel(model, 1)
    step.open(0)
    step.step([(0, Feed("m", [4, 8]))])
    # Written in the order 3, 2: causal by slot, positions as in the text.
    logits = step.step([(0, Feed("m", [16, 15], positions=[3, 2], logits=2))])[0][0]
    with torch.inference_mode():
        expected = model(
            torch.tensor([[4, 8, 16, 15]]),
            position_ids=torch.tensor([[0, 1, 3, 2]]),
            attention_mask=torch.ones(1, 1, 4, 4).tril().bool(),
        ).logits[0, 2:]
    assert torch.allclose(logits, expected, atol=1e-5)


def test_the_model_is_as_it_was_outside_a_step():
    model = random_model()
    before = model.config._attn_implementation
    with torch.inference_mode():
        expected = model(torch.tensor([PROMPTS[2]])).logits
        StepModel(model, 1)
        check(model, "m")
        assert torch.equal(model(torch.tensor([PROMPTS[2]])).logits, expected)
    assert model.config._attn_implementation == before


def test_rows_grow_without_losing_what_is_cached():
    model = random_model()
    step = StepModel(model, 1)
    step.open(0)
    tokens = torch.randint(1, VOCABULARY, (200,), generator=torch.Generator().manual_seed(0)).tolist()
    step.step([(0, Feed("m", tokens[:100]))])
    logits = step.step([(0, Feed("m", tokens[100:]))])[0][0]
    with torch.inference_mode():
        assert torch.allclose(logits, model(torch.tensor([tokens])).logits[0, -1:], atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_self_check_refuses_a_model_whose_cache_path_is_wrong(monkeypatch, dtype):
    model = random_model().to(dtype)
    monkeypatch.setattr(
        slot_attention, "_span_mask", lambda plan, span, *_: torch.ones(span.n, span.at + span.n).bool()
    )
    with pytest.raises(UserError, match=r"differ from those of a full forward.*--model hf"):
        check(model, "broken")


def test_self_check_takes_rounding_in_16_bits_for_what_it_is():
    """Single logits of a right model may be off by a tenth of the largest: Qwen2.5-Coder-0.5B was refused for less."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    shape = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4, "num_key_value_heads": 2}
    config = Qwen2Config(vocab_size=300, num_hidden_layers=16, initializer_range=0.8, **shape)
    for dtype, rounding in ((torch.float32, 1e-4), (torch.bfloat16, 0.1)):
        torch.manual_seed(0)
        assert check(Qwen2ForCausalLM(config).to(dtype).eval(), "m") < rounding


def test_self_check_refuses_an_architecture_without_slots():
    from transformers import AutoModelForCausalLM, BloomConfig

    model = AutoModelForCausalLM.from_config(BloomConfig(vocab_size=50, hidden_size=16, n_layer=1, n_head=2)).eval()
    with pytest.raises(UserError, match=r"bloom.*BloomForCausalLM.*--model hf"):
        check(model, "bloom")


def test_closing_the_scheduler_early_frees_the_rows():
    model = random_model()
    step = StepModel(model, 2)
    scheduler = Scheduler({"ar": step}, 2)
    jobs = [
        Job(i, lambda p=p: autoregressive(p, "ar", Sampling(), stopping(25), stream(0))) for i, p in enumerate(PROMPTS)
    ]
    run = scheduler.run(jobs)
    next(run)
    run.close()
    assert len(step._free) == 2


def test_keys_may_share_a_row_that_their_caller_gives_out():
    step = StepModel(random_model(), 2)
    step.open("a")
    step.step([("a", Feed("ar", [1, 2, 3]))])
    step.place("b", step.row("a"))
    assert (step.row("b"), step.length("b")) == (step.row("a"), 3)
    step.place("c", step.row("a"), 1)
    assert step.length("a") == 1
    for key in "bc":
        step.forget(key)
    assert (step.has("a"), step.has("b"), step.has("c")) == (True, False, False)
    step.open("d")
    assert step.row("d") != step.row("a"), "a row that was forgotten was not taken back"


def test_forwards_stay_with_a_model_while_it_fills_its_rows(monkeypatch):
    def by_turns(prompt):
        for _ in range(2):
            yield Feed("a", prompt, 0)
            yield Feed("b", prompt, 0)
        return Generation([], [], "length", 0, {})

    ran = []
    step = StepModel.step
    monkeypatch.setattr(StepModel, "step", lambda self, feeds: ran.append(self) or step(self, feeds))
    models = {name: StepModel(random_model(), 4) for name in "ab"}
    jobs = [Job(i, lambda i=i: by_turns([5 + i])) for i in range(4)]
    assert len(list(Scheduler(models, 2, 4).run(jobs))) == 4
    assert [name for one in ran for name in "ab" if models[name] is one] == [*"aabbaabb"]


def test_sequences_are_taken_going_round_the_rows(monkeypatch):
    def thrice(prompt):
        for _ in range(3):
            yield Feed("m", prompt, 0)
        return Generation([], [], "length", 0, {})

    fed = []
    step = StepModel.step

    def watched(self, feeds):
        fed.append([key for (key, _), _ in feeds])
        return step(self, feeds)

    monkeypatch.setattr(StepModel, "step", watched)
    jobs = [Job(i, lambda i=i: thrice([5 + i])) for i in range(5)]
    assert len(list(Scheduler({"m": StepModel(random_model(), 5)}, 2, 5).run(jobs))) == 5
    assert fed == [[0, 1], [2, 3], [4, 0], [1, 2], [3, 4], [0, 1], [2, 3], [4]]
