"""Category counting: clean word lists, a flat and seeded generator, data that is checked when read."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from lmx_files.errors import UserError
from lmx_tasks.category_counting import generate, utils
from lmx_tasks.constraint_tiny import generate as constraint_tiny

TASK = Path(generate.__file__).parent


def test_word_lists_are_disjoint_and_large_enough():
    categories = generate.load_categories()
    assert generate.check_categories(categories) == []
    assert len(categories) >= 12
    assert len({c.plural for c in categories}) == len(categories)


def test_faults_of_word_lists_are_named():
    bad = [
        generate.Category("fruit", "fruits", ("pear", "Apple", "fig tree")),
        generate.Category("tree", "trees", ("pear",)),
    ]
    faults = generate.check_categories(bad, minimum=2)
    assert any("'pear' stands in fruit and in tree" in f for f in faults)
    assert any("'Apple'" in f for f in faults)
    assert any("'fig tree'" in f for f in faults)
    assert any("fewer than 2" in f for f in faults)


def test_generator_is_seeded():
    assert generate.generate(30, seed=5) == generate.generate(30, seed=5)
    assert generate.generate(30, seed=5) != generate.generate(30, seed=6)


@pytest.mark.parametrize("position", generate.POSITIONS)
def test_gold_counts_are_right_and_words_differ(position):
    members = {c.name: set(c.words) for c in generate.load_categories()}
    for item in generate.generate(300, seed=1, position=position):
        assert len(item.words) == len(set(item.words)) == item.length
        assert sum(w in members[item.category] for w in item.words) == item.count
        question_first = item.prompt.startswith("How many")
        assert question_first == (position == "before")
        assert item.prompt.endswith("\n")


def test_grid_is_flat_over_length_and_count_and_category():
    items = generate.generate(3 * len(generate.grid()), seed=2)
    cells = Counter((i.length, i.count) for i in items)
    assert set(cells) == set(generate.grid())
    assert set(cells.values()) == {3}
    assert max(i.count for i in items) == generate.MAX_COUNT
    by_category = Counter(i.category for i in items).values()
    assert max(by_category) - min(by_category) <= 1


def test_fingerprint_ignores_word_order_and_position():
    item = generate.generate(1, seed=3)[0]
    turned = generate.Item(
        generate.render("x", item.words[::-1], "after"),
        item.count, item.length, item.category, "after", item.words[::-1],
    )  # fmt: skip
    assert generate.fingerprint(item) == generate.fingerprint(turned)


def test_shipped_items_are_what_the_generator_writes(tmp_path):
    generate.write_jsonl(generate.generate(200, 20250101), tmp_path / "again.jsonl")
    assert (tmp_path / "again.jsonl").read_bytes() == (TASK / "data" / "tiny.jsonl").read_bytes()
    assert len(utils.load_items(TASK / "data" / "tiny.jsonl")) == 200


WITHOUT_COUNT = {"prompt": "p\n", "category": "fruit", "position": "before", "length": 5}
GOOD = {"prompt": "p\n", "category": "fruit", "position": "before", "count": 1, "length": 5}


@pytest.mark.parametrize(
    ("second", "message"),
    [
        (b'{"prompt": "p"', "line 2: not valid JSON"),
        (b"\xff\xfe", "line 2: not UTF-8"),
        (b"[1]", "line 2: expected a JSON object with prompt, category, position, count, length, got list"),
        (json.dumps(WITHOUT_COUNT).encode(), "line 2: field 'count' is missing"),
        (json.dumps(GOOD | {"count": "1"}).encode(), "line 2: field 'count' must be a whole number, not '1'"),
        (json.dumps(GOOD | {"count": True}).encode(), "line 2: field 'count' must be a whole number"),
        (json.dumps(GOOD | {"count": 9}).encode(), "line 2: field 'count' must be 0 to 5"),
        (json.dumps(GOOD | {"prompt": ""}).encode(), "line 2: field 'prompt' must be text"),
    ],
)
def test_bad_data_is_one_clear_error(tmp_path, second, message):
    path = tmp_path / "items.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b"\n" + second + b"\n")
    with pytest.raises(UserError) as error:
        utils.load_items(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_a_missing_and_an_empty_file_are_named(tmp_path):
    with pytest.raises(UserError, match=r"cannot read .*none\.jsonl"):
        utils.load_items(tmp_path / "none.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(UserError, match="is empty"):
        utils.load_items(tmp_path / "empty.jsonl")


def test_process_results_gives_every_metric_of_the_yaml():
    yaml = (TASK / "category_counting_tiny.yaml").read_text()
    values = utils.process_results(GOOD, ["1"])
    for name in values:
        assert f"metric: {name}," in yaml
    assert yaml.count("metric:") == len(values)
    assert values["accuracy"] == 1.0


def test_items_are_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "items.jsonl"
    path.write_text("older\n")

    def broken(made):
        yield made[0]
        raise RuntimeError("stopped")

    for module in (generate, constraint_tiny):
        with pytest.raises(RuntimeError, match="stopped"):
            module.write_jsonl(broken(module.generate(2, 1)), path)
        assert [each.name for each in tmp_path.iterdir()] == ["items.jsonl"]
        assert path.read_text() == "older\n"
