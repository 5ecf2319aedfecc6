"""The layout verifiers: states, evidence spans, and properties over arbitrary text."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lmx_metrics import format_score, structure
from lmx_metrics.golden import TracedText
from lmx_metrics.structure import CONSTRAINTS, SectionSpec, State, judge, judged_text, score
from lmx_metrics.text import count_sentences, count_tokens, split_reasoning, stem

GOOD = """Goal
Find out whether warm water wakes seeds sooner.
Controls
- Keep one tray in cold water.
- Use seeds from one bag.
Readout
- Count sprouts each morning.
- Note the water temperature.
Analysis
- Compare mean days to sprouting.
- Plot sprouts against time.
Pitfalls
- Old seeds may not sprout.
- Lids trap extra heat.
<END>"""

PIECES_TEXT = (
    "Goal|Controls|Readout|Analysis|Pitfalls|**Goal**|## Controls:|Readout: two things|# Extra|Note:|```"
    "|- Keep it cold.|- keep it warm|- |-x|  - nested|A sentence. Another one.|é 日本。||\r|\x00\u2028| "
    "|<END>|<END> x| <END>|**<END>**|<think>|</think>"
)
PIECES = st.sampled_from(PIECES_TEXT.split("|"))
TEXTS = st.one_of(
    st.text(max_size=300),
    st.lists(PIECES, max_size=25).map("\n".join),
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(st.sampled_from(GOOD.split("\n")), max_size=20).map("\n".join),
)


@given(TEXTS)
@settings(max_examples=300, deadline=None)
@example("<think>")
@example("</think><END>")
@example("Goal:" + " " * 5000 + "*" * 5000)
def test_verifiers_never_raise_and_strict_implies_loose(text: str) -> None:
    strict, loose = judge(text), judge(text, loose=True)
    whole = judged_text(text)
    assert tuple(strict) == tuple(loose) == CONSTRAINTS
    for name in CONSTRAINTS:
        assert strict[name].state is not State.PASS or loose[name].state is State.PASS
        for verdict in (strict[name], loose[name]):
            if verdict.span:
                assert 0 <= verdict.span[0] <= verdict.span[1] <= len(whole)
    values = score(text)
    assert values["all_strict"] <= values["all_loose"]
    assert 0 <= values["layout_score_0_5"] <= 5
    assert all(isinstance(value, float) for value in values.values())
    flags = format_score.score(text)
    assert flags["format_score_0_5"] == sum(flags[name] for name in format_score.FLAGS)
    assert {flags[name] for name in format_score.FLAGS} <= {0.0, 1.0}


@given(TEXTS)
@settings(max_examples=150, deadline=None)
def test_without_bullets_nothing_passes_as_a_whole(text: str) -> None:
    text = text.replace("-", "~")
    assert judge(text, loose=True)["stems"].state is State.NOT_APPLICABLE
    assert score(text)["all_loose"] == score(text)["stems_loose"] == 0


@given(st.text(max_size=200))
@settings(max_examples=100, deadline=None)
def test_content_is_judged_before_the_marker_only(tail: str) -> None:
    before, after = judge(GOOD), judge(GOOD + "\n" + tail.replace("</think>", ""))
    for name in ("headings", "order", "goal", "bullets", "stems"):
        assert before[name] == after[name]


@pytest.mark.parametrize(
    ("text", "name", "state", "evidence"),
    [
        (GOOD, "end_marker", State.PASS, "<END>"),
        (GOOD + "\nmore", "end_marker", State.FAIL, "\nmore"),
        (GOOD.replace("Readout", "Controls"), "headings", State.FAIL, None),
        (GOOD.replace("Pitfalls", "Pitfalls\n# Costs"), "headings", State.FAIL, "# Costs"),
        (GOOD.replace("- Lids", "- Old seeds"), "stems", State.FAIL, "- Old seeds trap extra heat."),
        (GOOD.replace("Goal\n", ""), "goal", State.NOT_APPLICABLE, None),
        (GOOD.replace("Goal\n", ""), "order", State.NOT_APPLICABLE, None),
        ("Goal\nOne thing.", "bullets", State.NOT_APPLICABLE, None),
        ("Goal\nOne thing.\n- only one", "stems", State.NOT_APPLICABLE, None),
        ("", "length", State.NOT_APPLICABLE, None),
    ],
)
def test_states_and_evidence(text: str, name: str, state: State, evidence: str | None) -> None:
    verdict = judge(text)[name]
    assert verdict.state is state
    assert (judged_text(text)[slice(*verdict.span)] if verdict.span else None) == evidence


def test_spans_point_into_the_judged_text() -> None:
    text = "<think>hm\r\n</think>\r\n" + GOOD.replace("\n", "\r\n")
    assert judged_text(text) == GOOD
    span = judge(text)["end_marker"].span
    assert span is not None
    assert judged_text(text)[slice(*span)] == "<END>"


def test_the_trace_decides_the_length() -> None:
    text = TracedText(GOOD)
    text.trace = SimpleNamespace(tokens=list(range(250)), finish="eos", extra={})
    assert count_tokens(text) == (250, False)
    assert judge(text)["length"] == structure.Verdict(State.FAIL, (0, len(GOOD)), "250 tokens, counted by the decoder")
    assert "estimated" in judge(GOOD)["length"].note


def test_another_layout() -> None:
    spec = SectionSpec(headings=("Why", "How"), goal_sentences=(1, 1), bullets=(1, 1), max_tokens=20, end_marker="DONE")
    text = "Why\nTo know.\nHow\n- Ask.\n- Listen well.\nDONE"
    assert score(text, spec)["all_loose"] == 0
    assert judge(text, spec)["bullets"].note == "2 bullets in How"
    wider = SectionSpec(
        headings=("Why", "How"), goal_sentences=(1, 1), bullets=(2, 2), max_tokens=20, end_marker="DONE"
    )
    assert score(text, wider)["all_strict"] == 1
    for wrong in ({"headings": ()}, {"headings": ("",)}, {"end_marker": ""}):
        with pytest.raises(ValueError, match="at least one heading"):
            SectionSpec(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "n"),
    [
        ("", 0),
        ("...", 0),
        ("One", 1),
        ("One. Two! Three?", 3),
        ("It costs 3.5 euros. Yes", 2),
        ("See e.g. Fig. 2 and Smith et al. for E. coli.", 1),
        ('He said "stop." Then he left.', 2),
        ("Wait... what? No.", 2),
        ("これは文です。次の文です。", 2),
        ("First.\nSecond.", 2),
    ],
)
def test_count_sentences(text: str, n: int) -> None:
    assert count_sentences(text) == n


@pytest.mark.parametrize(
    ("bullet", "expected"),
    [
        ("- Use the same", "use the"),
        ("- **Use**: the", "use the"),
        ("- Don't stop", "don't stop"),
        ("- One", "one"),
        ("- !!", "- !!"),
        ("- ÉTÉ long", "été long"),
    ],
)
def test_stem(bullet: str, expected: str) -> None:
    assert stem(bullet) == expected


@pytest.mark.parametrize(
    ("text", "answer", "found"),
    [
        ("a <END>", "a <END>", False),
        ("<think>x</think>\n\na", "a", True),
        ("x</think>a</think>", "a</think>", True),
        ("a<think>x", "a", True),
        ("a<END><think>x</think>", "a<END><think>x</think>", False),
    ],
)
def test_split_reasoning(text: str, answer: str, found: bool) -> None:
    assert split_reasoning(text, "<END>") == (answer, found)


def test_long_text_is_judged_in_linear_time() -> None:
    import time

    start = time.perf_counter()
    for text in (
        "Goal " * 40000,
        "<think>" * 20000,
        "- a\n" * 40000,
        " " * 200000,
        "**" * 100000,
        "A. " * 60000,
        "Controls:\n- x" + "\n?" * 60000,
    ):
        score(text)
        format_score.score(text)
    assert time.perf_counter() - start < 20
