"""Draft a row's next tokens from the text that another model wrote after the same prompt, and learn how many pay.

A draft is read together with the prompt: at each of its tokens the model says what it would have written there. As far
as that agrees, these are new tokens at the price of reading, which on a CPU is a half to a tenth of that of a pass of
its own for each. How many tokens are drafted is learned from row to row of one block: twice as many after full
agreement, half as many after little. Further passes for drafts alone are made only where they carry enough tokens.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from evalharness.engines.hf.endings import TokenPrompt
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.engines.hf.trie import common

FIRST, LEAST, MOST = 4, 1, 64  # tokens of a draft that are read with the first prompt of a block, and the bounds later
AGAIN = 16  # tokens of a draft that are tried once more behind one that the model did not write
CHANCES = 2  # how often a draft is tried in vain behind a token that the model did not write
WORTH = 24  # drafted tokens from which on a pass of their own costs less than it saves
TIE = 1e-4  # below which difference of the two largest logits rounding may decide, in float32


@dataclass(slots=True, kw_only=True)
class LoopRow:
    """One prompt on its way through the loop. `tokens` are those behind what all prompts begin with; `least`: new
    tokens before an end token may come; `draft`: what may be written next, of which `chunk` tokens are tried.
    """

    index: int
    prompt: TokenPrompt
    tokens: Tokens
    least: int
    draft: Tokens = ()
    chunk: int = 0
    again: bool = False
    new: list[int] = field(default_factory=list)
    finite: bool = True
    done: bool = False


class Drafting:
    """What is learned of the drafts of one block: `first`, how many tokens to read with a prompt; `chances`, how often
    more a draft is tried behind a token that the model did not write.
    """

    def __init__(self, tokenizer: TokenizerAdapter) -> None:
        self.tokenizer, self.first, self.chances = tokenizer, FIRST, CHANCES

    def begin(self, row: LoopRow) -> None:
        """Take the draft of a row whose prompt is read next."""
        row.draft, row.chunk = self._tokens(row.prompt.draft), self.first

    def proposed(self, row: LoopRow) -> Tokens:
        """The tokens of its draft to read with a row: at most so many that one more fits its limit."""
        if len(row.new) < row.least or row.done:
            return ()
        return row.draft[: min(row.chunk, row.prompt.request.max_tokens - len(row.new) - 1)]

    def settle(self, rows: Sequence[LoopRow], proposals: Sequence[Tokens], written: Sequence[Sequence[int]]) -> None:
        """Go on in the draft of every row behind what was written, where so many tokens of it had been proposed."""
        for row, proposed, tokens in zip(rows, proposals, written, strict=True):
            self._settle(row, proposed, tokens)

    def _settle(self, row: LoopRow, proposed: Tokens, written: Sequence[int]) -> None:
        if not row.draft:
            return
        agreed = common(tuple(written), row.draft)
        if proposed and len(row.new) == len(written):
            self._learn(agreed, len(proposed))
        if row.again and agreed > 1:
            self.chances = min(2 * CHANCES, self.chances + 2)
        row.again, row.draft = False, row.draft[agreed:]
        if agreed < len(written):
            self._go_on_behind(row, agreed)
        elif len(written) > len(proposed):
            row.chunk = min(MOST, 2 * max(row.chunk, FIRST))
        else:
            row.draft = ()  # rounding might decide here: the row goes on without a draft

    def _learn(self, agreed: int, proposed: int) -> None:
        if agreed >= proposed:
            self.first = min(MOST, 2 * self.first)
        elif 4 * agreed < proposed:
            self.first = max(LEAST, self.first // 2)

    def _go_on_behind(self, row: LoopRow, agreed: int) -> None:
        """After a token that was not drafted: go on with the rest of the text where it is still the same, else behind
        one token of the draft.
        """
        text, draft = self.tokenizer.decode(row.new), row.prompt.draft
        if self.chances > 0 and text and draft.startswith(text):
            row.draft, row.chunk, row.again = self._behind(text, draft), MOST, True
        elif self.chances > 0 and agreed:
            row.draft, row.chunk, row.again = row.draft[1:], AGAIN, True
        else:
            row.draft = ()
        self.chances -= row.again

    def _behind(self, text: str, draft: str) -> Tokens:
        """The tokens of a draft behind the text that it begins with: as they stand in the whole draft where one begins
        there, for a tokenizer may begin every text with a space of its own.
        """
        whole = self._tokens(draft)
        ends = bisect.bisect_left(range(len(whole)), len(text), key=lambda k: len(self.tokenizer.decode(whole[:k])))
        if self.tokenizer.decode(whole[:ends]) == text:
            return whole[ends:]
        return self._tokens(draft[len(text) :])

    def _tokens(self, text: str) -> Tokens:
        try:
            return self.tokenizer.encode(text, special=False) if text else ()
        except Untokenizable:
            return ()


def ties(logits: torch.Tensor) -> list[bool]:
    """Whether rounding may decide which of a row's two largest logits is larger. `logits`: (rows, vocabulary)."""
    largest = logits.float().topk(2, dim=-1).values
    bound = TIE if logits.dtype == torch.float32 else torch.finfo(logits.dtype).eps * largest.abs().amax(-1)
    close: list[bool] = (largest[:, 0] - largest[:, 1] <= bound).tolist()
    return close
