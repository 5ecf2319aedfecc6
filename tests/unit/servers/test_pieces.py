"""Pieces of a server's text: what they are aligned with, in several scripts and notations; nothing is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lmx_models.core.base import Generate
from lmx_models.core.pieces import finished, of_bytes, shares, tells_text, unfinished, whole
from lmx_models.core.sampling import Sampling, stream
from lmx_models.decoding.guided.config import GuidedConfig
from lmx_models.decoding.guided.loop import guided
from lmx_models.decoding.guided.policies import POLICIES, PolicyConfig
from lmx_models.decoding.guided.remote import Remote
from lmx_models.harness.no_weights import WholeStopping
from lmx_models.servers.codecs import PieceCodec, TokenizerCodec
from lmx_models.servers.remote_model import Features, RemoteModel
from tests.text_server import PIECES, TextServer, tokens_of

FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467"
SCRIPTS = {
    "accented Latin": "déjà vu, naïve façade; Ærøskøbing straße",
    "Cyrillic": "съешь ещё этих мягких булок",
    "Arabic": "نص عربي قصير، مع فاصلة",
    "Devanagari": "क्षत्रिय हिन्दी में लिखा है",
    "CJK": "今日は世界。你好，世界！ 한국어",
    "Thai": "สวัสดีครับ น้ำใจ",
    "emoji": f"a {FAMILY} b\U0001f44d\U0001f3fd\u2764\ufe0f \U0001f1eb\U0001f1f7!",
    "plain": "only ASCII,  with  double blanks\nand lines",
}
WORDS = " ".join("caf\u00e9" if i % 9 == 8 else f"word{i}" for i in range(200))
SHOWN = [name for name in PIECES if name not in ("ids", "wrong", "none")]


@pytest.mark.parametrize("style", SHOWN)
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_piece_has_its_share_and_they_join_to_the_text(script, style):
    text = " " + SCRIPTS[script]
    tokens = tokens_of(text)
    parts, complete = shares(text, PIECES[style](tokens))
    assert complete
    assert "".join(parts) == text
    # A character belongs to the token in which it begins (or, if that shows nothing, to one of the others).
    reached = 0
    for token, part in zip(tokens, parts, strict=False):
        begun = sum(byte & 0xC0 != 0x80 for byte in token)
        reached += begun - len(part)
        assert abs(reached) <= 1 or style == "stripped", (token, part)


@pytest.mark.parametrize(
    ("text", "pieces", "ended", "expected"),
    [
        ("caf\u00e9 x", ["caf", "bytes:\\xc3", "bytes:\\xa9", " x"], False, ["caf", "\u00e9", "", " x"]),
        ("caf\u00e9 x", ["caf", "\ufffd", "\ufffd", " x"], False, ["caf", "\u00e9", "", " x"]),
        ("caf\u00e9 x", ["caf", "", "\u00e9", " x"], False, ["caf", "\u00e9", "", " x"]),
        ("caf", ["caf", "", ""], False, ["caf"]),
        ("caf\ufffd", ["caf", "\ufffd"], False, ["caf"]),
        ("caf\ufffd", ["caf", "\ufffd", ""], True, ["caf", "\ufffd"]),
        ("Hi there", [" Hi", " there"], False, [" Hi", " there"]),
        ("Hi there", ["Hi", "there"], False, ["Hi", " there"]),
        ("Hi", ["Hi", "\n\n"], False, ["Hi", "\n\n"]),
        ("", ["\n"], False, ["\n"]),
        ("Hi", ["Hi", "<|im_end|>"], True, ["Hi"]),
        ("Hi", ["Hi", ""], True, ["Hi"]),
        ("Hi there", ["Hi", " there"], True, ["Hi", " there"]),
        ("ab", ["a", "<|special|>", "b"], False, ["a", "b", ""]),
        ("say bytes:\\x", ["say", " bytes:\\x"], False, ["say", " bytes:\\x"]),
        ("x\ufffdy", ["x", "\ufffd", "y"], False, ["x", "\ufffd", "y"]),
    ],
)
def test_shares(text, pieces, ended, expected):
    assert shares(text, pieces, ended) == (expected, True)


@pytest.mark.parametrize(
    ("text", "pieces", "certain"),
    [
        ("Hi there", ["Hi", "?"], ["Hi"]),
        ("Hi there", ["token_id:4", "token_id:5"], []),
        ("Hi there", ["there", "Hi"], []),
        ("Hi there you", ["Hi", " there"], ["Hi", " there"]),
        ("Hi", ["Hi", " there"], ["Hi"]),
    ],
)
def test_what_does_not_fit_is_not_guessed(text, pieces, certain):
    assert shares(text, pieces) == (certain, False)


@given(st.text(max_size=30), st.lists(st.text(max_size=4), max_size=12), st.booleans())
def test_shares_are_always_the_beginning_of_the_text(text, pieces, ended):
    text = text.encode(errors="replace").decode()
    parts, complete = shares(text, pieces, ended)
    joined = "".join(parts)
    assert len(parts) <= len(pieces)
    assert joined.strip() == text.strip()[: len(joined.strip())] or not complete
    if complete and not text.endswith("\ufffd"):
        assert joined.strip() == text.strip()


@given(st.text(min_size=1, max_size=40), st.sampled_from(SHOWN))
def test_any_text_is_aligned_with_its_own_pieces(text, style):
    text = "x" + text.encode(errors="replace").decode().replace("\ufffd", "?")
    parts, complete = shares(text, PIECES[style](tokens_of(text)))
    if style in ("replacement characters", "escaped bytes", "nothing until whole"):
        assert (complete, "".join(parts)) == (True, text)
    assert text.startswith("".join(parts))


def test_unfinished_characters():
    assert finished("caf\ufffd") == "caf"
    assert finished("\ufffd" * 5) == "\ufffd" * 2  # more than a character has: the model's own
    data = list("caf\u00e9".encode())

    def decode(tokens):
        return bytes(tokens).decode(errors="replace")

    assert [unfinished(decode, data[:n]) for n in range(6)] == [0, 0, 0, 0, 1, 0]
    assert unfinished(decode, list("\U0001f469".encode())[:3]) == 3
    assert unfinished(decode, [0xC3] * 5) == 0
    assert whole(decode, data, 4) == data
    assert whole(decode, data, 3) == data[:3]
    assert whole(decode, data, 99) == data
    assert not tells_text(["token_id:1", "token_id:2"])
    assert not tells_text(None)
    assert tells_text(["token_id:1", "x"])
    assert of_bytes(list(b" Hi")) == " Hi"
    assert of_bytes([0xC3]) == "bytes:\\xc3"


def answers(remotes, decoding):
    """Answer a decoder's requests from servers in memory; return what it wrote."""
    ask = next(decoding)
    while True:
        assert isinstance(ask, Generate)
        try:
            ask = decoding.send(remotes[ask.model].generate(ask))
        except StopIteration as end:
            return end.value


