"""What a user sees of a mistake: one line that names the value and the mend, and a failing exit status.

Four mistakes go through the shell as they are. The others, and the runs that only warn, share one Python process,
which calls lm_eval's command line once for each of them and hands what was raised to Python's exception hook.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import lmx_tasks

pytestmark = [pytest.mark.slow, pytest.mark.full]

TASKS = Path(lmx_tasks.__file__).parent
DATA_DIR = json.dumps({"data_dir": "data"})
NOBODY = "nobody/nothing"  # the form of a Hub id
UNREACHED = rf"cannot get model '{NOBODY}': .*the Hub cannot be reached.*Usable here now: tiny-base"
HUB = {"HF_ENDPOINT": "http://127.0.0.1:9"}  # where nothing listens


def run(model: str, arguments: str, *more: str, task: str = "constraint_tiny") -> list[str]:
    """Return arguments of `lm_eval` for a run of one short text."""
    model_args = ["--model", model, "--model_args", arguments]
    return [*model_args, "--tasks", task, "--limit", "1", "--device", "cpu", *(more or GEN)]


def guided(*settings: str, more: tuple[str, ...] = ()) -> list[str]:
    """Return arguments of `lm_eval --model guided` on the tiny pair."""
    return run("guided", ",".join(("pretrained=tiny-base", "oracle=tiny-oracle", *settings)), *more)


def gen_kwargs(value: str) -> tuple[str, ...]:
    return ("--gen_kwargs", value)


GEN = gen_kwargs("max_gen_toks=12")
AR = "pretrained=tiny-base"

# Name -> (arguments, pattern of the one line).
SHELL = {
    "unknown policy": (guided("policy=entropi"), r"unknown policy 'entropi': did you mean 'entropy'\?"),
    "missing model": (run("ar", f"pretrained={NOBODY}"), UNREACHED),
    "output folder": (
        run("ar", AR, *GEN, "--output_path", "blocker/out"),
        r"results cannot be written to output_path 'blocker/out': .*blocker is a file.*Give --output_path a folder",
    ),
    "damaged prompts": (
        run("ar", AR, "--metadata", DATA_DIR, task="constraint50"),
        r"data/constraint50/prompts\.jsonl, line 3: not valid JSON at character \d+\. Is the line truncated\?",
    ),
}
REFUSED = {
    "unknown policy of one run": (
        guided(more=gen_kwargs("policy=rmap")),
        r"unknown policy 'rmap': did you mean 'ramp'",
    ),
    "unknown argument": (
        guided("polcy=ramp"),
        r"unknown --model guided argument 'polcy': did you mean 'policy'\?",
    ),
    "unknown argument of ar": (run("ar", f"{AR},temperatur=1"), r"'temperatur': did you mean 'temperature'"),
    "unknown generation argument": (
        guided(more=gen_kwargs("handbak=k")),
        r"unknown generation argument of --model guided 'handbak': did you mean 'handback'\?",
    ),
    "negative c": (guided("c=-1"), r"c=-1(\.0)? must be a whole number of at least 0, or inf"),
    "negative k": (guided("k=-3"), r"k=-3(\.0)? must be a whole number of at least 0, or inf"),
    "negative c of one run": (guided(more=gen_kwargs("c=-2")), r"c=-2(\.0)? must be a whole number of at least 0"),
    "missing oracle": (run("guided", f"{AR},oracle={NOBODY}"), UNREACHED),
    "no oracle named": (run("guided", AR), r"pretrained=tiny-base needs oracle=MODEL"),
    "mistyped short name": (
        run("ar", "pretrained=tiny-bsae"),
        r"unknown model 'tiny-bsae': did you mean 'tiny-base'\?",
    ),
    "mistyped path": (
        run("ar", "pretrained=./modles/mine"),
        r"no model '\./modles/mine': no such folder.*Short names: ",
    ),
    "folder without config": (
        run("ar", "pretrained=./empty"),
        r"'\./empty': it has no config\.json\. Mend: give a folder",
    ),
    "traces file": (
        run("ar", f"{AR},traces=blocker/t.jsonl"),
        r"cannot write traces to blocker/t\.jsonl .*writable folder",
    ),
    "no data folder": (
        run("ar", AR, "--metadata", '{"data_dir": "dta"}', task="constraint50"),
        r"--metadata data_dir: there is no folder dta\. Give a folder that holds constraint50/prompts\.jsonl",
    ),
    "max_gen_toks": (
        run("ar", AR, *gen_kwargs("max_gen_toks=99999")),
        r"max_gen_toks=99999 must .*: set --gen_kwargs max_gen_toks=N",
    ),
    "cached responses": (
        run("ar", AR, *GEN, "--use_cache", "answers"),
        r"--use_cache answers: lm_eval's cache of responses knows neither a model's settings nor its seed",
    ),
    "half a token": (run("ar", AR, *gen_kwargs("max_gen_toks=10.5")), r"max_gen_toks=10\.5 is not a whole number"),
    "temperature": (run("ar", AR, *gen_kwargs("temperature=hot")), r"temperature='hot' is not a number"),
    "stop string": (run("ar", AR, *gen_kwargs("until=5")), r"until=5: 5 is not text: write a text or a list of texts"),
    "sampling": (run("ar", AR, *gen_kwargs("do_sample=perhaps")), r"do_sample='perhaps' is not a true/false value"),
    "no documents": (run("ar", AR, *GEN, "--limit", "0"), r"--limit 0\.0: give a whole number of documents"),
    "fewer than no documents": (run("scripted", "", "--limit", "-1"), r"--limit -1\.0: give a whole number"),
}
WARNED = {
    "long prompt": run("ar", AR, *GEN, "--metadata", DATA_DIR, "--output_path", "long"),
    "other tokenizer": run(
        "guided", f"{AR},oracle=./other,policy=fixed,every=4,k=3", *GEN, "--limit", "3", "--output_path", "other-out"
    ),
}

DRIVER = """
import contextlib, io, json, logging, sys
from lm_eval.__main__ import cli_evaluate
from lm_eval.tasks._index import TaskIndex

