"""Read pairs and prompts as tokens for vLLM, and tell what fits its window."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, TokenPair


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmReader:
    """`window`: the tokens that are read at most, of a prompt and what is written after it together."""

    tokenizer: TokenizerAdapter
    window: int

    def read(self, pair: TokenPair) -> tuple[Tokens, Tokens]:
        """Nothing for an encoder, and all but the last token for the decoder."""
        return (), pair.fed

    def too_long(self, pair: TokenPair) -> str:
        """Why the pair does not fit the window; "" where it does."""
        total = len(pair.fed)
        return "" if total <= self.window else f"{total} tokens do not fit the window of {self.window}"

    def too_much(self, prompt: Tokens, new: int) -> str:
        """Why the prompt and so many new tokens do not fit the window; "" where they do."""
        total = len(prompt) + new
        fits = total <= self.window
        return "" if fits else f"{total} tokens, {new} of them new, do not fit the window of {self.window}"

    def pieces(self, text: str, limit: int | None = None, special: bool = True) -> tuple[TokenPair, ...]:
        """A whole text in pieces of at most `limit` tokens that the window holds."""
        return self.tokenizer.pieces(text, self.window if limit is None else min(limit, self.window), special)
