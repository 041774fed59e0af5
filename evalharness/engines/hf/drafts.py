"""Draft a row's next tokens from another model's text after the same prompt, and learn how many tokens to draft.

A draft is read together with the prompt: at each of its tokens the model predicts what it would write there. The tokens
that agree are new tokens at the cost of reading, which on a CPU is a half to a tenth of a pass for each. The number of
drafted tokens is learned from row to row of one block: twice as many after full agreement, half as many after little.
Further passes for drafts alone are made only if they have enough tokens.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from evalharness.engines.hf.endings import TokenPrompt
from evalharness.engines.hf.rows import Tokens
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, Untokenizable
from evalharness.engines.hf.trie import prefix_length

FIRST, LEAST, MOST = 4, 1, 64  # drafted tokens that are read with the first prompt of a block, and later bounds
AGAIN = 16  # tokens of a draft that are tried again after one that the model did not write
CHANCES = 2  # how often this may fail
WORTH = 24  # drafted tokens from which on a pass of their own costs less than it saves
TIE = 1e-4  # difference of the two largest logits, in float32, below which rounding may decide


@dataclass(slots=True, kw_only=True)
class LoopRow:
    """One prompt in the greedy loop, and its new tokens so far.

    `index`: the prompt's place in the call. `tokens`: the prompt's tokens after the beginning that all prompts share.
    `least`: how many new tokens must come before an end token may. `draft`: tokens that may come next; the next `chunk`
    of them are tried. `again`: the draft is tried once more after a token that the model did not write. `new`: the new
    tokens. `finite`: the logits could be read at every step so far. `is_done`: the text has ended.
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
    is_done: bool = False


class Drafting:
    """Proposes drafted tokens for the rows of one block.

    `first`: how many drafted tokens are read together with a prompt. `chances`: how often a draft is still tried after
    a token that the model did not write.
    """

    def __init__(self, tokenizer: TokenizerAdapter) -> None:
        self.tokenizer, self.first, self.chances = tokenizer, FIRST, CHANCES

    def begin(self, row: LoopRow) -> None:
        """Set the draft of a row whose prompt is read next."""
        row.draft, row.chunk = self._tokens(row.prompt.draft), self.first

    def proposed(self, row: LoopRow) -> Tokens:
        """Return the drafted tokens to read with a row, so many that one more token fits its limit."""
        if len(row.new) < row.least or row.is_done:
            return ()
        return row.draft[: min(row.chunk, row.prompt.request.max_tokens - len(row.new) - 1)]

    def settle(self, rows: Sequence[LoopRow], proposals: Sequence[Tokens], outputs: Sequence[Sequence[int]]) -> None:
        """Move on in the draft of every row by its new tokens, `outputs`, which followed its proposals."""
        for row, proposed, tokens in zip(rows, proposals, outputs, strict=True):
            self._settle(row, proposed, tokens)

    def _settle(self, row: LoopRow, proposed: Tokens, output: Sequence[int]) -> None:
        if not row.draft:
            return
        agreed = prefix_length(tuple(output), row.draft)
        if proposed and len(row.new) == len(output):
            self._learn(agreed, len(proposed))
        if row.again and agreed > 1:
            self.chances = min(2 * CHANCES, self.chances + 2)
        row.again, row.draft = False, row.draft[agreed:]
        if agreed < len(output):
            self._go_on_behind(row, agreed)
        elif len(output) > len(proposed):
            row.chunk = min(MOST, 2 * max(row.chunk, FIRST))
        else:
            row.draft = ()  # rounding might decide here: the row goes on without a draft

    def _learn(self, agreed: int, proposed: int) -> None:
        if agreed >= proposed:
            self.first = min(MOST, 2 * self.first)
        elif 4 * agreed < proposed:
            self.first = max(LEAST, self.first // 2)

    def _go_on_behind(self, row: LoopRow, agreed: int) -> None:
        """Continue after a token that was not drafted: with the rest of the draft if the texts still agree, else after
        its next token.
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
        """Return the tokens of a draft after `text`, with which it begins: those of the whole draft where a token
        begins there, because a tokenizer may put a space before every text.
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
    """Return for each row whether rounding may decide its largest logit. `logits`: (rows, vocabulary)."""
    largest = logits.float().topk(2, dim=-1).values
    bound = TIE if logits.dtype == torch.float32 else torch.finfo(logits.dtype).eps * largest.abs().amax(-1)
    close: list[bool] = (largest[:, 0] - largest[:, 1] <= bound).tolist()
    return close
