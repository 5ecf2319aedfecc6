"""What a run takes from the journal, and what it writes again."""

import pytest
from lm_eval.api.instance import Instance

from lmx_models.guided.model import GuidedLM
from lmx_models.methods.ar import AutoregressiveLM
from tests.unit.models.test_decoder_lm import requests

PAIR = {"pretrained": "tiny-base", "oracle": "tiny-oracle", "device": "cpu", "batch_size": 4, "self_check": False}


def run(journal, kind=GuidedLM, n=3, generation=None, **arguments):
    """Write `n` texts; return them with the number that came from the journal."""
    model_arguments = dict(PAIR, journal=str(journal)) | arguments
    if kind is AutoregressiveLM:
        model_arguments.pop("oracle")
    lm = kind(**model_arguments)
    texts = lm.generate_until(requests(n=n, **(generation or {"temperature": 0.7, "do_sample": True})))
    lm.journal.journal.close()
    return texts, lm.get_model_info()["decoding"]["texts_from_journal"]


def test_a_second_run_takes_texts_with_their_traces(tmp_path):
    first, found = run(tmp_path)
    assert found == 0
    second, found = run(tmp_path)
    assert found == 3
    assert second == first
    assert [text.trace for text in second] == [text.trace for text in first]


def test_an_empty_text_is_a_finished_one(tmp_path):
    at_once = {"until": ["G"], "max_gen_toks": 8}  # all answers begin with "Goal:"
    assert run(tmp_path, n=1, generation=at_once) == ([""], 0)
    assert run(tmp_path, n=1, generation=at_once) == ([""], 1)


def test_a_longer_run_writes_only_what_is_missing(tmp_path):
    run(tmp_path, n=2)
    texts, found = run(tmp_path, n=5)
    assert found == 2
    fresh, _ = run(tmp_path / "other", n=5)
    assert texts == fresh


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 5},
        {"c": 2},
        {"k": 3},
        {"policy": "fixed"},
        {"oracle": "tiny-base"},
        {"pretrained": "tiny-oracle"},
        {"dtype": "bfloat16"},
        {"top_p": 0.9},
        {"generation": {"temperature": 0.6, "do_sample": True}},
        {"generation": {"temperature": 0.7, "do_sample": True, "max_gen_toks": 23}},
        {"generation": {"temperature": 0.7, "do_sample": True, "until": ["x"]}},
        {"kind": AutoregressiveLM},
        {"add_bos_token": True},
    ],
    ids=str,
)
def test_a_changed_setting_is_never_mixed_with_the_old_one(tmp_path, change):
    before, _ = run(tmp_path, n=1)
    _, found = run(tmp_path, n=1, **change)
    assert found == 0
    again, found = run(tmp_path, n=1)
    assert found == 1
    assert again == before


@pytest.mark.parametrize("change", [{"batch_size": 1}, {"self_check": True}], ids=str)
def test_what_changes_no_text_keeps_the_journal(tmp_path, change):
    run(tmp_path, n=1)
    assert run(tmp_path, n=1, **change)[1] == 1


def test_weights_that_changed_in_their_folder_are_seen(tmp_path):
    import shutil

    from lmx_models.records import fingerprint
    from lmx_models.zoo import catalogue

    folder = tmp_path / "model"
    shutil.copytree(catalogue.resolve("tiny-base").pretrained, folder)
    run(tmp_path / "journal", n=1, pretrained=str(folder))
    assert run(tmp_path / "journal", n=1, pretrained=str(folder))[1] == 1
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-2] ^= 1
    weights.write_bytes(data)
    fingerprint.model_identity.cache_clear()  # a new process would hash again
    assert run(tmp_path / "journal", n=1, pretrained=str(folder))[1] == 0


def test_the_difference_is_told(tmp_path, caplog):
    run(tmp_path, n=1, c=20)
    run(tmp_path, n=1, c=10)
    assert "the journal holds results of some_task, but c was 20.0 and is 10.0: they are not used" in caplog.text


def test_a_user_policy_and_a_calibration_file_count_by_content(tmp_path, monkeypatch):
    import sys

    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "journal_policy.py"
    module.write_text("def ask(point):\n    return point.position == 3\n")
    run(tmp_path / "j", n=1, policy="journal_policy:ask")
    assert run(tmp_path / "j", n=1, policy="journal_policy:ask")[1] == 1
    module.write_text("def ask(point):\n    return point.position == 5\n")
    monkeypatch.delitem(sys.modules, "journal_policy")
    assert run(tmp_path / "j", n=1, policy="journal_policy:ask")[1] == 0


def likelihood_requests(n=4) -> list[Instance]:
    return [Instance("loglikelihood", {}, (f"Text {i % 3}", " goes on"), i, ("t", i, 1)) for i in range(n)]


