"""Rank and Score requests to log-probabilities: right-padded forward passes, the head computed only where something is scored."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PreTrainedModel

from evalharness.checkpoints.weights import Loaded
from evalharness.engines.batches import Refused, answered, plan
from evalharness.engines.texts import Pair, Texts, Untokenizable
from evalharness.records import Failure, Rank, Ranking, Score, Scoring

CHUNK = 1 << 22  # float32 values of the softmax held at a time
NONFINITE = "non-finite logits"
UNLIMITED = 2048  # tokens of a piece of text where the model states no limit; lm-eval's default


@dataclass(frozen=True, slots=True)
class Row:
    """What one row of a batch reads, and the token runs scored at its end: run j's last token is predicted at the row's last position."""

    fed: tuple[int, ...]
    runs: tuple[tuple[int, ...], ...]

    @property
    def scored(self) -> int:
        """Positions at the row's end whose logits are needed."""
        return max(map(len, self.runs))


@dataclass(frozen=True, slots=True)
class Found:
    """Of one continuation: summed log-probability (nats) and whether every token is the most likely one. None: the logits were not finite."""

    logprob: float | None
    greedy: bool


Scores = Mapping[Pair, Found | Refused]


class Scorer:
    """Scores with one loaded model. `rows` and `tokens` bound a batch; the soft prompt is not counted, so that it does not change the plan."""

    def __init__(self, loaded: Loaded, texts: Texts, window: int | None, bounds: tuple[int, int], recover: Callable[[], None]) -> None:
        self.loaded, self.texts, self.window, self.bounds, self.recover = loaded, texts, window, bounds, recover
        self.positioned = "position_ids" in inspect.signature(loaded.model.forward).parameters

    def rank(self, requests: Sequence[Rank]) -> Iterator[Ranking | Failure]:
        """An answer per request, in order. Pairs that feed the same tokens share a row."""
        pairs: list[tuple[Pair, ...] | str] = [self._pairs(request) for request in requests]
        scores = self._scored(pair for asked in pairs if isinstance(asked, tuple) for pair in asked)
        for request, asked in zip(requests, pairs, strict=True):
            yield Failure(request.id, asked) if isinstance(asked, str) else _ranking(request, asked, scores)

    def score(self, requests: Sequence[Score]) -> Iterator[Scoring | Failure]:
        """An answer per request, in order: the sum over the text's pieces, as lm-eval's `loglikelihood_rolling` cuts them."""
        pieces: list[tuple[Pair, ...] | str] = [self._pieces(request) for request in requests]
        scores = self._scored(piece for asked in pieces if isinstance(asked, tuple) for piece in asked)
        for request, asked in zip(requests, pieces, strict=True):
            yield Failure(request.id, asked) if isinstance(asked, str) else _scoring(request, asked, scores)

    def _scored(self, pairs: Iterable[Pair]) -> Scores:
        """What was found of every pair; those that feed the same tokens share a row."""
        runs: dict[tuple[int, ...], dict[tuple[int, ...], Pair]] = {}
        for pair in pairs:
            runs.setdefault(pair.fed, {})[pair.continuation] = pair
        rows = [Row(fed, tuple(wanted)) for fed, wanted in runs.items()]
        scores: dict[Pair, Found | Refused] = {}
        for batch in plan([len(row.fed) for row in rows], *self.bounds):
            for index, found in answered(batch, lambda some: self._score([rows[i] for i in some]), self.recover):
                for j, pair in enumerate(runs[rows[index].fed].values()):
                    scores[pair] = found if isinstance(found, Refused) else found[j]
        return scores

    def last_logits(self, prompts: Sequence[str], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the pass that scores."""
        rows = [Row(self.texts.prompt(prompt), ((self.texts.pad,),)) for prompt in prompts]  # the run's token does not matter here
        found: dict[int, NDArray[np.float64]] = {}
        for batch in plan([len(row.fed) for row in rows], *self.bounds):
            logits, _ = self._logits([rows[i] for i in batch], adapter)
            found.update(zip(batch, logits.double().cpu().numpy(), strict=True))
        return np.stack([found[i] for i in range(len(rows))])

    def _pairs(self, request: Rank) -> tuple[Pair, ...] | str:
        """The request's pairs as tokens, or why it cannot be asked."""
        try:
            pairs = tuple(self.texts.pair(context, continuation) for context, continuation in request.pairs)
        except Untokenizable as error:
            return str(error)
        longest = max((len(pair.fed) for pair in pairs), default=0) + self._virtual
        if self.window is not None and longest > self.window:
            return f"{longest} tokens do not fit the window of {self.window}"
        return pairs

    def _pieces(self, request: Score) -> tuple[Pair, ...] | str:
        """The text in pieces that the window holds beside the virtual tokens, or why it cannot be scored."""
        room = UNLIMITED if self.window is None else self.window - self._virtual
        if room < 1:
            return f"{self._virtual} virtual tokens leave no room for text in the window of {self.window}"
        try:
            return self.texts.pieces(request.text, room)
        except Untokenizable as error:
            return str(error)

    @property
    def _virtual(self) -> int:
        return self.loaded.lead.tokens

    @torch.inference_mode()
    def _logits(self, rows: Sequence[Row], adapter: bool = True) -> tuple[torch.Tensor, list[int]]:
        """Logits (positions, vocabulary) at each row's scored positions, row after row, and each row's first place among them."""
        device = self.loaded.device
        width = max(len(row.fed) for row in rows)
        ids = torch.tensor([row.fed + (self.texts.pad,) * (width - len(row.fed)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row.fed) + [0] * (width - len(row.fed)) for row in rows], device=device)
        with self.loaded.answering(adapter) as (model, lead):
            soft = lead.embeddings
            inputs, virtual = {"input_ids": ids}, 0
            if soft is not None:
                virtual = len(soft)
                mask = torch.cat([mask.new_ones(len(rows), virtual), mask], dim=1)
                text = model.get_input_embeddings()(ids)  # (rows, width, hidden)
                inputs = {"inputs_embeds": torch.cat([soft.expand(len(rows), -1, -1), text], dim=1)}
            inputs["attention_mask"] = mask
            if self.positioned:
                inputs["position_ids"] = torch.arange(mask.shape[1], device=device).expand(len(rows), -1)
            places = [(b, virtual + len(row.fed) - row.scored + k) for b, row in enumerate(rows) for k in range(row.scored)]
            where = torch.tensor(places, device=device).unbind(1)
            logits = _head_at(model, where, inputs)
        starts = np.cumsum([0, *(row.scored for row in rows[:-1])]).tolist()
        return logits, starts

    @torch.inference_mode()
    def _score(self, rows: Sequence[Row]) -> list[list[Found]]:
        """A score for every run of every row."""
        logits, starts = self._logits(rows)
        runs = [(b, run) for b, row in enumerate(rows) for run in row.runs]
        at = [starts[b] + rows[b].scored - len(run) + k for b, run in runs for k in range(len(run))]
        tokens = [token for _, run in runs for token in run]
        logprobs, greedy = _log_softmax(logits, torch.tensor(at, device=logits.device), torch.tensor(tokens, device=logits.device))
        scores: list[list[Found]] = [[] for _ in rows]
        done = 0
        for b, run in runs:
            total = float(np.sum(logprobs[done : done + len(run)]))
            scores[b].append(Found(total if np.isfinite(total) else None, bool(greedy[done : done + len(run)].all())))
            done += len(run)
        return scores


def _head_at(model: PreTrainedModel, where: tuple[torch.Tensor, ...], inputs: dict[str, torch.Tensor]) -> torch.Tensor:
    """Logits at the places `where` = (rows, positions) only, (places, vocabulary): the model's own head sees no other position."""
    rows, positions = where
    head = model.get_output_embeddings()
    if head is None:
        return model(**inputs, use_cache=False).logits[rows, positions]
    hook = head.register_forward_pre_hook(lambda _, seen: (seen[0][rows, positions].unsqueeze(0), *seen[1:]))
    try:
        return model(**inputs, use_cache=False).logits[0]
    finally:
        hook.remove()


def _log_softmax(logits: torch.Tensor, at: torch.Tensor, tokens: torch.Tensor) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Log-probability of tokens[i] in row at[i] of the logits, and whether it is that row's most likely token. NaN for rows with NaN or +inf."""
    norms, best = [], []
    for part in logits.split(max(1, CHUNK // logits.shape[1])):
        part = part.float()
        norms.append(torch.logsumexp(part, dim=-1).masked_fill((part.isnan() | part.isposinf()).any(-1), torch.nan))
        best.append(part.argmax(-1))
    found = logits[at, tokens].double() - torch.cat(norms)[at].double()
    return found.cpu().numpy(), (torch.cat(best)[at] == tokens).cpu().numpy()


def _logprobs(asked: Sequence[Pair], scores: Scores) -> list[float] | str:
    """Log-probabilities in order, or why there is none of one of them."""
    found = [scores[pair] for pair in asked]
    refused = next((score.reason for score in found if isinstance(score, Refused)), None)
    logprobs = [score.logprob for score in found if isinstance(score, Found) and score.logprob is not None]
    return logprobs if len(logprobs) == len(asked) else refused or NONFINITE


def _ranking(request: Rank, pairs: Sequence[Pair], scores: Scores) -> Ranking | Failure:
    logprobs = _logprobs(pairs, scores)
    if isinstance(logprobs, str):
        return Failure(request.id, logprobs)
    return Ranking(
        request_id=request.id,
        logprobs=tuple(logprobs),
        tokens=tuple(len(pair.continuation) for pair in pairs),
        greedy=tuple(score.greedy for score in (scores[pair] for pair in pairs) if isinstance(score, Found)),
    )


def _scoring(request: Score, pieces: Sequence[Pair], scores: Scores) -> Scoring | Failure:
    logprobs = _logprobs(pieces, scores)
    if isinstance(logprobs, str):
        return Failure(request.id, logprobs)
    return Scoring(request.id, math.fsum(logprobs), sum(len(piece.continuation) for piece in pieces))
