"""`lmx data prepare`: every form of source gives the same data, and damaged sources are refused in a line."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from lmx_files import archives
from lmx_files.errors import UserError
from lmx_files.reading import lines
from lmx_tasks import prepare as preparing
from lmx_tasks.prepare import prepare

NAMES = ["task001_count", "task002_name", "task010_join"]


def ni_task(name: str, instances: int = 5, **changes: Any) -> dict[str, Any]:
    return {
        "Contributors": ["nobody"],
        "Source": ["own"],
        "Categories": ["Word Analogy"],
        "Definition": [f"Do what {name} says."],
        "Positive Examples": [{"input": "a", "output": "b", "explanation": "c"}],
        "Instances": [{"id": f"{name}-{i}", "input": f"in {i}", "output": [f"out {i}"]} for i in range(instances)],
        **changes,
    }


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout of natural-instructions: three test tasks, a training task and other files."""
    folder = tmp_path / "natural-instructions"
    (folder / "tasks").mkdir(parents=True)
    (folder / "splits" / "default").mkdir(parents=True)
    (folder / "splits" / "default" / "test_tasks.txt").write_text("\n".join(NAMES) + "\n")
    for name in [*NAMES, "task999_training"]:
        (folder / "tasks" / f"{name}.json").write_text(json.dumps(ni_task(name), indent=4))
    (folder / "tasks" / "README.md").write_text("# tasks")
    return folder


def packed(checkout: Path, kind: str) -> Path:
    """The checkout as an archive of one top folder, as GitHub packs it."""
    path = checkout.parent / f"source.{kind}"
    files = sorted(file for file in checkout.rglob("*") if file.is_file())
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for file in files:
                archive.write(file, f"top/{file.relative_to(checkout)}")
    else:
        with tarfile.open(path, {"tar": "w", "tar.gz": "w:gz", "tar.xz": "w:xz", "tar.bz2": "w:bz2"}[kind]) as archive:
            for file in files:
                archive.add(file, f"top/{file.relative_to(checkout)}")
    return path


def written(folder: Path, name: str = "superni") -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.open(folder / name / "test.jsonl.gz", "rt", encoding="utf-8")]


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"])
def test_an_archive_gives_what_the_checkout_gives(checkout: Path, tmp_path: Path, kind: str) -> None:
    prepare("superni", str(checkout), tmp_path / "a", instances=3)
    done = prepare("superni", str(packed(checkout, kind)), tmp_path / "b", instances=3)
    assert (done.tasks, done.instances, done.unchanged) == (3, 9, False)
    rows = written(tmp_path / "a")
    assert rows == written(tmp_path / "b")
    assert [row["Task"] for row in rows] == NAMES
    assert all((row["n_instances_total"], len(row["Instances"])) == (5, 3) for row in rows)
    assert (tmp_path / "a/superni/test.jsonl.gz").read_bytes() == (tmp_path / "b/superni/test.jsonl.gz").read_bytes()
    assert sorted(path.name for path in (tmp_path / "b/superni").iterdir()) == ["manifest.json", "test.jsonl.gz"]


def test_a_prepared_file_is_a_source_too_and_preparing_again_changes_nothing(checkout: Path, tmp_path: Path) -> None:
    prepare("superni", str(checkout), tmp_path / "a")
    prepare("superni", str(tmp_path / "a/superni/test.jsonl.gz"), tmp_path / "b")
    assert written(tmp_path / "a") == written(tmp_path / "b")
    assert prepare("superni", str(checkout), tmp_path / "a").unchanged


def test_the_git_blob_is_that_of_the_published_file(checkout: Path, tmp_path: Path) -> None:
    (checkout / "tasks" / f"{NAMES[0]}.json").write_bytes(json.dumps(ni_task(NAMES[0])).encode())
    raw = (checkout / "tasks" / f"{NAMES[0]}.json").read_bytes()
    prepare("superni", str(checkout), tmp_path / "a")
    assert written(tmp_path / "a")[0]["git_blob"] == hashlib.sha1(f"blob {len(raw)}\0".encode() + raw).hexdigest()


