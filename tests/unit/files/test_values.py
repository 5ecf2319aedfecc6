"""Single values, strictly: what a truth value, a number, a text is, however it was written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx_files.errors import UserError
from lmx_files.values import read_bool, read_float, read_int, read_text, read_texts
from lmx_models.settings.requests import read_generation, sampling_of


@pytest.mark.parametrize("value", [False, 0, "0", "no", "No", "off", "FALSE", " false "])
def test_words_for_no(value):
    assert read_bool("x", value) is False
    assert sampling_of({"do_sample": value, "temperature": 0.9}).temperature == 0
    assert read_generation({"do_sample": value, "temperature": 0.9}, 8)[0]["temperature"] == 0


@pytest.mark.parametrize("value", [True, 1, "1", "yes", "on", "True"])
def test_words_for_yes(value):
    assert read_bool("x", value) is True
    assert sampling_of({"do_sample": value}).temperature == 1


@pytest.mark.parametrize("value", [2, -1, 0.0, 1.0, "maybe", "", None, [], {}, [True]])
def test_anything_else_is_no_truth_value(value):
    with pytest.raises(UserError, match=r"^x=.*true/false"):
        read_bool("x", value)


def test_whole_numbers_are_exact():
    assert read_int("x", 2**70) == 2**70
    assert read_int("x", str(2**70)) == 2**70
    assert [read_int("x", v) for v in (5, "5", 5.0, "5.0", "1e3", " 7 ", "-2")] == [5, 5, 5, 5, 1000, 7, -2]


@pytest.mark.parametrize(
    "value",
    [*(True, False, 10.5, "10.5", "ten", "", None, float("nan"), float("inf"), "inf", "nan"), "1_000", "٣", 1e300, [5]],
)
def test_no_whole_numbers(value):
    with pytest.raises(UserError, match=r"^x=.* is not a whole number$"):
        read_int("x", value)


def test_numbers_have_a_least():
    assert read_int("seed", 0, least=0) == 0
    with pytest.raises(UserError, match="seed=-1 must be a whole number of at least 0"):
        read_int("seed", -1, least=0)


def test_numbers():
    assert [read_float("x", v) for v in (1, "0.5", ".5", "inf", "-Infinity", 1e400)] == [1, 0.5, 0.5, *INFINITIES]


INFINITIES = (float("inf"), float("-inf"), float("inf"))


@pytest.mark.parametrize("value", [True, "nan", float("nan"), "x", None, [0.7], "1_0.5", 10**400])
def test_no_numbers(value):
    with pytest.raises(UserError, match=r"^x=.* is not a number$"):
        read_float("x", value)


def test_texts():
    assert read_text("x", "a") == "a"
    assert read_text("x", 8) == "8"
    assert read_texts("until", None) == []
    assert read_texts("until", "\n") == ["\n"]
    assert read_texts("until", ["a", "b"]) == ["a", "b"]
    for wrong in (5, True, [1], ["a", None], {"a": 1}, 0.5):
        with pytest.raises(UserError, match=r"until=.* is not text") as error:
            read_texts("until", wrong)
        assert "\n" not in str(error.value)
    with pytest.raises(UserError, match="is not text"):
        read_text("x", ["a"])


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.integers())))
def test_whatever_is_given_is_read_or_refused_in_one_line(value):
    messages = []
    for read in (read_bool, read_int, read_float, read_text, read_texts):
        try:
            read("name", value)
        except UserError as error:
            messages.append(str(error))
    assert all(message.startswith("name=") and "\n" not in message for message in messages)


@pytest.mark.parametrize(
    ("gen_kwargs", "message"),
    [
        ({"max_gen_toks": 10.5}, r"max_gen_toks=10.5 is not a whole number"),
        ({"max_gen_toks": True}, r"max_gen_toks=True is not a whole number"),
        ({"max_new_tokens": "many"}, r"max_new_tokens='many' is not a whole number"),
        ({"max_gen_toks": 0}, r"max_gen_toks=0 must be a whole number of at least 1"),
        ({"max_gen_toks": -5}, r"max_gen_toks=-5 must be"),
        ({"temperature": "hot"}, r"temperature='hot' is not a number"),
        ({"temperature": True}, r"temperature=True is not a number"),
        ({"temperature": None}, r"temperature=None: a number is needed"),
        ({"temperature": [0.7]}, r"temperature=\[0.7\] is not a number"),
        ({"temperature": float("nan")}, r"temperature=nan is not a number"),
        ({"do_sample": "perhaps"}, r"do_sample='perhaps' is not a true/false value"),
        ({"until": 5}, r"until=5: 5 is not text"),
        ({"until": [["a"]]}, r"until=.* is not text"),
        ({"until": {"a": 1}}, r"until=.* is not text"),
    ],
)
def test_generation_arguments_of_the_wrong_type(gen_kwargs, message):
    with pytest.raises(UserError, match=message):
        read_generation(gen_kwargs, 8)


def test_generation_arguments_are_merged_as_lm_eval_does():
    given = {"until": ["a", ""], "max_new_tokens": "5", "do_sample": "yes", "temperature": "0.5"}
    assert read_generation(given, 8) == ({"do_sample": True, "temperature": 0.5}, 5, ["a"])
    assert read_generation({}, 8) == ({}, 8, [])
    assert read_generation({"temperature": 0.5, "do_sample": None}, 8)[0] == {"do_sample": True, "temperature": 0.5}
