"""Encode texts as lm-eval's HFLM and TemplateLM do by default, and decode them.

Unlike in lm-eval, an end token that a tokenizer appends never comes before the continuation of a decoder-only model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evalharness.checkpoints.special_tokens import SpecialTokens, prompt_tokens
from evalharness.engines.hf.split_texts import encoder
from evalharness.records.models import Architecture

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Untokenizable(ValueError):
    """Raised for a text that cannot be tokenised; the message is the reason to report."""


@dataclass(frozen=True, slots=True)
class TokenPair:
    """The tokens of a context and its continuation; neither is empty."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]

    @property
    def fed(self) -> tuple[int, ...]:
        """Return the tokens that a decoder-only model reads: all but the last, which it only predicts."""
        return (self.context + self.continuation)[:-1]


class TokenizerAdapter:
    """Encodes prompts and continuations for one model.

    `around`: the special tokens around a text, None for those of the tokenizer itself (`prompt_tokens`); their `prefix`
    replaces an empty context. `architecture`: for an encoder-decoder model, context and continuation are encoded
    separately (`apart`).
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        architecture: Architecture = Architecture.CAUSAL,
        around: SpecialTokens | None = None,
    ) -> None:
        self.tokenizer, self.apart = tokenizer, architecture == Architecture.SEQ2SEQ
        self.around = prompt_tokens(tokenizer, architecture) if around is None else around
        self.prefix = self.around.prefix
        self._prefix_text = "" if self.prefix is None else str(tokenizer.decode([self.prefix]))
        # padding is masked, so any id that exists will do
        pads = (tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.eos_token_id, 0)
        self.pad = next(token for token in pads if token is not None)
        self._ids = encoder(tokenizer)
        self._context: tuple[str | None, tuple[int, ...]] = (None, ())  # the last one, and its tokens

    def encode(self, text: str, special: bool = True) -> tuple[int, ...]:
        """Return token ids with the special tokens around them, unless `special` is False or the text begins with them
        (as from a chat template) or with the prefix (as in lm-eval). Raises Untokenizable.
        """
        try:
            ids = self._ids(text)
        except (TypeError, UnicodeEncodeError) as error:
            raise Untokenizable(f"the text cannot be tokenised ({error})") from None
        before, after = self.around.before, self.around.after
        if not special or (before and ids[: len(before)] == before) or self._begins_with_prefix(text):
            return ids
        return (*before, *ids, *after)

    def _begins_with_prefix(self, text: str) -> bool:
        return bool(self._prefix_text) and text.startswith(self._prefix_text)

    def prompt(self, text: str) -> tuple[int, ...]:
        """Return the token ids of a prompt; an empty one becomes the prefix token."""
        return self.encode(text) or self._need_prefix()

    def pair(self, context: str, continuation: str) -> TokenPair:
        """Encode context and continuation, split where the tokens of the context alone end; encoded apart, the
        continuation has no special tokens.

        Trailing spaces of the context move to the continuation. If a token spans the boundary and leaves no
        continuation, the last token is scored (lm-eval stops with an assertion there). Raises Untokenizable for an
        empty continuation.
        """
        empty = context == ""
        if context.rstrip() != context:
            cut = len(context.rstrip())
            context, continuation = context[:cut], context[cut:] + continuation
        if empty or (context == "" and not self.apart):
            return self._without_context(continuation)
        if context != self._context[0]:
            self._context = context, self.encode(context)
        before = self._context[1]
        if self.apart:
            return TokenPair(before or self._need_prefix(), self._some(self.encode(continuation, special=False)))
        whole = self.encode(context + continuation)
        after = whole[len(before) :]
        if not continuation or not whole:
            raise Untokenizable("an empty continuation has no probability")
        if not after:
            before, after = whole[:-1], whole[-1:]
        return TokenPair(before or self._need_prefix(), after)

    def pieces(self, text: str, limit: int, special: bool = True) -> tuple[TokenPair, ...]:
        """Split a whole text so that every token is scored once and no piece reads more than `limit` tokens; () for a
        text of no tokens.

        As in lm-eval's get_rolling_token_windows with one token of context: the prefix token comes before the first
        piece, one token of the text before every later one, and as many as fit before the last. A BOS that the
        tokenizer adds is scored too, unless `special` is False.
        """
        tokens = self.encode(text, special)
        if not tokens:
            return ()
        pieces = [TokenPair(self._need_prefix(), tokens[:limit])]
        for start in range(limit, len(tokens), limit):
            end = min(start + limit, len(tokens))
            pieces.append(TokenPair(tokens[end - limit - 1 : start], tokens[start:end]))
        return tuple(pieces)

    def _without_context(self, continuation: str) -> TokenPair:
        tokens, prefix = self.encode(continuation, special=False), self._need_prefix()
        if tokens[:1] == prefix:
            tokens = tokens[1:]
        return TokenPair(prefix, self._some(tokens))

    def _some(self, continuation: tuple[int, ...]) -> tuple[int, ...]:
        if not continuation:
            raise Untokenizable("an empty continuation has no probability")
        return continuation

    def _need_prefix(self) -> tuple[int, ...]:
        if self.prefix is None:
            raise Untokenizable("an empty context, and the tokenizer has neither BOS nor EOS to stand for it")
        return (self.prefix,)

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of generated tokens, without special ones."""
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