# Reading the folders of all tasks takes longer than everything else: once is enough.
build, built = TaskIndex.build, {}
def build_once(paths, **settings):
    key = repr((paths := list(paths), settings))
    built[key] = built.get(key) or build(paths, **settings)
    return dict(built[key])
TaskIndex.build = staticmethod(build_once)

warnings = []
class Keep(logging.Handler):
    def emit(self, record):
        warnings.append(record.getMessage())
logging.getLogger("lmx_models").addHandler(Keep(logging.WARNING))

told = {}
for name, arguments in json.load(sys.stdin).items():
    warnings.clear()
    sys.argv = ["lm_eval", *arguments]
    error = io.StringIO()
    status = 0
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli_evaluate()
        except BaseException:
            status = 1
            with contextlib.redirect_stderr(error):
                sys.excepthook(*sys.exc_info())
    told[name] = {"status": status, "error": error.getvalue(), "warnings": list(warnings)}
json.dump(told, sys.stdout)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder away from the checkout with everything that the commands name in it."""
    folder = tmp_path_factory.mktemp("mistakes")
    (folder / "blocker").write_text("a file where a folder should be")
    (folder / "empty").mkdir()
    prompts = (TASKS / "constraint50" / "prompts.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "data" / "constraint50").mkdir(parents=True)
    (folder / "data" / "constraint50" / "prompts.jsonl").write_bytes(b"".join(prompts[:3])[:-40])
    row = json.loads((TASKS / "constraint_tiny" / "data" / "tiny.jsonl").read_text().splitlines()[0])
    row["prompt"] = "light " * 3000 + row["prompt"]
    (folder / "data" / "constraint_tiny").mkdir()
    (folder / "data" / "constraint_tiny" / "tiny.jsonl").write_text(json.dumps(row) + "\n")
    _save_other_model(folder / "other")
    return folder


def _save_other_model(folder: Path) -> None:
    """Save a random network with a byte-level BPE tokenizer of its own."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    bpe = ByteLevelBPETokenizer()
    text = (TASKS / "constraint_tiny" / "README.md").read_text()
    bpe.train_from_iterator([text], vocab_size=320, special_tokens=["<end>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe._tokenizer, eos_token="<end>", pad_token="<end>")
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=1024,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def told(folder) -> dict[str, Any]:
    """What every command said: finished processes for the shell's, records of the driver for the others."""
    environment = {**os.environ, **HUB, "OMP_NUM_THREADS": "1"}
    for name in ("LMX_TRACEBACK", "LMX_NO_AUTOLOAD", "LMX_TRACES", "LMX_DATA_DIR", "HF_HUB_OFFLINE"):
        environment.pop(name, None)

    def start(*command: str, text: str = "") -> subprocess.CompletedProcess[str]:
        full = [sys.executable, *command]
        return subprocess.run(
            full, cwd=folder, env=environment, input=text, capture_output=True, text=True, timeout=300
        )

    commands = {name: arguments for name, (arguments, _) in REFUSED.items()} | WARNED
    with ThreadPoolExecutor(2) as pool:
        driver = pool.submit(start, "-c", DRIVER, text=json.dumps(commands))
        shell = {name: pool.submit(start, "-m", "lm_eval", *arguments) for name, (arguments, _) in SHELL.items()}
    assert driver.result().returncode == 0, driver.result().stderr
    return json.loads(driver.result().stdout) | {name: done.result() for name, done in shell.items()}


def results(path: Path) -> dict[str, Any]:
    """Return what the results file says of the decoding."""
    (found,) = path.glob("*/results_*.json")
    return json.loads(found.read_text())["config"]["decoding"]


@pytest.mark.parametrize("name", SHELL)
def test_the_shell_gets_one_line_and_a_failing_status(told, name):
    done = told[name]
    lines = [line for line in done.stderr.splitlines() if "lmx: error:" in line]
    assert done.returncode != 0
    assert len(lines) == 1, done.stderr
    assert re.match("lmx: error: .*" + SHELL[name][1], lines[0])
    assert "Traceback" not in done.stderr + done.stdout


def test_an_output_folder_is_tried_before_the_model_is_loaded(told):
    assert "Initializing ar model" in told["damaged prompts"].stderr
    assert "Initializing ar model" not in told["output folder"].stderr


@pytest.mark.parametrize("name", REFUSED)
def test_mistakes_are_refused_with_one_line(told, name):
    said = told[name]
    assert said["status"] == 1
    assert said["error"].count("\n") == 1, said["error"]
    assert re.match("lmx: error: .*" + REFUSED[name][1], said["error"]), said["error"]


def test_a_prompt_longer_than_the_context_loses_its_beginning_with_a_warning(told, folder):
    said = told["long prompt"]
    assert (said["status"], said["error"]) == (0, "")
    (warning,) = said["warnings"]
    assert re.search(r"1 of 1 prompts were longer than the context .* lost their beginning", warning)
    assert results(folder / "long")["truncated_prompts"] == 1


def test_an_oracle_with_another_tokenizer_works_on_text_and_is_marked(told, folder):
    said = told["other tokenizer"]
    assert (said["status"], said["error"]) == (0, "")
    (warning,) = said["warnings"]
    assert "tiny-base and oracle ./other have different tokenizers" in warning
    decoding = results(folder / "other-out")
    assert decoding["settings"]["handover"] == "text"
    assert warning in decoding["notes"]
    assert decoding["texts"] == 3
    assert decoding["tokens_by_source"]["oracle"] > 0
    assert decoding["tokens_by_source"]["base"] > 0