def test_an_interrupted_preparation_goes_on(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(task: str, number: int, total: int) -> None:
        assert total == 3
        if number == 2:
            raise KeyboardInterrupt

    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        prepare("superni", str(checkout), out, progress=stop)
    assert not (out / "superni" / "test.jsonl.gz").exists(), "half of the data is no data"
    with (out / "superni" / preparing.JOURNAL).open("a") as journal:
        journal.write('{"task": "task010_join", "sha')  # the line it was killed in
    done = prepare("superni", str(checkout), out)
    assert (done.tasks, done.resumed) == (3, 2)
    prepare("superni", str(checkout), tmp_path / "unbroken")
    assert (out / "superni/test.jsonl.gz").read_bytes() == (tmp_path / "unbroken/superni/test.jsonl.gz").read_bytes()


def test_a_download_that_was_cut_goes_on_when_it_is_whole(checkout: Path, tmp_path: Path) -> None:
    prepare("superni", str(checkout), tmp_path / "a")
    whole = b"".join(line for _, line in lines(tmp_path / "a/superni/test.jsonl.gz"))
    source = tmp_path / "source.jsonl"
    source.write_bytes(whole[:-20])
    with pytest.raises(UserError, match="line 3"):
        prepare("superni", str(source), tmp_path / "b")
    source.write_bytes(whole)
    done = prepare("superni", str(source), tmp_path / "b")
    assert (done.tasks, done.resumed) == (3, 2)
    assert prepare("superni", str(source), tmp_path / "c", instances=2).instances == 6
    assert written(tmp_path / "b") == written(tmp_path / "a")


def test_a_task_that_changed_meanwhile_is_read_again(checkout: Path, tmp_path: Path) -> None:
    def stop(task: str, number: int, total: int) -> None:
        if number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare("superni", str(checkout), tmp_path / "out", progress=stop)
    (checkout / "tasks" / f"{NAMES[0]}.json").write_text(json.dumps(ni_task(NAMES[0], Definition=["Another."])))
    done = prepare("superni", str(checkout), tmp_path / "out")
    assert done.resumed == 1
    assert written(tmp_path / "out")[0]["Definition"] == ["Another."]


def refused(source: Path, tmp_path: Path, *parts: str, name: str = "superni", **options: Any) -> str:
    """The one line that a source is refused with; data prepared before stay as they were."""
    out = tmp_path / "refusing"
    (out / name).mkdir(parents=True, exist_ok=True)
    (out / name / "test.jsonl.gz").write_bytes(b"older")
    with pytest.raises(UserError) as caught:
        prepare(name, str(source), out, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message
    assert (out / name / "test.jsonl.gz").read_bytes() == b"older"
    return message


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"Definition": []}, ["task002_name.json: task task002_name: it has no definition"]),
        ({"Definition": ["  "]}, ["it has no definition"]),
        ({"Instances": []}, ["field 'Instances' must be a list of objects, not []"]),
        ({"Instances": [{"id": "x", "input": "a", "output": []}]}, ["instance 1: field 'output'"]),
        ({"Instances": [{"id": "x", "input": 3, "output": ["b"]}]}, ["instance 1: field 'input' must be text, not 3"]),
        ({"Instances": [{"id": "x", "input": "a", "output": ["b"]}] * 2}, ["two instances with the id 'x'"]),
        ({"Categories": []}, ["field 'Categories'"]),
    ],
)
def test_a_damaged_task_is_named(checkout: Path, tmp_path: Path, changes: dict[str, Any], parts: list[str]) -> None:
    (checkout / "tasks" / "task002_name.json").write_text(json.dumps(ni_task("task002_name", **changes)))
    refused(checkout, tmp_path, *parts)
    refused(packed(checkout, "tar.gz"), tmp_path, *parts)


