"""Find a checkpoint's tokenizer, and the special tokens that a tokenizer puts around a text."""

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
    """Return the directory of the checkpoint's tokenizer: its own, else (for adapters) its base's."""
    if checkpoint.base is not None and checkpoint.adapter and not files.has_tokenizer(checkpoint.path):
        return checkpoint.base
    return checkpoint.path


def prompt_directory(checkpoint: Checkpoint) -> Path:
    """Return the directory of the tokenizer whose special tokens are put around a checkpoint's prompts.

    It is its base's, so that both models read the same; its own if there is no base with a tokenizer.
    """
    base = checkpoint.base
    return base if base is not None and files.has_tokenizer(base) else tokenizer_directory(checkpoint)


@dataclass(frozen=True, slots=True)
class SpecialTokens:
    """The ids of the special tokens `before` and `after` a text, and of the token that replaces an empty text
    (`prefix`).
    """

    before: tuple[int, ...] = ()
    after: tuple[int, ...] = ()
    prefix: int | None = None


def added_tokens(tokenizer: PreTrainedTokenizerBase) -> SpecialTokens:
    """Return the special tokens that a tokenizer adds to a text by itself. Raises ModelError if it cannot split a
    text.
    """
    whole, plain = token_ids(tokenizer, special=True), token_ids(tokenizer, special=False)
    for start in range(len(whole) - len(plain) + 1):
        if plain and whole[start : start + len(plain)] == plain:
            return SpecialTokens(tuple(whole[:start]), tuple(whole[start + len(plain) :]))
    special = set(tokenizer.all_special_ids)
    before = tuple(takewhile(special.__contains__, whole))
    after = tuple(takewhile(special.__contains__, reversed(whole[len(before) :])))
    return SpecialTokens(before, after[::-1])


def prompt_tokens(tokenizer: PreTrainedTokenizerBase, architecture: Architecture) -> SpecialTokens:
    """Return the special tokens that this tokenizer puts around a prompt.

    They are those before a text, each once, and for an encoder-decoder model those after it. Nothing follows a text
    that a decoder continues. An empty text is BOS, else EOS, as in lm-eval.
    """
    added = added_tokens(tokenizer)
    after = added.after if architecture == Architecture.SEQ2SEQ else ()
    prefix = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return SpecialTokens(tuple(dict.fromkeys(added.before)), after, prefix)


def text_between(tokens: SpecialTokens, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a text between its special tokens, for messages: `<s> TEXT </s>`."""
    before, after = (tokenizer.convert_ids_to_tokens(list(ids)) for ids in (tokens.before, tokens.after))
    return f"`{' '.join([*map(str, before), 'TEXT', *map(str, after)])}`"


def token_ids(tokenizer: PreTrainedTokenizerBase, *, special: bool) -> list[int]:
    """Return the tokens of a varied probe text. Raises ModelError if it cannot be split."""
    try:
        return list(tokenizer(PROBE, add_special_tokens=special)["input_ids"])
    except Exception as error:  # a configuration with values of wrong types may raise anything
        raise ModelError(
            tokenizer.name_or_path,
            f"its tokenizer cannot split a text ({first_line(error)})",
            "save the tokenizer again",
        ) from None
