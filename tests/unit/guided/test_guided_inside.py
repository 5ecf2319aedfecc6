"""Guided decoding is described once: policies and calibration of the user's own inside hybrid and iterative too."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from lmx_files.errors import UserError
from lmx_models.guided.model import GuidedLM
from lmx_models.harness.decoder_lm import DEFAULT_MODEL
from lmx_models.hybrid.model import HybridLM
from lmx_models.iterative import IterativeLM
from lmx_models.methods import guided as described
from lmx_models.methods.guided import GUIDED
from lmx_models.methods.roles import others_named
from tests.unit.models.test_decoder_lm import FAST, requests

SMALL = {**FAST, "self_check": False}
PAIR = {"pretrained": "tiny-base", "oracle": "tiny-oracle"}


def write(lm: Any, n: int = 3, **gen_kwargs: Any) -> list[Any]:
    return lm.generate_until(requests(n=n, **gen_kwargs), disable_tqdm=True)


def graph(folder: Path, **settings: Any) -> str:
    draft = {"model": "tiny-base", "oracle": "tiny-oracle", "method": "guided", "prompt": "{prompt}"}
    answer = {"model": "tiny-base", "method": "ar", "prompt": "{prompt} {draft}"}
    path = folder / "graph.yaml"
    path.write_text(
        yaml.safe_dump({"nodes": {"draft": {**draft, "settings": settings}, "answer": answer}}, sort_keys=False)
    )
    return str(path)


@pytest.fixture
def policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module of the user's with a policy."""
    monkeypatch.syspath_prepend(tmp_path)
    path = tmp_path / "policy_inside.py"
    path.write_text("def odd(point):\n    return point.position % 2 == 1\n")
    yield path
    sys.modules.pop("policy_inside", None)


@pytest.fixture(scope="module")
def calibration(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("calibration") / "traces.jsonl"
    write(GuidedLM(**PAIR, c=0, record="entropy", traces=str(path), **SMALL))
    return path


def settings_of(name: str, calibration: Path) -> dict[str, Any]:
    quantile = {"policy": "quantile", "share": 0.3, "k": 2, "c": 50, "calibration": str(calibration)}
    return {"own": {"policy": "policy_inside:odd", "k": 2}, "quantile": quantile}[name]


@pytest.mark.parametrize("name", ["own", "quantile"])
def test_policies_decide_inside_others_as_they_do_alone(
    name: str, policy: Path, calibration: Path, tmp_path: Path
) -> None:
    settings = settings_of(name, calibration)
    alone = GuidedLM(**PAIR, **settings, **SMALL)
    texts = write(alone, do_sample=True, temperature=0.9)
    assert all(text.trace.by_source()["oracle"] for text in texts)
    inside = IterativeLM(inner="guided", rounds=0, **PAIR, **settings, **SMALL)
    found = write(inside, do_sample=True, temperature=0.9)
    assert [one.trace.tokens for one in found] == [one.trace.tokens for one in texts]
    stages = HybridLM(graph=graph(tmp_path, **settings), **SMALL)
    drafts = [text.trace.extra["stages"][0] for text in write(stages)]
    greedy = write(alone)
    assert [draft["tokens"] for draft in drafts] == [one.trace.tokens for one in greedy]
    assert [draft["extra"]["consultations"] for draft in drafts] == [one.trace.extra["consultations"] for one in greedy]
    notes = [note for note in alone.notes if note.startswith("quantile: threshold")]
    assert len(notes) == (name == "quantile")
    for lm in (inside, stages):
        assert [note for note in lm.notes if note.startswith("quantile: threshold")] == notes


def from_journal(lm: Any) -> int:
    write(lm, n=1, max_gen_toks=4)
    lm.journal.journal.close()
    return int(lm.get_model_info()["decoding"]["texts_from_journal"])


@pytest.mark.parametrize("outer", ["iterative", "hybrid"])
def test_inside_others_a_journal_knows_the_policy_by_its_content(outer: str, policy: Path, tmp_path: Path) -> None:
    settings = {"policy": "policy_inside:odd", "k": 2}

    def run() -> int:
        journal = {"journal": str(tmp_path / "journal"), **SMALL}
        if outer == "hybrid":
            return from_journal(HybridLM(graph=graph(tmp_path, **settings), **journal))
        return from_journal(IterativeLM(inner="guided", rounds=0, **PAIR, **settings, **journal))

    assert [run(), run()] == [0, 1]
    policy.write_text("def odd(point):\n    return point.position % 3 == 1\n")
    del sys.modules["policy_inside"]
    assert run() == 0


def test_identities_of_settings_without_files_are_what_they_were(tmp_path: Path) -> None:
    alone = GuidedLM(**PAIR, **SMALL)
    assert alone.identity(alone.settings)["policy_files"] == []
    inside = IterativeLM(inner="guided", rounds=0, **PAIR, **SMALL)
    assert "method_files" not in inside.identity(inside.settings)
    stages = HybridLM(graph=graph(tmp_path), **SMALL)
    assert "method_files" not in stages.identity(stages.settings)


@pytest.mark.parametrize(
    ("policy_name", "message"),
    [("policy_inside:even", "cannot be imported"), ("nowhere_at_all:f", "cannot be imported"), (":f", "imported")],
)
def test_a_policy_that_is_not_there_is_refused_before_a_text(
    policy_name: str, message: str, policy: Path, tmp_path: Path
) -> None:
    for make in (
        lambda: GuidedLM(**PAIR, policy=policy_name, **SMALL),
        lambda: IterativeLM(inner="guided", **PAIR, policy=policy_name, **SMALL),
        lambda: HybridLM(graph=graph(tmp_path, policy=policy_name), **SMALL),
    ):
        with pytest.raises(UserError, match=message) as error:
            make()
        assert "\n" not in str(error.value)


def test_a_policy_may_be_an_object_that_can_be_called(policy: Path, tmp_path: Path) -> None:
    policy.write_text(
        "class Odd:\n    def __call__(self, point):\n        return point.position % 2 == 1\n\nodd = Odd()\n"
    )
    lm = GuidedLM(**PAIR, policy="policy_inside:odd", k=2, journal=str(tmp_path / "j"), **SMALL)
    assert from_journal(lm) == 0
    assert len(lm.identity(lm.settings)["policy_files"]) == 1


def test_the_oracle_beside_the_default_base(monkeypatch: pytest.MonkeyPatch) -> None:
    """Said by the method: so `--model guided` and `inner=guided` have the same; a graph names its models itself."""
    for available, oracle in ((True, described.DEFAULT_ORACLE), (False, DEFAULT_MODEL)):
        monkeypatch.setattr(described.catalogue, "available", lambda name, there=available: there)
        notes: list[str] = []
        assert others_named(GUIDED, {}, "here", DEFAULT_MODEL, notes) == {"oracle": oracle}
        assert [note for note in notes if "decoded greedily" in note] == notes
        assert len(notes) == (not available)
    with pytest.raises(UserError, match="here with pretrained=tiny-base needs oracle=MODEL"):
        others_named(GUIDED, {}, "here", "tiny-base")
    with pytest.raises(UserError, match="here needs oracle=MODEL"):
        others_named(GUIDED, {}, "here")
