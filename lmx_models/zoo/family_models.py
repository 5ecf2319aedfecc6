"""lm_eval's ``hf`` over the families of diffusion checkpoints that transformers does not know."""

from __future__ import annotations

from typing import Any

from lm_eval.models.huggingface import HFLM

from lmx_files.errors import UserError
from lmx_models.zoo import families, family_table

# Arguments of lm_eval's `hf` that change the weights while it loads them.
_NOT_FOR_FAMILIES = ("peft", "delta", "autogptq", "gptqmodel")


class FamilyModels(HFLM):
    """`HFLM` that also loads the models of `lmx_models.zoo.families`. Mix in before it.

    Attributes:
        family: of the loaded model; None for one that transformers knows, or that was handed in as an object.
    """

    family: family_table.Family | None = None
    _model: Any

    def _get_config(self, pretrained: str, **kwargs: Any) -> None:
        elsewhere = kwargs.get("gguf_file") or kwargs.get("subfolder")
        found = None if elsewhere else families.read(pretrained, kwargs.get("revision"))
        if found is not None:
            self.family, self._config = found
            return
        try:
            super()._get_config(pretrained, **kwargs)
        except (ValueError, KeyError) as error:
            known = ", ".join(sorted({kind for one in family_table.FAMILIES for kind in one.model_types}))
            raise UserError(
                f"cannot use {pretrained}: transformers does not know its model_type, nor is it one that lmx maps to "
                f"transformers' classes ({known}). Code of model repositories is not run"
            ) from error

    def _create_tokenizer(self, pretrained: Any, tokenizer: Any, **kwargs: Any) -> None:
        if self.family is not None and not tokenizer:
            wanted = {name: kwargs[name] for name in ("revision", "add_bos_token") if kwargs.get(name) is not None}
            tokenizer = families.load_tokenizer(self.family, pretrained, self._config, **wanted)
        super()._create_tokenizer(pretrained, tokenizer, **kwargs)

    def _create_model(self, pretrained: str, **kwargs: Any) -> None:
        if self.family is None:
            super()._create_model(pretrained, **kwargs)
            return
        for name in _NOT_FOR_FAMILIES:
            if kwargs.get(name):
                raise UserError(f"{name}={kwargs[name]} is not supported for {self.family.name} models: leave it out")
        names = dict(self.family.names or {})
        with families.fitting(pretrained, self.family):
            super()._create_model(
                pretrained, **kwargs, config=self._config, key_mapping=names, output_loading_info=True
            )
        model, report = self._model
        self._model = model
        families.check_loaded(pretrained, self.family, report)
        families.add_turn_ends(self.family, self._model, self.tokenizer)
