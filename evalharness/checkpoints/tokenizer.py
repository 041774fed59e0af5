"""Load a checkpoint's tokenizer, and compare it and its chat template with its base's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from evalharness.checkpoints import files
from evalharness.checkpoints.fingerprint import of_tokenizer
from evalharness.checkpoints.libraries import quiet
from evalharness.checkpoints.sealed import sealed_folder
from evalharness.checkpoints.special_tokens import (
    SpecialTokens,
    prompt_directory,
    prompt_tokens,
    token_ids,
    tokenizer_directory,
)
from evalharness.errors import MissingPackageError, ModelError, first_line
from evalharness.records.models import Architecture, Checkpoint


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer in a directory, only from files that its fingerprint covers.

    Raises ModelError if there is none, or if it cannot be read.
    """
    with sealed_folder(directory) as private:
        tokenizer = tokenizer_in(private)
    tokenizer.name_or_path = str(directory)
    return tokenizer


def tokenizer_in(directory: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer in a private folder, as `load_tokenizer` does."""
    if not files.has_tokenizer(directory):
        raise ModelError(directory, "no tokenizer", "save the tokenizer beside the weights (tokenizer.save_pretrained)")
    where = directory / files.TOKENIZER_CONFIG
    if where.is_file() and "auto_map" in files.read_json(where):
        raise ModelError(where, "asks to run code from the checkpoint (auto_map)", "remote code is never run")
    try:
        with quiet():
            gguf = None if files.has_vocabulary(directory) else files.gguf_file(directory)
            source, options = (directory, {}) if gguf is None else (gguf.parent, {"gguf_file": gguf.name})
            tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
                source, local_files_only=True, trust_remote_code=False, **options
            )
    except Exception as error:  # tokenizers raises plain Exception
        _refuse_without_packages(directory)
        raise ModelError(
            directory, f"its tokenizer cannot be read ({first_line(error)})", "save the tokenizer again"
        ) from None
    if len(tokenizer) <= len(set(tokenizer.all_special_ids)):  # transformers makes an empty one without an error
        what = f"its tokenizer_class {type(tokenizer).__name__} reads none of the vocabulary's files there"
        raise ModelError(directory, what, "save the tokenizer again")
    return tokenizer


PIECES = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
TIKTOKEN = re.compile(rb"[A-Za-z0-9+/]+=* \d+\s")  # the beginning of a tiktoken file, which may have the same name


def _refuse_without_packages(directory: Path) -> None:
    """Raise MissingPackageError if the tokenizer's file needs packages that are not installed."""
    file = next((directory / name for name in PIECES if (directory / name).is_file()), None)
    if file is None or (directory / "tokenizer.json").is_file():
        return
    with file.open("rb") as opened:
        packages = ["tiktoken"] if TIKTOKEN.match(opened.read(64)) else ["sentencepiece", "protobuf"]
    if missing := [name for name in packages if not any(distributions(name=name))]:
        what = f"its tokenizer is {file.name} alone, and {' and '.join(missing)} to read it with"
        fix = f"pip install {' '.join(missing)}, or save the tokenizer as tokenizer.json"
        raise MissingPackageError(directory, f"{what} {'are' if missing[1:] else 'is'} not installed", fix)


# ---- special tokens around a text ------------------------------------------------------------------------------------


def shared_prompt_tokens(checkpoint: Checkpoint) -> SpecialTokens:
    """Return the special tokens around a checkpoint's prompts, from the tokenizer in `prompt_directory`.

    Raises ModelError if it cannot be read.
    """
    directory = prompt_directory(checkpoint)
    return _prompt_tokens_in(directory, of_tokenizer(directory), checkpoint.architecture)


@lru_cache(maxsize=64)
def _prompt_tokens_in(directory: Path, content: str, architecture: Architecture) -> SpecialTokens:
    """Load the special tokens. `content` is the tokenizer's fingerprint, so that changed files have another key in the
    cache.
    """
    return prompt_tokens(load_tokenizer(directory), architecture)


# ---- against the base ------------------------------------------------------------------------------------------------

ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerDifferences:
    """How a tokenizer differs from its base's.

    `added` and `dropped` map tokens to their ids. `moved` maps a token to its id in the base and now, `special` a role
    to its token in the base and now. `splits`: with the same vocabulary, a text becomes other tokens. `template` is
    "", "added", "dropped" or "changed".
    """

    added: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    special: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    splits: bool = False
    template: str = ""


def tokenizer_differences(checkpoint: Checkpoint) -> TokenizerDifferences | None:
    """Compare a checkpoint's tokenizer with its base's; None if it has no other tokenizer to compare with.

    Raises ModelError if one cannot be read.
    """
    directory, base = tokenizer_directory(checkpoint), checkpoint.base
    if base is None or base == directory or not files.has_tokenizer(base):
        return None
    return compare_tokenizers(load_tokenizer(directory), load_tokenizer(base))


def compare_tokenizers(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase) -> TokenizerDifferences:
    """Compare a tokenizer with its base's."""
    now, before = own.get_vocab(), base.get_vocab()
    roles = {role: (_text(getattr(base, role, None)), _text(getattr(own, role, None))) for role in ROLES}
    return TokenizerDifferences(
        added={token: now[token] for token in now.keys() - before.keys()},
        dropped={token: before[token] for token in before.keys() - now.keys()},
        moved={
            token: (before[token], now[token])
            for token in sorted(now.keys() & before.keys())
            if now[token] != before[token]
        },
        special={role: pair for role, pair in roles.items() if pair[0] != pair[1]},
        splits=now == before and token_ids(own, special=False) != token_ids(base, special=False),
        template=_template(getattr(base, "chat_template", None), getattr(own, "chat_template", None)),
    )


def _text(token: Any) -> str | None:
    return None if token is None else str(token)


def _template(before: Any, now: Any) -> str:
    if before == now:
        return ""
    return "added" if not before else "dropped" if not now else "changed"