def test_an_incomplete_checkout_names_what_it_lacks(checkout: Path, tmp_path: Path) -> None:
    (checkout / "tasks" / "task002_name.json").unlink()
    refused(checkout, tmp_path, "lacks 1 of 3 tasks (task002_name)", "--tasks FILE")
    (checkout / "tasks" / "task001_count.json").write_text('{"Definition": ["cut o')
    refused(checkout, tmp_path, "task001_count.json: not JSON")


def test_a_file_with_a_task_twice_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tasks.jsonl"
    path.write_text("".join(json.dumps({"Task": "t", **ni_task("t")}) + "\n" for _ in range(2)))
    refused(path, tmp_path, "task 't' stands in", "line 1 already")


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "tar.xz", "tar.bz2", "zip"])
def test_a_download_that_broke_off_is_told_wherever_it_was_cut(checkout: Path, tmp_path: Path, kind: str) -> None:
    whole = packed(checkout, kind)
    content = whole.read_bytes()
    cut = tmp_path / f"cut.{kind}"
    # whole blocks of a tar included: it then looks like a shorter archive
    for length in sorted({1, 7, 512, 1024, 2048, len(content) // 2, 3 * len(content) // 4, len(content) - 10240}):
        if 0 < length < len(content) - (10240 if kind == "tar" else 0):
            cut.write_bytes(content[:length])
            refused(cut, tmp_path, "cut")


def test_other_files_are_no_archives(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text("<html>404</html>")
    refused(path, tmp_path, "not a whole tar or zip archive")
    refused(tmp_path / "nothing", tmp_path, "there is no source")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", tmp_path, "no tasks of natural-instructions there")


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil.json", "top/../../evil.json", "top\\..\\evil", "C:/evil"])
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_a_member_that_leaves_the_folder_is_refused(checkout: Path, tmp_path: Path, name: str, kind: str) -> None:
    path = packed(checkout, kind)
    if kind == "zip":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(zipfile.ZipInfo("placeholder"), "x")
            archive.infolist()[-1].filename = name
    else:
        with tarfile.open(path, "a") as archive:
            archive.addfile(tarfile.TarInfo(name), io.BytesIO())
    refused(path, tmp_path, "leaves the folder")
    assert not list(tmp_path.rglob("evil*"))


@pytest.mark.parametrize(
    ("kind", "told"), [(tarfile.SYMTYPE, "a link"), (tarfile.LNKTYPE, "a link"), (tarfile.FIFOTYPE, "a device")]
)
def test_links_and_devices_in_a_tar_are_refused(checkout: Path, tmp_path: Path, kind: bytes, told: str) -> None:
    path = packed(checkout, "tar")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("top/tasks/task003_link.json")
        member.type, member.linkname = kind, "/etc/passwd"
        archive.addfile(member)
    refused(path, tmp_path, "task003_link.json", told)


def test_links_in_a_zip_and_in_a_folder_are_refused(checkout: Path, tmp_path: Path) -> None:
    path = packed(checkout, "zip")
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo("top/link")
        member.external_attr = 0o120777 << 16
        archive.writestr(member, "/etc/passwd")
    refused(path, tmp_path, "top/link", "a link")
    real = checkout / "tasks" / "task001_count.json"
    shutil.move(real, tmp_path / "elsewhere.json")
    real.symlink_to(tmp_path / "elsewhere.json")
    refused(checkout, tmp_path, "is a symbolic link, which is not followed")


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_SMALL", 1 << 20)
    path = tmp_path / f"bomb.{kind}"
    zeros = b"\0" * (8 << 20)
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("top/tasks/task001_bomb.json", zeros)
    else:
        with tarfile.open(path, "w:gz") as archive:
            member = tarfile.TarInfo("top/tasks/task001_bomb.json")
            member.size = len(zeros)
            archive.addfile(member, io.BytesIO(zeros))
    refused(path, tmp_path, "unpacks to more than 200 times")


def test_two_members_of_a_name_are_refused(checkout: Path, tmp_path: Path) -> None:
    path = packed(checkout, "tar")
    with tarfile.open(path, "a") as archive:
        archive.add(checkout / "tasks" / "task001_count.json", "top/tasks/task001_count.json")
    refused(path, tmp_path, "two members are called")


def test_a_checksum_is_compared(checkout: Path, tmp_path: Path) -> None:
    from lmx_files.hashing import sha256

    path = packed(checkout, "zip")
    refused(path, tmp_path, "has the SHA-256", checksum="0" * 64)
    refused(checkout, tmp_path, "is a folder", checksum="0" * 64)
    assert prepare("superni", str(path), tmp_path / "ok", checksum=sha256(path).upper()).tasks == 3


def test_the_hub_is_read_at_a_commit_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checkout: Path) -> None:
    refused(Path("hub:owner/name@main"), tmp_path, "name the commit, 40 hexadecimal digits")
    refused(Path("hub:owner/name"), tmp_path, "name the commit")
    import huggingface_hub

    asked: list[Any] = []

    def snapshot(repository: str, local_dir: Path, **options: Any) -> None:
        asked.append((repository, options["revision"], options["repo_type"]))
        if len(asked) == 1:
            raise OSError("connection lost\nmore")
        shutil.copytree(checkout, local_dir)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    commit = "0123456789" * 4
    refused(Path(f"hub:owner/name@{commit}"), tmp_path, "connection lost", "Run again to go on")
    assert prepare("superni", f"hub:owner/name@{commit}", tmp_path / "out").tasks == 3
    assert asked == [("owner/name", commit, "dataset")] * 2
    manifest = json.loads((tmp_path / "out/superni/manifest.json").read_text())
    assert manifest["source"] == {"hub": "owner/name", "commit": commit}
    assert not (tmp_path / "out/superni" / preparing.DOWNLOAD).exists()


def test_bigbench_takes_a_listed_task_with_its_subtasks(tmp_path: Path) -> None:
    root = tmp_path / "BIG-bench"
    task = {"name": "x", "description": "Add.", "keywords": ["k"], "examples": [{"input": "1+1", "target": "2"}]}
    for name in ("sums", "games/chess", "games/go", "games_of_old"):
        (root / "bigbench/benchmark_tasks" / name).mkdir(parents=True)
        (root / "bigbench/benchmark_tasks" / name / "task.json").write_text(json.dumps(task))
    names = tmp_path / "names.txt"
    names.write_text("# mine\nsums\ngames\n")
    done = prepare("bigbench", str(root), tmp_path / "out", tasks=names)
    assert [row["task_path"] for row in written(tmp_path / "out", "bigbench")] == ["games/chess", "games/go", "sums"]
    assert written(tmp_path / "out", "bigbench")[0]["n_examples_total"] == 1
    assert done.instances == 3
    names.write_text("sums\nnone_such\n")
    refused(root, tmp_path, "lacks 1 of 2 tasks (none_such)", name="bigbench", tasks=names)
    refused(root, tmp_path, "lacks 24 of 24 tasks (auto_debugging, ", name="bigbench")


def test_the_command_prints_where_the_data_are(checkout: Path, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    import sys

    from lmx_cli.main import main

    monkeypatch.setattr(sys, "argv", ["lmx", "data", "prepare", "superni", str(checkout), "-o", str(tmp_path / "o")])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code in (0, None)
    told = capsys.readouterr().out
    assert "3 tasks, 15 instances" in told
    assert f'"data_dir": "{tmp_path / "o"}"' in told
    monkeypatch.setattr(sys, "argv", ["lmx", "data", "prepare", "supernl", str(checkout), "-o", str(tmp_path / "o")])
    with pytest.raises(SystemExit):
        main()
    assert "did you mean 'superni'" in capsys.readouterr().err
