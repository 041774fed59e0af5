"""Tell where a checkpoint's tokenizer lies, and which special tokens a tokenizer puts around a text."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from evalharness.checkpoints import files
from evalharness.errors import ModelError, first_line
from evalharness.records.models import Architecture, Checkpoint

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PROBE = "Is 3.14 more than 2?\n\tYes, naïve – it is."


def tokenizer_directory(checkpoint: Checkpoint) -> Path:
    """Return where the checkpoint's tokenizer lies: its own directory, else (adapters) its base's."""
    if checkpoint.base is not None and checkpoint.adapter and not files.has_tokenizer(checkpoint.path):
        return checkpoint.base
    return checkpoint.path


def prompt_directory(checkpoint: Checkpoint) -> Path:
    """Return where the tokenizer lies whose special tokens stand around a checkpoint's prompts: its base's, so that
    both read the same; its own where there is no base with a tokenizer.
    """
    base = checkpoint.base
    return base if base is not None and files.has_tokenizer(base) else tokenizer_directory(checkpoint)


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of the special tokens that stand before and after a text, and of the one that stands for an empty one."""

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    prefix: int | None = None


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """The special tokens that a tokenizer adds to a text by itself. Raises ModelError where it cannot split one."""
    whole, plain = token_ids(tokenizer, special=True), token_ids(tokenizer, special=False)
    for start in range(len(whole) - len(plain) + 1):
        if plain and whole[start : start + len(plain)] == plain:
            return SpecialTokens(tuple(whole[:start]), tuple(whole[start + len(plain) :]))
    special = set(tokenizer.all_special_ids)
    before = tuple(takewhile(special.__contains__, whole))
    after = tuple(takewhile(special.__contains__, reversed(whole[len(before) :])))
    return SpecialTokens(before, after[::-1])


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, architecture: Architecture) -> SpecialTokens:
    """The special tokens around a prompt by this tokenizer: what it puts before a text, each token once, and after it
    what the encoder of an encoder-decoder model reads there. Nothing ends a text that a decoder goes on with. An empty
    one is BOS, else EOS, as lm-eval has it.
    """
    added = added_tokens(tokenizer)
    after = added.after if architecture == Architecture.SEQ2SEQ else ()
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return SpecialTokens(tuple(dict.fromkeys(added.before)), after, prefix)


def text_between(tokens: SpecialTokens, tokenizer: PreTrainedTokenizerBase) -> str:
    """Show a text between its special tokens: `<s> TEXT </s>`."""
    before, after = (tokenizer.convert_ids_to_tokens(list(ids)) for ids in (tokens.before, tokens.after))
    return f"`{' '.join([*map(str, before), 'TEXT', *map(str, after)])}`"


def token_ids(tokenizer: PreTrainedTokenizerBase, *, special: bool) -> list[int]:
    """The tokens of one text that has something of everything. Raises ModelError where it cannot be split."""
    try:
        return list(tokenizer(PROBE, add_special_tokens=special)["input_ids"])
    except Exception as error:  # what a configuration of odd types leads to has no common class
        raise ModelError(
            tokenizer.name_or_path,
            f"its tokenizer cannot split a text ({first_line(error)})",
            "save the tokenizer again",
        ) from None
