"""GGUF files made into ordinary model folders, once.

Reading a GGUF file takes many times as long as reading the same weights from safetensors, and not every
loader takes one. So a file is de-quantised to float32, which keeps every value exactly, and saved with a
tokenizer that cuts text as the original does.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

from lmx_files.errors import UserError
from lmx_models.zoo.cache import (
    PROVENANCE,
    RECIPE,
    build_once,
    check_planted,
    converted_folder,
    is_ready,
    known_sha256,
    note_files,
    require_space,
    say,
)

# `tokenizer.ggml.pre` of the families that split digits one by one, which is lost on the way through GGUF
DIGITS_APART = {"smollm"}


def convert_file(path: Path) -> Path:
    """Return the model folder made from a user's own GGUF file, converting it the first time."""
    if re.search(r"-\d{5}-of-\d{5}\.gguf$", path.name):
        raise UserError(
            f"{path.name!r} is one part of a split GGUF file: join the parts (llama-gguf-split --merge) first"
        )
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
        if magic != b"GGUF":
            raise UserError(f"{str(path)!r} is not a GGUF file: its first bytes are {magic!r}. Download it again")
        digest = known_sha256(path)
    except OSError as error:
        raise UserError(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    origin = {"kind": "gguf", "file": path.name, "gguf_sha256": digest}
    folder = converted_folder(path.stem, digest)
    twins = folder.parent.glob(f"*-{digest[:12]}-v{RECIPE}")  # the same bytes under another name
    ready = next((twin for twin in sorted(twins) if is_ready(twin)), None)
    if ready is not None:
        check_planted(ready)
        return ready
    return build_once(folder, lambda part: convert(path, part, origin))


def convert(gguf_file: Path, target: Path, source: dict[str, Any]) -> None:
    """Write the model and the tokenizer of a GGUF file into the folder `target`, and where they came from."""
    import datetime
    from importlib.metadata import version

    facts = _facts(gguf_file)
    require_space(target, 4 * facts["parameters"] + 64_000_000)
    say(f"de-quantising {gguf_file.name} to float32 (once, about 20 s per 100 MB)")
    try:
        _convert_with_transformers(gguf_file, target, facts["tokenizer_pre"])
    except Exception as error:  # the readers raise nearly every kind of exception over a file they do not know
        if "No space left" in str(error) or (isinstance(error, OSError) and error.errno is not None):
            raise OSError(getattr(error, "errno", None) or 0, str(error)) from error
        raise _unreadable(gguf_file, error) from error
    note = {
        **source,
        "quantization": facts["quantization"],
        "stored_dtype": "float32",
        "files": note_files(target),
        "recipe": RECIPE,
        "versions": {name: version(name) for name in ("transformers", "tokenizers", "gguf", "torch")},
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }
    (target / PROVENANCE).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
    mode = (target / PROVENANCE).stat().st_mode  # safetensors come readable by their owner only: share the cache
    for path in target.iterdir():
        if path.is_file():
            path.chmod(mode)


def _unreadable(gguf_file: Path, error: Exception) -> UserError:
    """Return the one line for a file that the GGUF readers refuse."""
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
    return UserError(
        f"cannot read {gguf_file.name!r} with transformers' GGUF support: {reason}. "
        "Download it again, or use a folder with safetensors"
    )


def _facts(gguf_file: Path) -> dict[str, Any]:
    """Return the number of parameters, the tokenizer's family and the quantisations of a GGUF file."""
    from gguf import GGUFReader

    try:
        reader = GGUFReader(str(gguf_file))
        field = reader.get_field("tokenizer.ggml.pre")
        sizes: Counter[str] = Counter()
        for tensor in reader.tensors:
            sizes[tensor.tensor_type.name] += int(tensor.n_elements)
        return {
            "parameters": sum(sizes.values()),
            "tokenizer_pre": str(field.contents()) if field is not None else None,
            "quantization": ", ".join(name for name, _ in sizes.most_common()),
        }
    except (ValueError, KeyError, IndexError, UnicodeDecodeError) as error:
        raise _unreadable(gguf_file, error) from error


def _convert_with_transformers(gguf_file: Path, target: Path, tokenizer_pre: str | None) -> None:
    """Load a GGUF file with transformers and save it in transformers' own form."""
    import torch
    import transformers

    from lmx_models.zoo.from_files import model_from, tokenizer_from

    logging: Any = transformers.utils.logging
    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # the reader of GGUF shows its own, which is the slow part
    try:
        folder, name = str(gguf_file.parent), gguf_file.name
        tokenizer = tokenizer_from(folder, gguf_file=name)
        if tokenizer_pre in DIGITS_APART:
            split_digits(tokenizer)
        model = model_from(
            folder,
            gguf_file=name,
            dtype=torch.float32,
            quantization_config=transformers.GgufConfig(dequantize=True),
        )
        longest = getattr(model.config, "max_position_embeddings", None)
        if longest and tokenizer.model_max_length > 10**9:  # GGUF leaves it unset
            tokenizer.model_max_length = longest
        tokenizer.save_pretrained(target)
        model.save_pretrained(target)
    finally:
        if bars:
            logging.enable_progress_bar()


def split_digits(tokenizer: Any) -> None:
    """Give a tokenizer rebuilt from GGUF the pre-tokenizer of the original SmolLM2: digits apart, then bytes.

    Without it spaces before digits are cut wrongly, about one text in 300.
    """
    from tokenizers import pre_tokenizers

    digits = pre_tokenizers.Digits(individual_digits=True)
    rest = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, rest])