def test_likelihoods_are_computed_once(tmp_path, monkeypatch):
    arguments = {"pretrained": "tiny-base", "device": "cpu", "batch_size": 2, "self_check": False}
    expected = AutoregressiveLM(**arguments).loglikelihood(likelihood_requests(), disable_tqdm=True)
    first = AutoregressiveLM(journal=str(tmp_path), **arguments)
    assert first.loglikelihood(likelihood_requests(2), disable_tqdm=True) == expected[:2]
    rolling = [Instance("loglikelihood_rolling", {}, ("A whole text.",), 0, ("t", 0, 1))]
    nats = first.loglikelihood_rolling(rolling, disable_tqdm=True)
    first.journal.journal.close()

    second = AutoregressiveLM(journal=str(tmp_path), seed=9, temperature=0.5, **arguments)
    asked = []
    original = second._loglikelihood_tokens
    monkeypatch.setattr(
        second, "_loglikelihood_tokens", lambda requests, **kw: asked.extend(requests) or original(requests, **kw)
    )
    got = second.loglikelihood(likelihood_requests(), disable_tqdm=True)
    assert [nats for nats, _ in got] == pytest.approx([nats for nats, _ in expected])
    assert all(isinstance(one, tuple) for one in got)
    assert [request[0] for request in asked] == [("Text 2", " goes on")]
    assert second.loglikelihood_rolling(rolling, disable_tqdm=True) == nats
    assert len(asked) == 1


def test_a_model_without_a_name_has_no_journal(tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from lmx_files.errors import UserError
    from lmx_models.zoo import catalogue

    folder = catalogue.resolve("tiny-base").pretrained
    model = AutoModelForCausalLM.from_pretrained(folder)
    lm = AutoregressiveLM(
        pretrained=model, tokenizer=AutoTokenizer.from_pretrained(folder), journal=str(tmp_path), self_check=False
    )
    with pytest.raises(UserError, match="a journal needs pretrained=NAME"):
        lm.generate_until(requests(n=1), disable_tqdm=True)


def test_the_code_of_a_plugins_decoder_counts(tmp_path, monkeypatch):
    import sys

    from lmx_models.records import fingerprint

    assert fingerprint.plugin_code(GuidedLM.__mro__) is None
    monkeypatch.syspath_prepend(tmp_path)
    module = tmp_path / "my_decoder.py"

    def found() -> int:
        monkeypatch.delitem(sys.modules, "my_decoder", raising=False)
        return run(tmp_path / "journal", kind=__import__("my_decoder").Mine, n=1)[1]

    module.write_text("from lmx_models.guided.model import GuidedLM\n\nclass Mine(GuidedLM):\n    method = 'mine'\n")
    assert (found(), found()) == (0, 1)
    module.write_text(module.read_text() + "    # changed\n")
    assert found() == 0


def test_a_missing_calibration_file_is_one_line_with_a_journal_too(tmp_path):
    from lmx_files.errors import UserError

    with pytest.raises(UserError, match=r"cannot read .*nowhere\.jsonl"):
        run(tmp_path / "j", n=1, policy="quantile", calibration=str(tmp_path / "nowhere.jsonl"))


def test_counts_and_model_seconds_are_of_all_texts_and_the_clock_of_this_attempt():
    """`seconds` cannot be set against `texts` where some came from the journal; `model_seconds` can."""
    from lmx_models.core.base import Segment
    from lmx_models.core.completion import Completion
    from lmx_models.core.trace import ModelCost, Trace
    from lmx_models.records.traces import RunStatistics

    statistics = RunStatistics()
    for number in range(10):
        cost = {"ar": ModelCost(2, 3, 1, seconds_prefill=0.25, seconds_decode=0.75)}
        trace = Trace([1, 2], [Segment("ar", 0, 2)], "eos", cost=cost, seconds=9.0)
        statistics.add(Completion("ab", trace), fresh=number == 0)
    statistics.seconds = 1.5
    found = statistics.as_dict()
    assert (found["texts"], found["texts_from_journal"], found["forwards"]) == (10, 9, 20)
    assert (found["seconds"], found["model_seconds"]) == (1.5, 10.0)
    assert found["tokens_per_second"] == pytest.approx(2 / 1.5, abs=1e-4)


def test_the_code_of_every_room_counts(tmp_path, monkeypatch):
    """A text of a development version depends on the whole package, rooms that are added later included."""
    from lmx_models.records import fingerprint

    room = tmp_path / "records"
    room.mkdir()
    (tmp_path / "engine" / "inner").mkdir(parents=True)
    monkeypatch.setattr(fingerprint, "__file__", str(room / "fingerprint.py"))
    monkeypatch.setattr(fingerprint.metadata, "version", lambda name: "1.0.dev0")
    seen = set()
    for file, code in (("engine/inner/a.py", "x = 1"), ("engine/inner/a.py", "x = 2"), ("b.py", ""), ("new.py", "")):
        (tmp_path / file).write_text(code)
        seen.add(fingerprint.lmx_version.__wrapped__())
    assert len(seen) == 4
