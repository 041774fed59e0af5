"""The seam to whatever answers: requests in, responses out, in any order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Request, Response
from evalharness.records.tokenizers import ChatRenderer, TokenCounter


class Engine(Protocol):
    """One opened model. `answer` is given one block of requests at a time and plans its own batches inside it."""

    info: EngineInfo

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """One response or failure per request, in any order: a Ranking for a Rank, a Generation for a Generate, a
        Scoring for a Score, a Profiling for a Profile.

        A request that cannot be answered yields a Failure; only a dead engine raises. A text of a Score that is longer
        than the window is scored in disjoint pieces, each token once, the first after the prefix token (BOS, else EOS);
        one of no tokens is 0 nats over 0 tokens.
        """
        ...

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"], merged: bool = False
    ) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), adapter or soft prompt on or off, by the very code path that
        scores or decodes.

        `merged` (path "score"): those of the model with its adapter merged into its weights. Raises Unmergeable where
        it cannot be.
        """
        ...

    def close(self) -> None:
        """Free the model's memory."""
        ...


class Unmergeable(ValueError):
    """An adapter that cannot be merged into its model's weights; the message is the reason."""


class EngineFactory(Protocol):
    """Opens engines of one kind. `describe` is cheap: it loads no weights, so that a run whose answers are all stored
    never does.
    """

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """What an engine opened with these arguments would report as its `info`."""
        ...

    def open(self, checkpoint: Checkpoint, settings: EngineSettings, after: Engine | None = None) -> Engine:
        """Load the model. Raises ModelError where it cannot be loaded completely.

        `after` is the engine opened before, which answers no more: what both share (the base's weights) is taken over,
        the rest released.
        """
        ...

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        """How many tokens a text has for this model; loads the tokenizer only."""
        ...

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """How this model is spoken to; None where it has no chat template. Loads the tokenizer only. Raises ModelError
        for a broken template.
        """
        ...
