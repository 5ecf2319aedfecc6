"""Models published as differences from a base: make such a difference, and get the model back, bit for bit."""

from lmx_predictors.weight_diff.make import make
from lmx_predictors.weight_diff.manifest import MANIFEST
from lmx_predictors.weight_diff.published import recover_published
from lmx_predictors.weight_diff.recover import recover

__all__ = ["MANIFEST", "make", "recover", "recover_published"]