def written(server, codec, policy, config=None, top=1, max_tokens=1200, ahead=None, ids=None):
    features = Features(top=top, pieces=server.pieces is not PIECES["ids"])
    remote = RemoteModel(server, codec, features)
    stopping = WholeStopping(max_tokens, frozenset({1}), ("never",), codec.text)
    exact = remote.exact
    ends = {"end": 1, "exact": exact, "text": True}
    ahead = ahead or (16 if exact else 1)
    prompt = [codec.id_of(server.start)] if isinstance(codec, PieceCodec) else list(server.start.encode())
    decoding = guided(
        prompt, config or GuidedConfig(c=99, k=7), POLICIES[policy.policy](policy), Sampling(0.0), stopping,
        stream(0, "s"), stream(0, "p"), remote_base=Remote(**ends, ahead=ahead), remote_oracle=Remote(**ends),
    )  # fmt: skip
    generation = answers({"base": remote, "oracle": remote}, decoding)
    remote.close()
    return stopping.text(generation.tokens), generation


POLICY = [PolicyConfig("random", prob=0.3), PolicyConfig("fixed", every=5), PolicyConfig("ramp", step_size=3)]


@pytest.mark.parametrize("style", PIECES)
@pytest.mark.parametrize("held", [True, False], ids=["held back", "replacement character"])
def test_200_words_with_an_accent_in_every_ninth_come_back_whole(style, held):
    for policy in POLICY if style in SHOWN else POLICY[:1]:
        cut, _ = written(TextServer(WORDS, style, held=held), PieceCodec(), policy, max_tokens=100)
        assert WORDS.startswith(cut)
        assert len(cut.split()) >= 40
        text, generation = written(TextServer(WORDS, style, held=held), PieceCodec(), policy)
        assert text == WORDS
        assert generation.finish == "eos"
        tokens = len(tokens_of(WORDS))
        assert len(generation.tokens) <= 1.1 * tokens + 5  # a character at a reply's end may be counted twice
        if style in ("ids", "wrong", "none"):  # asked for one by one, where they must be
            continue
        assert len(generation.tokens) >= 0.9 * tokens


