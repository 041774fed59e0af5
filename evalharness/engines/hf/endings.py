"""Decide which prompts are decoded and where each text ends (stop string, end token, limit), and make the answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from evalharness.engines.hf.pair_scores import NONFINITE
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.records.requests import Failure, Generate, Generation

UNFINISHED = "\ufffd"  # a tokenizer's text for the first bytes of a character


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrompt:
    """A Generate request and its prompt as tokens. `draft`: a text that the model may write, "" for none."""

    request: Generate
    tokens: Tokens
    draft: str = ""


class PromptReader(Protocol):
    """The parts of a model that decoding needs besides its endings: its tokenizer and its window."""

    @property
    def tokenizer(self) -> TokenizerAdapter: ...

    def too_much(self, prompt: Tokens, new: int) -> str:
        """Return why the prompt and so many new tokens do not fit the window; "" if they do."""


def token_prompt(request: Generate, reader: PromptReader) -> TokenPrompt | Generation | Failure:
    """Return the request as tokens, or its answer if the model is not needed."""
    if request.max_tokens < 1:
        return Generation(request_id=request.id, text="", finish_reason="length", tokens=0)
    try:
        tokens = reader.tokenizer.prompt(request.prompt)
    except Untokenizable as error:
        return Failure(request_id=request.id, reason=str(error))
    too_much = reader.too_much(tokens, request.max_tokens)
    return Failure(request_id=request.id, reason=too_much) if too_much else TokenPrompt(request=request, tokens=tokens)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodedRow:
    """The new tokens of one row up to its end. `finite`: at every step some logit was finite, none was NaN or +inf."""

    new: Sequence[int]
    finite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """The rules by which one model's texts end.

    `tokenizer`: the model's. `ends`: its end tokens. `own_stops`: stop strings that hold besides a request's. `least`:
    the least length of prompt and answer together, and the least length of the answer alone, which wins; None for no
    least.
    """

    tokenizer: TokenizerAdapter
    ends: frozenset[int]
    own_stops: tuple[str, ...]
    least: tuple[int | None, int | None]
    _pieces: dict[int, str] = field(default_factory=dict, repr=False)

    def least_new(self, before: int, limit: int) -> int:
        """Return how many new tokens must come before an end token, at most `limit`, after a prompt of `before` tokens.
        Virtual tokens are not counted, unlike in transformers.
        """
        whole, new = self.least
        return min(limit, new if new is not None else max(0, (whole or 0) - before))

    def ended(self, request: Generate, new: Sequence[int]) -> bool:
        """Return whether the last of these new tokens ends the row."""
        return len(new) >= request.max_tokens or new[-1] in self.ends or self.stopped(request, new)

    def stopped(self, request: Generate, new: Sequence[int]) -> bool:
        """Return whether the last of these tokens completes a stop string. The text is decoded only if that token may
        write the last character of one.
        """
        stops = [stop for stop in (*request.stop, *self.own_stops) if stop]
        if not any(self._may_write(new[-1], stop[-1]) for stop in stops):
            return False
        return request.answer_in(self.tokenizer.decode(new), self.own_stops)[1]

    def _may_write(self, token: int, character: str) -> bool:
        if character == " " or getattr(self.tokenizer.tokenizer, "clean_up_tokenization_spaces", False):
            return True  # spaces depend on the tokens around them
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self.tokenizer.decode([token])
        return not piece or character in piece or UNFINISHED in piece

    def answer(self, request: Generate, row: DecodedRow) -> Generation | Failure:
        """Make the answer from a row's new tokens; a Failure if its logits were not finite."""
        if not row.finite:
            return Failure(request_id=request.id, reason=NONFINITE)
        text, stopped = request.answer_in(self.tokenizer.decode(row.new), self.own_stops)
        reason: Literal["stop", "eos", "length"] = "eos" if row.new[-1] in self.ends else "length"
        return Generation(
            request_id=request.id, text=text, finish_reason="stop" if stopped else reason, tokens=len(row.new)
        )
