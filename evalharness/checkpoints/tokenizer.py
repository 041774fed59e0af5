"""Load the tokenizer that speaks for a checkpoint."""

from __future__ import annotations

from pathlib import Path

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from evalharness.checkpoints import files
from evalharness.checkpoints.libraries import first_line, quiet
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint


def tokenizer_directory(checkpoint: Checkpoint) -> Path:
    """Where the checkpoint's tokenizer lies: its own directory, else (adapters) its base's."""
    if checkpoint.base is not None and checkpoint.adapter and not files.has_tokenizer(checkpoint.path):
        return checkpoint.base
    return checkpoint.path


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies in a directory. Raises ModelError where there is none or it cannot be read."""
    if not files.has_tokenizer(directory):
        raise ModelError(directory, "no tokenizer", "save the tokenizer beside the weights (tokenizer.save_pretrained)")
    where = directory / files.TOKENIZER_CONFIG
    if where.is_file() and "auto_map" in files.read_json(where):
        raise ModelError(where, "asks to run code from the checkpoint (auto_map)", "remote code is never run")
    try:
        with quiet():
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                directory, local_files_only=True, trust_remote_code=False
            )
            return tokenizer
    except Exception as error:  # tokenizers raises plain Exception
        what = f"its tokenizer cannot be read ({first_line(error)})"
        raise ModelError(directory, what, "save the tokenizer again") from None
