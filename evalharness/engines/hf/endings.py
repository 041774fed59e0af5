"""Decide which prompts are decoded, and where each text ends: at a stop string, an end token or the limit; and make the
answer of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from evalharness.engines.hf.pair_scores import NONFINITE
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.records.requests import Failure, Generate, Generation

UNFINISHED = "\ufffd"  # what a tokenizer writes for the first bytes of a character


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenPrompt:
    """A Generate request and its prompt as tokens. `draft`: a text that may be what the model writes, "": none."""

    request: Generate
    tokens: Tokens
    draft: str = ""


class PromptReader(Protocol):
    """What decoding needs to know of a model beside how texts end: its tokens, and what fits its window."""

    @property
    def tokenizer(self) -> TokenizerAdapter: ...

    def too_much(self, prompt: Tokens, new: int) -> str:
        """Why the prompt and so many new tokens do not fit the window; "" where they do."""


def token_prompt(request: Generate, reader: PromptReader) -> TokenPrompt | Generation | Failure:
    """The request as tokens, or its answer where the model need not be asked."""
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
    """New tokens of one row, up to its end; `finite`: no step to there had logits of NaN or +inf, or none finite."""

    new: Sequence[int]
    finite: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Endings:
    """By what the texts of one model end: `ends`, its end tokens; `own_stops`, stop strings beside a request's;
    `least`, the least length of prompt and answer, and that of the answer alone, which wins where it is given.
    """

    tokenizer: TokenizerAdapter
    ends: frozenset[int]
    own_stops: tuple[str, ...]
    least: tuple[int | None, int | None]
    _pieces: dict[int, str] = field(default_factory=dict, repr=False)

    def least_new(self, before: int, limit: int) -> int:
        """New tokens before an end token may come, at most `limit`, after a prompt of `before` tokens; virtual tokens
        are not counted, as transformers would.
        """
        whole, new = self.least
        return min(limit, new if new is not None else max(0, (whole or 0) - before))

    def ended(self, request: Generate, new: Sequence[int]) -> bool:
        """Whether the last of these new tokens ends the row."""
        return len(new) >= request.max_tokens or new[-1] in self.ends or self.stopped(request, new)

    def stopped(self, request: Generate, new: Sequence[int]) -> bool:
        """Whether a stop string is in the text of these tokens, none being in that of all but the last. The text is
        decoded only where the last token may have written the last character of one.
        """
        stops = [stop for stop in (*request.stop, *self.own_stops) if stop]
        if not any(self._may_write(new[-1], stop[-1]) for stop in stops):
            return False
        return request.answer_in(self.tokenizer.decode(new), self.own_stops)[1]

    def _may_write(self, token: int, character: str) -> bool:
        if character == " " or getattr(self.tokenizer.tokenizer, "clean_up_tokenization_spaces", False):
            return True  # spaces come and go with the tokens around them
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self.tokenizer.decode([token])
        return not piece or character in piece or UNFINISHED in piece

    def answer(self, request: Generate, row: DecodedRow) -> Generation | Failure:
        """The answer that a row's new tokens are; a Failure where the logits that they were read from were not
        finite.
        """
        if not row.finite:
            return Failure(request_id=request.id, reason=NONFINITE)
        text, stopped = request.answer_in(self.tokenizer.decode(row.new), self.own_stops)
        reason: Literal["stop", "eos", "length"] = "eos" if row.new[-1] in self.ends else "length"
        return Generation(
            request_id=request.id, text=text, finish_reason="stop" if stopped else reason, tokens=len(row.new)
        )
