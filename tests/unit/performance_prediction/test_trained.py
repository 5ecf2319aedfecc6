"""Fine-tuned predictors learn what was planted, stay at the mean where nothing was, and go on after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lmx_files.errors import UserError
from lmx_predictors.trained import training
from lmx_predictors.trained.embedding import SentenceRidge
from lmx_predictors.trained.fine_tuned import Encoder, Lora
from tests.unit.performance_prediction import trained_tools as tools

SETTINGS = {"epochs": 6, "batch_size": 8, "learning_rate": 2e-3, "save_seconds": 0}
OF_LORA = SETTINGS | {"r": 8, "alpha": 8, "learning_rate": 5e-3}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {"encoder": tools.roberta(folder / "roberta"), "lora": tools.llama(folder / "llama")}


def predictor(kind: str, models: dict[str, Path], checkpoints: Path | None = None, **more: object) -> Encoder | Lora:
    settings = (SETTINGS if kind == "encoder" else OF_LORA) | {"model": str(models[kind])} | more
    return (Encoder if kind == "encoder" else Lora)(seed=3, checkpoints=checkpoints, **settings)


@pytest.mark.parametrize("kind", ["encoder", "lora"])
@pytest.mark.full
def test_a_planted_signal_is_learned(models: dict[str, Path], kind: str) -> None:
    train, scores = tools.tasks(240, 0, 0.9)
    dev, test = tools.tasks(30, 1, 0.9), tools.tasks(100, 2, 0.9)
    # a frozen base of random weights learns steadily only at a rate that falls, and without dropout
    more = {"schedule": "linear", "dropout": 0.0} if kind == "lora" else {}
    made = predictor(kind, models, epochs=10, **more)
    made.fit(train, scores, dev)
    error = float(np.square(made.predict(test[0]) - test[1]).mean())
    assert error < 0.5 * float(np.square(test[1]).mean())
    assert len(made.errors) == 11
    assert made.errors[0] == pytest.approx(float(np.square(dev[1]).mean()))


def test_where_no_epoch_helps_the_prediction_is_the_mean(models: dict[str, Path]) -> None:
    train, scores = tools.tasks(48, 0, 1.0)
    scores -= scores.mean()
    made = predictor("encoder", models)
    made.fit(train, scores, (train, -scores))  # whatever is learned is wrong there
    assert made.predict(train).tolist() == [0.0] * 48
    assert min(made.errors) == made.errors[0]


@pytest.mark.parametrize("kind", ["encoder", "lora"])
def test_training_goes_on_after_a_kill_with_the_same_numbers(
    models: dict[str, Path], tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    train, scores = tools.tasks(24, 0, 0.5)
    dev, (test, _) = tools.tasks(10, 1, 0.5), tools.tasks(10, 2, 0.5)
    whole = predictor(kind, models)
    whole.fit(train, scores, dev)
    saved = training.Keeper.on_save
    seen: list[int] = []

    def die(self: training.Keeper, args: object, state: object, control: object, **more: object) -> object:
        seen.append(len(self.errors))
        if len(seen) == 4:
            raise KeyboardInterrupt  # the fourth checkpoint has no mark yet: a torn one
        return saved(self, args, state, control, **more)

    monkeypatch.setattr(training.Keeper, "on_save", die)
    with pytest.raises(KeyboardInterrupt):
        predictor(kind, models, tmp_path / "checkpoints").fit(train, scores, dev)
    monkeypatch.setattr(training.Keeper, "on_save", saved)
    assert len(list((tmp_path / "checkpoints").glob("checkpoint-*"))) == 2
    again = predictor(kind, models, tmp_path / "checkpoints")
    epochs: list[int] = []
    measured = training.Keeper.on_epoch_end
    monkeypatch.setattr(
        training.Keeper, "on_epoch_end", lambda self, *a, **k: epochs.append(1) or measured(self, *a, **k)
    )
    again.fit(train, scores, dev)
    assert len(epochs) == 3  # of six, three were kept
    assert again.errors == whole.errors
    assert again.predict(test).tolist() == whole.predict(test).tolist()
    assert not (tmp_path / "checkpoints").exists()


SCRIPT = """
import json, sys
from pathlib import Path
from lmx_predictors.trained import fine_tuned
from tests.unit.performance_prediction import trained_tools as tools
train, scores = tools.tasks(24, 0, 0.5)
made = getattr(fine_tuned, sys.argv[1])(seed=3, checkpoints=Path(sys.argv[2]), **json.loads(sys.argv[3]))
made.fit(train, scores, tools.tasks(10, 1, 0.5))
print(made.errors, made.predict(tools.tasks(10, 2, 0.5)[0]).tolist())
"""


@pytest.mark.full
@pytest.mark.parametrize("kind", ["Encoder", "Lora"])
def test_a_process_that_is_killed_goes_on(models: dict[str, Path], tmp_path: Path, kind: str) -> None:
    settings = {"epochs": 60, "batch_size": 4, "learning_rate": 2e-3, "save_seconds": 0}
    settings |= {"model": str(models["encoder"])} if kind == "Encoder" else {"model": str(models["lora"]), "r": 8}

    def command(folder: str) -> list[str]:
        return [sys.executable, "-c", SCRIPT, kind, str(tmp_path / folder), json.dumps(settings)]

    process = subprocess.Popen(command("one"), stdout=subprocess.PIPE)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "one").glob(f"checkpoint-*/{training.DONE}")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert process.returncode == -signal.SIGKILL
    assert list((tmp_path / "one").glob(f"checkpoint-*/{training.DONE}"))
    found = [subprocess.run(command(name), capture_output=True, text=True, check=True) for name in ("one", "two")]
    assert found[0].stdout == found[1].stdout
    assert found[0].stdout.count(",") == 60 + 9


@pytest.mark.full
def test_never_much_worse_than_the_mean_over_ten_splits(models: dict[str, Path]) -> None:
    """No signal, the sizes of the study: 66 tasks to learn from, 8 to choose by, 8 to predict."""
    ratios = []
    for seed in range(10):
        every, scores = tools.tasks(82, 100 + seed, 0.0)
        parts = [tools.Tasks(every.definitions[a:b]) for a, b in ((0, 66), (66, 74), (74, 82))]
        mean, spread = scores[:66].mean(), scores[:66].std()
        scores = (scores - mean) / spread
        made = predictor("encoder", models, learning_rate=5e-4, epochs=20)
        made.fit(parts[0], scores[:66], (parts[1], scores[66:74]))
        predicted = made.predict(parts[2])
        ratios.append([np.square(predicted - scores[74:]).mean(), np.square(scores[74:]).mean()])
    model, mean_only = np.sqrt(np.array(ratios)).mean(axis=0)
    assert model <= 1.05 * mean_only


def test_embeddings_tell_the_planted_topics_apart(models: dict[str, Path]) -> None:
    train, scores = tools.tasks(200, 0, 0.8)
    test, wanted = tools.tasks(100, 2, 0.8)
    made = SentenceRidge(model=str(models["encoder"]))
    made.fit(train, scores)
    assert np.corrcoef(made.predict(test), wanted)[0, 1] > 0.6


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"learning_rat": 1}, "did you mean 'learning_rate'"),
        ({"epochs": 0}, "at least 1"),
        ({"learning_rate": -1}, "must not be below 0"),
        ({"schedule": "cosin"}, "did you mean 'cosine'"),
    ],
)
def test_unknown_settings_are_refused_in_one_line(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Encoder(**settings)


def test_a_model_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    made = Encoder(model=str(tmp_path))
    with pytest.raises(UserError, match=r"no \*\.safetensors"):
        made.fit(*tools.tasks(4, 0, 0.5), None)
