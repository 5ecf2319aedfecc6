"""Ridge regression on sentence embeddings of the definitions."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lmx_files.values import read_int, read_text
from lmx_predictors.trained.fine_tuned import Instructions
from lmx_predictors.trained.recipe import pretrained

Floats = NDArray[np.float64]
ALPHAS = tuple(10.0**power for power in np.arange(-2, 4.01, 0.5))


class SentenceRidge:
    """Ridge regression on mean-pooled token states of a sentence encoder, of length 1 as these are trained to be.

    The penalty is chosen by leave-one-out errors on the training tasks.

    Args:
        settings: ``model``, a sentence encoder's folder, Hub id or short name; ``max_tokens``.
    """

    def __init__(self, seed: int = 0, model: str = "all-minilm-l6-v2", max_tokens: Any = 256) -> None:
        self.name, self.max_tokens = read_text("model", model), read_int("max_tokens", max_tokens, least=1)

    def fit(self, tasks: Instructions, scores: Floats, dev: Any = None) -> None:
        """Learn from tasks and scores ``[n]``."""
        from sklearn.linear_model import RidgeCV

        self.ridge = RidgeCV(alphas=ALPHAS).fit(self._embedded(tasks), scores)

    def predict(self, tasks: Instructions) -> Floats:
        """Return predictions ``[n]``."""
        return np.asarray(self.ridge.predict(self._embedded(tasks)), dtype=np.float64)

    def _embedded(self, tasks: Instructions) -> Floats:
        return np.stack([embed(self.name, text, self.max_tokens) for text in tasks.definitions])


@lru_cache(maxsize=10_000)
def embed(name: str, text: str, max_tokens: int) -> Floats:
    """Return the embedding of a text ``[dim]``: the mean of its tokens' last states, divided by its length."""
    import torch

    tokenizer, model = _encoder(name)
    with torch.inference_mode():
        batch = tokenizer(text, truncation=True, max_length=max_tokens, return_tensors="pt").to(model.device)
        mean = model(**batch).last_hidden_state[0].double().mean(dim=0)
        found: Floats = torch.nn.functional.normalize(mean, dim=0).cpu().numpy()
    return found


@lru_cache(maxsize=1)
def _encoder(name: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel
    from transformers.utils import logging

    from lmx_models.zoo.from_files import model_from, quiet_loading, tokenizer_from

    logging.disable_progress_bar()
    folder = pretrained(name)
    with quiet_loading(name):
        tokenizer, model = tokenizer_from(folder), model_from(folder, AutoModel, dtype=torch.float32)
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
