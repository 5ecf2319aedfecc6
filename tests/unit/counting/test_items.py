"""Items on first use: kept with a checksum, the same for all, made once; and items from a file."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from lmx_files.errors import UserError
from lmx_files.hashing import sha256_of_text
from lmx_tasks.category_counting.making.systematic import make
from lmx_tasks.category_counting.variants import cache, items, settings, utils


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LMX_CACHE", str(tmp_path / "cache"))


def kept():
    return sorted(cache.folder().glob("*.jsonl"))


def test_items_are_made_once_and_read_back(monkeypatch):
    first = items.load(settings.read({"n": 20}))
    assert len(kept()) == 2  # to ask about, and for examples
    monkeypatch.setattr(items, "make", lambda *_: pytest.fail("made again"))
    assert items.load(settings.read({"n": 20})) == first


def test_the_items_are_the_same_everywhere():
    """Whoever changes what is generated raises `cache.GENERATION` and the tasks' version, and then this hash."""
    tested, _ = items.load(settings.read({"n": 40}))
    text = "".join(doc["prompt"] for doc in tested)
    assert (cache.GENERATION, sha256_of_text(text)[:12]) == (2, "feaa84680a58")


@pytest.mark.parametrize("damage", [b"", b"not json\n", b'{"sha256": "0"}\n{"a": 1}\n'])
def test_a_damaged_file_is_made_again(damage):
    first = items.load(settings.read({"n": 20}))
    for path in kept():
        path.write_bytes(damage)
    assert items.load(settings.read({"n": 20})) == first
    assert all(path.read_bytes() != damage for path in kept())


def test_a_changed_word_is_noticed():
    first = items.load(settings.read({"n": 20}))
    for path in kept():
        path.write_text(path.read_text().replace("How many", "How few", 1))
    assert items.load(settings.read({"n": 20})) == first


def test_a_cache_that_cannot_be_written_is_done_without(monkeypatch, tmp_path, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LMX_CACHE", str(tmp_path / "file"))
    assert len(items.load(settings.read({"n": 20}))[0]) == 20
    assert "cannot be written" in caplog.text


def test_processes_that_make_them_at_once_agree():
    program = (
        "from lmx_tasks.category_counting.variants import items, settings;"
        "print(hash(str(items.load(settings.read({'n': 300})))))"
    )
    command = [sys.executable, "-c", program]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**_environment(), "PYTHONHASHSEED": "0"})
        for _ in range(3)
    ]
    assert len({process.communicate()[0] for process in running}) == 1
    assert all(process.returncode == 0 for process in running)
    assert len(kept()) == 2
    assert not [path for path in cache.folder().iterdir() if path.suffix != ".jsonl"]


def _environment():
    import os

    return dict(os.environ)


def write(path, docs):
    path.write_text("".join(json.dumps(doc) + "\n" for doc in docs))
    return str(path)


def test_items_of_a_file_are_asked_about_by_every_variant(tmp_path):
    docs = make(12, 3, lists="tiny")
    for doc in docs:
        doc["source"] = "model"
    path = write(tmp_path / "own.jsonl", docs)
    for load in (utils.load, utils.load_all, utils.load_nonce, utils.load_partitioned, utils.load_membership):
        found = load(data_file=path)
        assert {doc["source"] for doc in found["test"]} == {"model"}
        assert {doc["lists"] for doc in found["examples"]} == {"tiny"}
    assert [doc["prompt"] for doc in utils.load(data_file=path)["test"]] == [doc["prompt"] for doc in docs]
    (tmp_path / "category_counting").mkdir()
    write(tmp_path / "category_counting" / "items.jsonl", docs)
    assert [doc["id"] for doc in utils.load(data_dir=str(tmp_path))["test"]] == [doc["id"] for doc in docs]


def test_the_tiny_tasks_own_items_can_be_read():
    shipped = items.Path(items.__file__).parents[1] / "data" / "tiny.jsonl"
    docs = items.from_file(shipped)
    assert len(docs) == 200
    assert {doc["lists"] for doc in docs} == {"tiny"}
    assert docs[0]["plural"] == "garments"


GOOD = make(1, 1)[0]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"prompt": ""}, "field 'prompt' must be text"),
        ({"count": "1"}, "field 'count' must be a whole number"),
        ({"count": True}, "field 'count' must be a whole number"),
        ({"count": 99}, "field 'count' must be 0 to"),
        ({"words": "a, b"}, "field 'words' must be a list of words"),
        ({"words": [1, 2]}, "field 'words' must be a list of words"),
        ({"length": 99}, "field 'length' is 99, but there are"),
        ({"position": "middle"}, "field 'position' must be before or after, not 'middle'"),
    ],
)
def test_a_bad_item_names_file_line_and_field(tmp_path, changed, message):
    path = write(tmp_path / "own.jsonl", [GOOD, GOOD | changed])
    with pytest.raises(UserError, match=r"own\.jsonl, line 2") as error:
        utils.load(data_file=path)
    assert message in str(error.value)


def test_items_without_known_words_cannot_be_split(tmp_path):
    path = write(tmp_path / "own.jsonl", [GOOD | {"lists": ""}])
    assert len(utils.load(data_file=path)["test"]) == 1
    with pytest.raises(UserError, match="nothing says which of its words"):
        utils.load_membership(data_file=path)
    wrong = write(tmp_path / "wrong.jsonl", [GOOD | {"count": GOOD["count"] + 1}])
    with pytest.raises(UserError, match="the word lists 'full' say otherwise"):
        utils.load_partitioned(data_file=wrong)


def test_a_model_s_items_of_a_mixed_file_are_left_out_of_what_needs_the_lists(tmp_path, caplog):
    docs = make(8, 3)
    for doc in docs[:3]:
        doc |= {"lists": "", "source": "model"}
    path = write(tmp_path / "mixed.jsonl", docs)
    assert len(utils.load(data_file=path)["test"]) == len(utils.load_all(data_file=path)["test"]) == 8
    for load in (utils.load_nonce, utils.load_partitioned):
        caplog.clear()
        assert [doc["id"] for doc in load(data_file=path)["test"]] == [doc["id"] for doc in docs[3:]]
        assert "3 of 8 items are left out. item 1 (" in caplog.text
    words = {(doc["category"], word) for doc in docs[3:] for word in doc["words"]}
    assert {(doc["category"], doc["word"]) for doc in utils.load_membership(data_file=path)["test"]} == words
