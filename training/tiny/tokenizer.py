"""The family's tokenizer: byte-level BPE over the generated text, so every string round-trips exactly."""

from __future__ import annotations

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from training.tiny.data import ASSISTANT, EOS, MASK, PAD, SPECIAL_TOKENS, SYSTEM, USER, tokenizer_corpus

VOCAB_SIZE = 2688
CONTEXT = 1024
"""Positions (tokens) a tiny model may read; training sequences are shorter than 260."""

CHAT_TEMPLATE = (
    "{%- for message in messages -%}"
    f"{{%- if message['role'] == 'system' -%}}{{{{ '{SYSTEM}' }}}}"
    f"{{%- elif message['role'] == 'user' -%}}{{{{ '{USER}' }}}}"
    f"{{%- elif message['role'] == 'assistant' -%}}{{{{ '{ASSISTANT}' }}}}"
    "{%- else -%}{{ raise_exception('unknown role ' + message['role']) }}{%- endif -%}"
    f"{{{{ message['content'] + '{EOS}' }}}}"
    "{%- endfor -%}"
    f"{{%- if add_generation_prompt -%}}{{{{ '{ASSISTANT}' }}}}{{%- endif -%}}"
)


def build_tokenizer(seed: int = 0) -> PreTrainedTokenizerFast:
    """Train the tokenizer. It adds no special token by itself: there is no BOS to come twice."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(tokenizer_corpus(seed), trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=EOS,
        pad_token=PAD,
        mask_token=MASK,
        additional_special_tokens=[USER, ASSISTANT, SYSTEM],
        chat_template=CHAT_TEMPLATE,
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
        padding_side="left",
    )
