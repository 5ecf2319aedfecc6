"""`lmx run` from the shell: what it leaves, and what it survives."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lmx_files import jsonl
from lmx_files.journal import Journal
from lmx_files.runs.folders import find_runs, read_run

DRIVER = Path(__file__).with_name("kill_driver.py")
RUN = [sys.executable, "-m", "lmx_cli.main", "run"]
ONE_THREAD = os.environ | {"OMP_NUM_THREADS": "1"}
SAMPLED = ["--gen_kwargs", "temperature=1.0,do_sample=true"]
TINY = ["--model", "ar", "--model_args", "pretrained=tiny-base", "--tasks", "constraint_tiny", "--batch_size", "4"]


def lmx_run(*arguments, cwd, env=None, before=None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*RUN, *arguments], cwd=cwd, env=ONE_THREAD | (env or {}), capture_output=True, text=True, preexec_fn=before
    )


def samples_of(folder: Path) -> list[bytes]:
    return [run.sample_files[task].read_bytes() for run in find_runs(folder) for task in run.sample_files]


def test_what_a_run_leaves(tmp_path):
    done = lmx_run("--model", "scripted", "--tasks", "constraint_tiny", "--limit", "3", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    run = read_run(tmp_path / "results")
    assert run.file.parent.name == "scripted"
    assert len(list(run.samples("constraint_tiny"))) == 3
    assert run.manifest["command"] == "lmx run --model scripted --tasks constraint_tiny --limit 3"
    assert run.manifest["versions"]["lm_eval"]
    assert set(run.manifest["files"]["sha256"]) == {run.file.name, run.sample_files["constraint_tiny"].name}
    assert str(run.file.relative_to(tmp_path)) in done.stdout


def test_documents_and_seed_as_lm_eval_s_flags_name_them(tmp_path):
    sampled = [*SAMPLED, "--seed", "7", "--no_journal"]
    whole = lmx_run(*TINY, *sampled, "--limit", "4", "--output_path", "whole", cwd=tmp_path)
    asked = ["--samples", '{"constraint_tiny": [3, 1]}', "--output_path", "asked"]
    strict = {"PYTHONWARNINGS": "error::FutureWarning"}  # nor does any library warn of what it will change
    part = lmx_run(*TINY, *sampled, *asked, cwd=tmp_path, env=strict)
    assert whole.returncode == part.returncode == 0, whole.stderr + part.stderr
    texts = {one["doc_id"]: one["resps"] for one in read_run(tmp_path / "whole").samples("constraint_tiny")}
    run = read_run(tmp_path / "asked")
    found = {one["doc_id"]: one["resps"] for one in run.samples("constraint_tiny")}
    assert found == {number: texts[number] for number in (1, 3)}
    assert len(set(map(str, texts.values()))) == 4
    (traces,) = run.trace_files()
    assert sorted(line["doc_id"] for line in jsonl.read(traces)) == [1, 3]
    decoding = run.results["config"]["decoding"]
    assert (decoding["seed"], decoding["seed_from"]) == (7, "lm_eval's seed for torch (--seed)")


@pytest.mark.full
def test_thirty_kills_and_the_samples_of_an_unbroken_run(tmp_path):
    arguments = ["--model", "ar", "--model_args", "pretrained=tiny-oracle", "--tasks", "constraint50"]
    arguments += ["--batch_size", "4", *SAMPLED]
    driver = subprocess.run(
        [sys.executable, str(DRIVER), "30", "1", "killed/out", *arguments],
        cwd=tmp_path,
        env=ONE_THREAD,
        capture_output=True,
        text=True,
    )
    assert driver.returncode == 0, driver.stderr
    attempts = json.loads(driver.stdout.splitlines()[-1])
    assert [attempt["killed"] for attempt in attempts] == [True] * 30 + [False]
    writing = [attempt for attempt in attempts[:-1] if attempt["started"]]
    assert len(writing) >= 5, "too few kills fell into the writing to say anything"
    finished: set[int] = set()
    for attempt in attempts:
        assert set(attempt["before"]) == finished
        assert not finished & set(attempt["started"]), "a finished text was written again"
        assert len(attempt["started"]) == len(set(attempt["started"]))
        assert len(set(attempt["started"]) - set(attempt["after"])) <= 4, "more was lost than was in flight"
        finished = set(attempt["after"])
        assert len(attempt["after"]) == len(finished), "a text is in the journal twice"
    assert finished == set(range(50))

    whole = lmx_run(*arguments, "--output_path", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert samples_of(tmp_path / "whole") == samples_of(tmp_path / "killed")
    (file,) = read_run(tmp_path / "killed").trace_files()
    assert len({line["doc_id"] for line in jsonl.read(file)}) == 50
    assert not list((tmp_path / "killed").rglob("*.part*"))


@pytest.mark.parametrize(
    ("how", "ignored"),
    [
        pytest.param(signal.SIGINT, (), marks=pytest.mark.full),
        pytest.param(signal.SIGTERM, (), marks=pytest.mark.full),
        (signal.SIGTERM, ("INT",)),
    ],
)
def test_an_interrupted_run_says_how_to_go_on(tmp_path, how, ignored):
    """A shell's background jobs ignore SIGINT; SIGTERM must reach them all the same."""
    command = [*RUN, *TINY, "--limit", "30", *SAMPLED]
    started = ["env", *(f"--ignore-signal={name}" for name in ignored), *command]
    running = subprocess.Popen(started, cwd=tmp_path, env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
    journal = tmp_path / "results" / "journal" / "journal-0001.jsonl"
    while not (journal.exists() and journal.read_bytes().count(b"\n") > 2):
        assert running.poll() is None, running.stderr.read()
        time.sleep(0.02)
    running.send_signal(how)
    _, err = running.communicate(timeout=600)
    assert running.returncode == 130
    assert "interrupted; finished texts are kept in results/journal: give the same command again" in err
    assert "Traceback" not in err
    again = lmx_run(*command[len(RUN) :], "--resume", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert read_run(tmp_path / "results").manifest["texts_from_journal"] >= 2


@pytest.mark.full
def test_a_full_disk_loses_nothing_finished(tmp_path):
    limited = tmp_path / "limited.py"
    limited.write_text(
        "import resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from lmx_cli.main import main\n"
        "main()\n"
    )
    arguments = [*TINY, "--limit", "20"]
    command = [sys.executable, str(limited), "run", *arguments]
    full = subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True)
    assert full.returncode == 2, full.stderr
    last = full.stderr.strip().splitlines()[-1]
    assert last.startswith("lmx: error: cannot write")
    assert "Traceback" not in full.stderr
    journal = Journal(tmp_path / "results" / "journal")
    kept = len(journal)
    journal.close()
    assert kept > 0
    done = lmx_run(*arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert read_run(tmp_path / "results").manifest["texts_from_journal"] == kept
    whole = lmx_run(*arguments, "--output_path", "whole", cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert samples_of(tmp_path / "whole") == samples_of(tmp_path / "results")


@pytest.mark.full
def test_a_samples_file_whose_last_line_is_cut_is_no_result(tmp_path):
    """All lines are there and one does not end: neither a good exit status nor a manifest that hashes it."""
    limited = tmp_path / "limited.py"
    limited.write_text(
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "size = int(sys.argv.pop(1))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))\n"
        "from lmx_cli.main import main\n"
        "main()\n"
    )
    arguments = ["run", "--model", "scripted", "--tasks", "constraint_tiny", "--limit", "20", "--output_path"]

    def run(size, folder):
        command = [sys.executable, str(limited), str(size), *arguments, folder]
        return subprocess.run(command, cwd=tmp_path, env=ONE_THREAD, capture_output=True, text=True)

    assert run(10**9, "whole").returncode == 0
    (samples,) = (tmp_path / "whole").rglob("samples_*")
    done = run(samples.stat().st_size - 4, "cut")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("lmx: error: the run ended, but the samples of")
    (cut,) = (tmp_path / "cut").rglob("samples_*")
    assert cut.read_bytes().count(b"\n") == 19
    assert not list((tmp_path / "cut").rglob("manifest_*"))


@pytest.mark.full
def test_two_runs_on_one_journal_at_once(tmp_path):
    command = [*RUN, *TINY, "--limit", "12", *SAMPLED, "--journal", "shared", "--output_path"]
    running = [
        subprocess.Popen([*command, name], cwd=tmp_path, env=ONE_THREAD, stderr=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    errors = [one.communicate(timeout=900)[1] for one in running]
    assert [one.returncode for one in running] == [0, 0], errors
    assert samples_of(tmp_path / "a") == samples_of(tmp_path / "b")
    third = lmx_run(*command[len(RUN) :], "c", "--resume", cwd=tmp_path)
    assert third.returncode == 0, third.stderr
    assert read_run(tmp_path / "c").manifest["texts_from_journal"] == 12
    assert samples_of(tmp_path / "c") == samples_of(tmp_path / "a")


def test_a_clock_that_went_backwards(tmp_path):
    """Files of a run from the future lie there already: the new run's own files are found and described."""
    folder = tmp_path / "results" / "scripted"
    folder.mkdir(parents=True)
    future = folder / "results_2999-01-01T00-00-00.000000.json"
    future.write_text(json.dumps({"results": {}}))
    done = lmx_run("--model", "scripted", "--tasks", "constraint_tiny", "--limit", "2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (manifest,) = folder.glob("manifest_*.json")
    assert "2999" not in manifest.name
    assert json.loads(manifest.read_text())["seconds"] > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--output_path", "/proc/results"], "results cannot be written to output_path '/proc/results'"),
        (["--journal", "/proc/journal"], "cannot open the journal /proc/journal"),
        (["--resume"], "--resume: nothing to go on from in the journal results/journal"),
        (["--tasks", "constrain_tiny"], "unknown task 'constrain_tiny': did you mean 'constraint_tiny'"),
        (["--limt", "2"], "unknown flag '--limt': did you mean '--limit'"),
        (["--cache_requests"], "--cache_requests: lm_eval finds cached requests by a key that knows neither"),
    ],
)
def test_mistakes_are_one_line(tmp_path, arguments, message):
    done = lmx_run(*TINY, "--limit", "2", *arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr.strip().splitlines()[-1]
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.rglob("results_*.json"))
