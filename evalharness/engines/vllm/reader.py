"""Turn pairs and texts into tokens for vLLM, and check its window."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, TokenPair


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmReader:
    """Reads texts for vLLM. `window`: the most tokens of a prompt and its answer together."""

    tokenizer: TokenizerAdapter
    window: int

    def read(self, pair: TokenPair) -> tuple[Tokens, Tokens]:
        """Return no tokens for an encoder, and all but the last token for the decoder."""
        return (), pair.fed

    def too_long(self, pair: TokenPair) -> str:
        """Return why the pair does not fit the window; "" if it does."""
        total = len(pair.fed)
        return "" if total <= self.window else f"{total} tokens do not fit the window of {self.window}"

    def too_much(self, prompt: Tokens, new: int) -> str:
        """Return why the prompt and so many new tokens do not fit the window; "" if they do."""
        total = len(prompt) + new
        fits = total <= self.window
        return "" if fits else f"{total} tokens, {new} of them new, do not fit the window of {self.window}"

    def pieces(self, text: str, limit: int | None = None, special: bool = True) -> tuple[TokenPair, ...]:
        """Split a whole text into pieces of at most `limit` tokens that fit the window."""
        return self.tokenizer.pieces(text, self.window if limit is None else min(limit, self.window), special)
