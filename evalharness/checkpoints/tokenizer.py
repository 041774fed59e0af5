"""Load the tokenizer that speaks for a checkpoint, and compare it and its chat template with its base's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from evalharness.checkpoints import files
from evalharness.checkpoints.libraries import quiet
from evalharness.errors import ModelError, first_line
from evalharness.records.models import Checkpoint


def tokenizer_directory(checkpoint: Checkpoint) -> Path:
    """Return where the checkpoint's tokenizer lies: its own directory, else (adapters) its base's."""
    if checkpoint.base is not None and checkpoint.adapter and not files.has_tokenizer(checkpoint.path):
        return checkpoint.base
    return checkpoint.path


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer that lies in a directory. Raises ModelError where there is none or it cannot be read."""
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
        raise ModelError(
            directory, f"its tokenizer cannot be read ({first_line(error)})", "save the tokenizer again"
        ) from None


PROBE = "Is 3.14 more than 2?\n\tYes, naïve – it is."
ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerDifferences:
    """`added`, `dropped`: token to id; `moved`: token to its id in the base and now; `special`: role to token in the
    base and now.

    `splits`: the same vocabulary, and yet a text becomes other tokens. `template`: "", "added", "dropped" or "changed".
    """

    added: Mapping[str, int] = field(default_factory=dict)
    dropped: Mapping[str, int] = field(default_factory=dict)
    moved: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    special: Mapping[str, tuple[str | None, str | None]] = field(default_factory=dict)
    splits: bool = False
    template: str = ""


def tokenizer_differences(checkpoint: Checkpoint) -> TokenizerDifferences | None:
    """Compare its tokenizer from its base's; None where there is nothing to compare. Raises ModelError where one
    cannot be read.
    """
    directory, base = tokenizer_directory(checkpoint), checkpoint.base
    if base is None or base == directory or not files.has_tokenizer(base):
        return None
    return compare_tokenizers(load_tokenizer(directory), load_tokenizer(base))


def compare_tokenizers(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase) -> TokenizerDifferences:
    """Compare `own` with `base`."""
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
        splits=now == before and _ids(own) != _ids(base),
        template=_template(getattr(base, "chat_template", None), getattr(own, "chat_template", None)),
    )


def _ids(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    try:
        return list(tokenizer(PROBE)["input_ids"])
    except Exception as error:  # what a configuration of odd types leads to has no common class
        raise ModelError(
            tokenizer.name_or_path,
            f"its tokenizer cannot split a text ({first_line(error)})",
            "save the tokenizer again",
        ) from None


def _text(token: Any) -> str | None:
    return None if token is None else str(token)


def _template(before: Any, now: Any) -> str:
    if before == now:
        return ""
    return "added" if not before else "dropped" if not now else "changed"
