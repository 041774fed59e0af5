"""Answer Rank and Score requests: the server scores the tokens of prompts, and the requested ones are summed here."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from evalharness.engines.hf.tokenizer_adapter import TokenPair, Untokenizable
from evalharness.engines.openai.prompt_scores import Prompt, TokenScore, Unsound, sum_from, token_at
from evalharness.engines.openai.tokens import PromptSplitter, check_text
from evalharness.engines.openai.ways import Way
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.replies import ApiFailure
from evalharness.openai_api.served_model import COMPLETIONS
from evalharness.records.requests import Failure, Rank, Ranking, Score, Scoring

AT_ONCE = 32  # prompts of one request
UNLIMITED = 2048  # tokens of a piece of text where the window is not known; lm-eval's default
UNANSWERED = "the server did not answer: {}"
RankOrScore = TypeVar("RankOrScore", Rank, Score)
PromptScores = list[TokenScore] | str  # one score a token, or why there is none


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPart:
    """A prompt, and the part of it that is scored.

    `start`: the token at which that part starts, or the character, in a text whose tokens are unknown. `tokens`: how
    many tokens are scored, None if that is not known before. `shared`: the beginning that is common to all prompts that
    are sent together.
    """

    prompt: Prompt
    start: int
    tokens: int | None = None

    @property
    def shared(self) -> Prompt:
        return self.prompt[: self.start]


class ServedScorer:
    """Scores with one served model. `splitter`: None if texts cannot be split into tokens here."""

    def __init__(
        self, api: ApiClient, model: str, way: Way, splitter: PromptSplitter | None, window: int | None
    ) -> None:
        self._api, self._model, self._way, self._splitter, self._window = api, model, way, splitter, window

    def rank(self, requests: Sequence[Rank]) -> Iterator[Ranking | Failure]:
        """Yield an answer per request, in order."""
        if self._splitter is not None:
            pairs = [pair for request in requests for pair in request.pairs]
            self._splitter.learn(text for context, more in pairs for text in (context.rstrip(), context + more, more))
        for request, scored in self._scored([(request, self._parts_of(request)) for request in requests]):
            if isinstance(scored, str):
                yield Failure(request_id=request.id, reason=scored)
                continue
            yield Ranking(
                request_id=request.id,
                logprobs=tuple(logprob for logprob, _, _ in scored),
                tokens=tuple(tokens for _, tokens, _ in scored),
                greedy=tuple(greedy for _, _, greedy in scored),
            )

    def score(self, requests: Sequence[Score]) -> Iterator[Scoring | Failure]:
        """Yield an answer per request, in order: the sum over the text's pieces."""
        if self._splitter is not None:
            self._splitter.learn(request.text for request in requests)
        for request, scored in self._scored([(request, self._pieces_of(request)) for request in requests]):
            if isinstance(scored, str):
                yield Failure(request_id=request.id, reason=scored)
                continue
            total = math.fsum(logprob for logprob, _, _ in scored)
            yield Scoring(request_id=request.id, logprob=total, tokens=sum(tokens for _, tokens, _ in scored))

    def _groups_scored(self, groups: Sequence[Sequence[Prompt]]) -> dict[Prompt, PromptScores]:
        scored: dict[Prompt, PromptScores] = {}
        bodies = [self._way.body(self._model, group) for group in groups]
        for place, answer in self._api.post_all(COMPLETIONS, bodies):
            group = groups[place]
            if isinstance(answer, ApiFailure):
                scored |= dict.fromkeys(group, UNANSWERED.format(answer.reason))
                continue
            try:
                scored |= zip(group, self._way.scores(answer, group), strict=True)
            except Unsound as error:
                scored |= dict.fromkeys(group, str(error))
        return scored

    def _scored(
        self, pairs: Sequence[tuple[RankOrScore, Sequence[ScoredPart] | str]]
    ) -> Iterator[tuple[RankOrScore, list[tuple[float, int, bool]] | str]]:
        """Yield log-probability, number of tokens and greediness of every request's parts, or why there are none."""
        parts = dict.fromkeys(part for _, of_request in pairs if not isinstance(of_request, str) for part in of_request)
        by_context: dict[Prompt, dict[Prompt, None]] = {}
        for part in parts:
            by_context.setdefault(part.shared, {})[part.prompt] = None
        size = AT_ONCE if self._way.lists else 1
        groups = [
            list(of_context)[start : start + size]
            for of_context in by_context.values()
            for start in range(0, len(of_context), size)
        ]
        scores = self._groups_scored(groups)
        for request, of_request in pairs:
            yield request, of_request if isinstance(of_request, str) else _sums(of_request, scores)

    def _parts_of(self, request: Rank) -> Sequence[ScoredPart] | str:
        """Return the request's pairs, or why the server cannot score them."""
        try:
            return [self._part_of(context, continuation) for context, continuation in request.pairs]
        except Untokenizable as error:
            return str(error)

    def _part_of(self, context: str, continuation: str) -> ScoredPart:
        pair = self._splitter.adapter.pair(context, continuation) if self._splitter is not None else None
        if pair is not None:
            part = self._part(pair)
            if self._way.ids:
                return part
        if not continuation:
            raise Untokenizable("an empty continuation has no probability")
        check_text(context + continuation)
        cut = len(context.rstrip())
        if not cut:
            raise Untokenizable("an empty context, and the server's tokens are not known (give tokenizer=DIR)")
        return ScoredPart(
            prompt=context + continuation, start=cut, tokens=None if pair is None else len(pair.continuation)
        )

    def _part(self, pair: TokenPair) -> ScoredPart:
        prompt, most = pair.context + pair.continuation, self._window
        if most is not None and len(prompt) + self._way.new_tokens > most:
            more = f", and {self._way.new_tokens} that the server has to add" if self._way.new_tokens else ""
            raise Untokenizable(f"{len(prompt)} tokens{more} do not fit the window of {most}")
        return ScoredPart(prompt=prompt, start=len(pair.context))

    def _pieces_of(self, request: Score) -> Sequence[ScoredPart] | str:
        """Split the text into pieces that fit the window with the token before each, or return why it cannot be
        scored.
        """
        if self._splitter is None:
            return "a text cannot be cut into pieces without its tokenizer (give tokenizer=DIR)"
        most = UNLIMITED if self._window is None else self._window - 1 - self._way.new_tokens
        try:
            return [self._part(pair) for pair in self._splitter.adapter.pieces(request.text, most)]
        except Untokenizable as error:
            return str(error)


def _sums(parts: Sequence[ScoredPart], scores: dict[Prompt, PromptScores]) -> list[tuple[float, int, bool]] | str:
    sums = []
    for part in parts:
        scored = scores[part.prompt]
        if isinstance(scored, str):
            return scored
        try:
            start = token_at(scored, part.prompt, part.start) if isinstance(part.prompt, str) else part.start
            logprob, greedy = sum_from(scored, start)
        except Unsound as error:
            return str(error)
        if part.tokens not in (None, len(scored) - start):
            return (
                f"the server splits a continuation into {len(scored) - start} tokens, its tokenizer into {part.tokens}"
            )
        sums.append((logprob, len(scored) - start, greedy))
    return sums