@pytest.mark.parametrize("style", PIECES)
@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_comes_back_whole(script, style):
    expected = f"x {SCRIPTS[script]} y"
    for policy, server in zip(
        POLICY,
        (
            TextServer(expected, style),
            TextServer(expected, style, held=True, sees_end=False),
            TextServer(expected, style, most=5),
        ),
        strict=True,
    ):
        assert written(server, PieceCodec(), policy)[0] == expected


@pytest.mark.parametrize("style", ["replacement characters", "escaped bytes", "byte-level"])
def test_blanks_that_a_server_strips_are_put_back(style):
    text, _ = written(TextServer(WORDS, style, strip=True), PieceCodec(), POLICY[0])
    assert text == WORDS


@pytest.mark.parametrize("step", [1, 3, 100])
def test_a_text_that_cannot_be_cut_is_not_cut(step):
    """Replies shorter than asked for, and consultations further apart than one request: no policy fires within."""
    for most in (2, 1 << 20):
        policy = PolicyConfig("fixed", every=step)
        server = TextServer(WORDS, "none", most=most)
        text, _ = written(server, PieceCodec(), policy, top=0, ahead=step)
        assert text == WORDS


@pytest.mark.parametrize("handback", ["newline", "confident"])
def test_an_oracle_that_hands_back_loses_nothing(handback):
    lines = WORDS[:400].replace(" word5", "\nword5").rstrip()
    for style in PIECES:
        config = GuidedConfig(c=9, k=20, handback=handback, oracle_confidence=0.5)
        text, _ = written(TextServer(lines, style), PieceCodec(), POLICY[1], config)
        assert text == lines


class Bytes:
    """A tokenizer of bytes."""

    bos_token = bos_token_id = None
    is_fast = False

    def __len__(self):
        return 257

    def encode(self, text, add_special_tokens=True):
        return [one + 2 for one in text.encode()]

    def decode(self, ids, skip_special_tokens=True):
        return bytes(one - 2 for one in ids if one >= 2).decode(errors="replace")


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("k", [1, 7])
def test_with_a_tokenizer_no_character_changes_hands_within(script, k):
    expected = f"x {SCRIPTS[script]} y"
    codec = TokenizerCodec(Bytes())
    for policy in (*POLICY, PolicyConfig("always")):
        server = TextServer(expected, "none", start="Write:")
        remote = RemoteModel(server, codec, Features(top=0))
        stopping = WholeStopping(1200, frozenset({1}), (), codec.text)
        ends = Remote(end=1, ahead=4, text=True)
        decoding = guided(
            codec.tokenizer.encode("Write:"), GuidedConfig(c=30, k=k), POLICIES[policy.policy](policy), Sampling(0.0),
            stopping, stream(0, "s"), stream(0, "p"), remote_base=ends, remote_oracle=ends,
        )  # fmt: skip
        generation = answers({"base": remote, "oracle": remote}, decoding)
        remote.close()
        assert stopping.text(generation.tokens) == expected
