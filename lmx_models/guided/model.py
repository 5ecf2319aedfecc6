"""``--model guided``: a small base writes; where a policy says so, a larger oracle writes the next k tokens."""

from __future__ import annotations

from typing import Any

from lmx_models.guided.local import LocalGuidedLM
from lmx_models.harness.decoder_lm import DEFAULT_MODEL
from lmx_models.servers.address import is_endpoint
from lmx_models.settings.sizes import expand


class GuidedLM(LocalGuidedLM):
    """Guided decoding.

    Args:
        pretrained: the base (see `DecoderLM`); ``base`` is another name for it.
        oracle: the oracle, named the same way. Without any model argument: base ``smollm2-135m`` and oracle
            ``smollm2-360m``; where the latter cannot be had, the base's own weights decoded greedily.
        **kwargs: fields of `GuidedConfig`, `PolicyConfig` and `Sampling` (the base's), and arguments of ``hf``.

    Either may also be on a server: ``openai:URL#MODEL``, or the name of a size (`settings.sizes`). Then this makes
    one of the classes in `lmx_models.guided.servers`, which take further arguments.
    """

    def __new__(cls, pretrained: Any = None, oracle: str | None = None, base: Any = None, **kwargs: Any) -> Any:
        """Choose the class by where the two models are."""
        writer = base or pretrained or DEFAULT_MODEL
        remote = [is_endpoint(expand(name)[0]) for name in (writer, oracle)]
        if cls is GuidedLM and any(remote):
            from lmx_models.guided.servers import GuidedByServer, GuidedOnServer

            kind = GuidedOnServer if remote[0] else GuidedByServer
            return kind(pretrained, oracle=oracle, base=base, **kwargs)
        return super().__new__(cls, pretrained, oracle=oracle, base=base, **kwargs)
