"""docs/architecture.md is the house as it stands: its diagram, its table of folders, the files that it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.house import ROOT, kept_files

PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
FILES = [path.relative_to(ROOT) for path in kept_files()]
# A folder beside the packages has one line, however many folders are in it.
PACKAGES = ("lmx_", "training")
# What lies in these folders is material: of a task, of a model, of what `lmx new` writes.
MATERIAL = re.compile(r"(/data|^lmx_models/tiny/.+|^lmx_cli/templates/.+)$")


def test_the_diagram_is_the_layers_of_the_linter() -> None:
    contract = (ROOT / "pyproject.toml").read_text(encoding="utf-8").split('id = "layers"')[1].split("]")[0]
    layers = re.findall(r'^ +"(.*)",$', contract, re.MULTILINE)
    drawn = PAGE.split("## The house")[1].split("```")[1].strip().splitlines()
    assert len(layers) > 5
    assert [re.split(r" {2,}", line)[0] for line in drawn] == layers
    assert all(len(re.split(r" {2,}", line)) == 2 for line in drawn), "each floor says what it is"


def folders() -> set[str]:
    found = set()
    for path in FILES:
        parts = path.parts[:-1]
        deep = len(parts) if parts and parts[0].startswith(PACKAGES) else 1
        found |= {"/".join(parts[:n]) for n in range(1, deep + 1) if parts}
    return {folder for folder in found if not MATERIAL.search(folder)}


def test_every_folder_has_one_line() -> None:
    lines = re.findall(r"^\| `([\w/]+)` \|", PAGE.split("## The house")[1].split("\n## ")[0], re.MULTILINE)
    assert sorted(lines) == sorted(set(lines))
    missing, gone = folders() - set(lines), set(lines) - folders()
    assert not missing, f"docs/architecture.md has no line for {sorted(missing)}"
    assert not gone, f"docs/architecture.md has lines for folders that are not there: {sorted(gone)}"


@pytest.mark.parametrize("page", ["docs/architecture.md", "docs/structures.md", "CONTRIBUTING.md"])
def test_files_that_pages_name_are_there(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    names = set(re.findall(r"`([\w/]+\.(?:py|yaml|md))`", text)) | set(re.findall(r"[\w/]+/[\w/]+\.py", text))
    assert names
    there = {f"/{path.as_posix()}" for path in FILES}
    missing = sorted(name for name in names if not any(path.endswith(f"/{name}") for path in there))
    assert not missing, f"{page} names {missing}"


def test_folders_are_told_from_their_material() -> None:
    assert {"lmx_models/methods", "lmx_tasks/category_counting/variants", "benchmarks"} <= folders()
    assert not {"lmx_tasks/math/data", "lmx_models/tiny/tiny-base", "benchmarks/studies"} & folders()


PAGES = [
    path
    for path in FILES
    if path.suffix == ".md" and path.parts[0] != "tests" and not MATERIAL.search(str(path.parent))
]
FOLDERS = "|".join(sorted(folder for folder in folders() if "/" not in folder))
NAMED = re.compile(rf"(?<![\w/.-])(?:{FOLDERS})/[\w./*-]+\.(?:py|md|yaml|json|jsonl|png|svg|j2)\b")


@pytest.mark.parametrize("page", PAGES, ids=str)
def test_paths_and_links_of_pages_lead_somewhere(page: Path) -> None:
    """Paths from the root, with `*` for any, and links from where the page lies."""
    text = (ROOT / page).read_text(encoding="utf-8")
    gone = [name for name in set(NAMED.findall(text)) if not any(ROOT.glob(name))]
    links = set(re.findall(r"\]\(([^)#:\s]+)[)#]", text))
    gone += [link for link in links if not (ROOT / page.parent / link).exists()]
    assert not gone, f"{page} names {sorted(gone)}"
