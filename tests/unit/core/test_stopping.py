from lmx_models.core.stopping import Stopping
from tests.unit.decoding.decoding_tools import EOS, stopping, text_of


def ids(text: str) -> list[int]:
    return [ord(character) - ord("A") for character in text]


def test_end_of_text_wins_and_is_not_in_the_text():
    stop = stopping()
    assert stop.check([*ids("BC"), EOS]) == "eos"
    assert stop.text([*ids("BC"), EOS]) == "BC"


def test_stop_strings_match_across_token_borders_and_are_cut_before():
    stop = stopping(strings=("DE", "EB"))
    assert stop.check(ids("BCD")) is None
    assert stop.check(ids("BCDE")) == "stop"
    assert stop.text(ids("BCDEB")) == "BC"


def test_a_stop_string_is_found_in_a_long_text():
    stop = stopping(max_tokens=10_000, strings=("DE",))
    assert stop.check(ids("B" * 5000 + "DE")) == "stop"
    assert stop.check(ids("B" * 5000 + "D")) is None


def test_limit():
    stop = stopping(max_tokens=3)
    assert stop.check(ids("BC")) is None
    assert stop.check(ids("BCD")) == "length"


def test_tokens_of_several_bytes_that_are_half_a_character():
    # Byte tokens: 'é' is two of them; the first alone decodes to the replacement character.
    stop = Stopping(99, frozenset(), ("é",), lambda tokens: bytes(tokens).decode("utf-8", "replace"))
    assert stop.check([*b"caf", 0xC3]) is None
    assert stop.check(list("café".encode())) == "stop"
    assert stop.text(list("café x".encode())) == "caf"


def test_empty_stop_strings_are_harmless():
    assert stopping(strings=("",)).check(ids("B")) is None
    assert text_of([]) == stopping(strings=("",)).text([])
