"""Compare a checkpoint's tokenizer and chat template with its base's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from evalharness.checkpoints import files
from evalharness.checkpoints.libraries import first_line
from evalharness.checkpoints.tokenizer import load_tokenizer, tokenizer_directory
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

PROBE = "Is 3.14 more than 2?\n\tYes, naïve – it is."
ROLES = ("bos_token", "eos_token", "pad_token", "unk_token")


@dataclass(frozen=True, slots=True)
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
    """How its tokenizer differs from its base's; None where there is nothing to compare. Raises ModelError where one
    cannot be read.
    """
    directory, base = tokenizer_directory(checkpoint), checkpoint.base
    if base is None or base == directory or not files.has_tokenizer(base):
        return None
    return compare_tokenizers(load_tokenizer(directory), load_tokenizer(base))


def compare_tokenizers(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase) -> TokenizerDifferences:
    """How `own` differs from `base`."""
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
        what = f"its tokenizer cannot split a text ({first_line(error)})"
        raise ModelError(tokenizer.name_or_path, what, "save the tokenizer again") from None


def _text(token: Any) -> str | None:
    return None if token is None else str(token)


def _template(before: Any, now: Any) -> str:
    if before == now:
        return ""
    return "added" if not before else "dropped" if not now else "changed"
