"""A text depends on its document alone, whichever others are asked for, in any order, by however many processes."""

import contextlib
import json
import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_models.methods.ar import AutoregressiveLM
from lmx_models.scripted import ScriptedLM
from lmx_plugins.evaluation.asked import origin
from tests.unit.tasks.lm_eval_tasks import NAME, evaluate, make_task

FAST = {"pretrained": "tiny-base", "device": "cpu", "self_check": False}
REPEATS = 2


def model(batch_size=4, **arguments) -> AutoregressiveLM:
    return AutoregressiveLM(batch_size=batch_size, **FAST, **arguments)


@pytest.fixture(scope="module")
def lm() -> AutoregressiveLM:
    return model()


def written(lm, task, shuffled: random.Random, **asked) -> dict[tuple[int, int], str]:
    """Write what lm_eval would ask of one rank, in any order; return texts by document and repeat."""
    task.build_all_requests(**asked)
    todo = [one for one in task.instances for _ in range(one.repeats)]
    shuffled.shuffle(todo)
    texts = lm.generate_until(todo, disable_tqdm=True)
    rounds: dict[int, int] = {}
    found = {}
    for one, text in zip(todo, texts, strict=True):
        document = origin(one).document
        assert one.doc["number"] == document
        found[document, rounds.setdefault(document, 0)] = str(text)
        rounds[document] += 1
    return found


@pytest.fixture(scope="module")
def expected(lm) -> dict[tuple[int, int], str]:
    texts = written(lm, make_task(repeats=REPEATS), random.Random(0))
    assert len(texts) == 12
    assert len(set(texts.values())) >= 11, "at temperature 0.9 nearly all texts are different"
    return texts


DOCUMENTS = st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True)
ASKED = st.one_of(
    DOCUMENTS.map(lambda numbers: {"samples": numbers}), st.integers(1, 6).map(lambda limit: {"limit": limit})
)


def check_any_way_of_asking(lm, expected, tmp_path_factory, asked, processes, order, resume):
    shuffled = random.Random(order)
    folder = tmp_path_factory.mktemp("journal") if resume else None
    if folder:  # a run that died: some of the texts are in the journal
        lm = model(batch_size=1 + order % 4, journal=str(folder))
        written(lm, make_task(repeats=REPEATS), shuffled, samples=sorted({order % 6, 5}))
    found: dict[tuple[int, int], str] = {}
    for rank in range(processes):
        with contextlib.suppress(ValueError):  # lm_eval's, where there are more processes than documents
            found |= written(lm, make_task(repeats=REPEATS), shuffled, rank=rank, world_size=processes, **asked)
    if folder:
        lm.journal.journal.close()
    wanted = set(asked.get("samples", range(asked.get("limit", 6))))
    assert {document for document, _ in found} == wanted
    assert found == {key: text for key, text in expected.items() if key[0] in wanted}


ANY_WAY = (ASKED, st.integers(1, 3), st.integers(0, 99), st.booleans())
QUIET = {"deadline": None, "suppress_health_check": [HealthCheck.function_scoped_fixture], "derandomize": True}


@settings(max_examples=12, **QUIET)
@given(*ANY_WAY)
def test_a_document_s_text_never_changes(lm, expected, tmp_path_factory, asked, processes, order, resume):
    check_any_way_of_asking(lm, expected, tmp_path_factory, asked, processes, order, resume)


@pytest.mark.full
@settings(max_examples=60, **QUIET)
@given(*ANY_WAY)
def test_a_document_s_text_never_changes_thoroughly(lm, expected, tmp_path_factory, asked, processes, order, resume):
    check_any_way_of_asking(lm, expected, tmp_path_factory, asked, processes, order, resume)


def test_without_samples_the_stream_is_that_of_the_ordinal(lm, expected):
    """So that journals and documented tables of earlier versions hold."""
    from tests.unit.models.test_decoder_lm import requests

    todo = requests(n=6, repeats=REPEATS, max_gen_toks=20, do_sample=True, temperature=0.9)
    for one in todo:
        one.task_name = NAME
    texts = lm.generate_until(todo, disable_tqdm=True)
    assert [str(text) for text in texts] == [expected[i // REPEATS, i % REPEATS] for i in range(12)]


@pytest.mark.parametrize("samples", [[4, 1, 3], [5], [3, 0], (2, 1)])
def test_samples_and_traces_bear_the_number_of_the_document(tmp_path, samples, expected):
    traces = tmp_path / "traces.jsonl"
    lm = model(traces=str(traces))
    found = evaluate(lm, make_task(repeats=REPEATS), samples={NAME: samples})
    logged = found["samples"][NAME]
    assert [one["doc_id"] for one in logged] == sorted(samples)
    for one in logged:
        assert one["doc"]["number"] == one["doc_id"]
        assert [str(text) for text in one["resps"][0]] == [expected[one["doc_id"], i] for i in range(REPEATS)]
    lines = [json.loads(line) for line in traces.read_text().splitlines()]
    assert {(line["doc_id"], line["repeat"]): line["text"] for line in lines} == {
        key: text for key, text in expected.items() if key[0] in samples
    }


def test_other_models_are_logged_under_the_right_numbers_too(tmp_path):
    """The order of `--samples` is lm_eval's own fault, whatever the model."""
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps({"text": f"answer {i}"}) + "\n" for i in range(6)))
    lm = ScriptedLM(responses=str(tmp_path / "answers.jsonl"))
    for one in evaluate(lm, make_task(), samples={NAME: [4, 0, 2]})["samples"][NAME]:
        assert one["doc_id"] == one["doc"]["number"]
        assert one["resps"][0][0] == f"answer {one['doc_id']}"


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        ({NAME: [1, 6]}, "--samples: task six_prompts: .*k=6"),
        ({NAME: [-1]}, "six_prompts has -1"),
        ({NAME: []}, r"six_prompts has \[\]"),
        ({NAME: [0, 0]}, "names document 0 twice"),
        ({"other": [0]}, "unknown task in --samples 'other'"),
        ({}, "wants numbers of documents by task"),
    ],
)
def test_samples_that_are_none(samples, message):
    with pytest.raises(UserError, match=message):
        evaluate(ScriptedLM(), make_task(), samples=samples)


@pytest.mark.parametrize("limit", [0, -1, 2.5, float("nan"), True])
def test_limits_that_are_none(limit):
    with pytest.raises(UserError, match=f"--limit {limit}: give a whole number"):
        evaluate(ScriptedLM(), make_task(), limit=limit)
