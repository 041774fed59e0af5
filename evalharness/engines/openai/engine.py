"""Answer with a model behind a server, and detect when other weights answer there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence

from evalharness.engines.openai.scoring import ServedScorer
from evalharness.engines.openai.writing import ServedWriter
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.served_model import ProbeWatch
from evalharness.records.models import EngineInfo
from evalharness.records.requests import Failure, Generate, Rank, Request, Response, Score


class ServedEngine:
    """One model behind a server. `unanswered`: the kinds of requests that get no answer, with the reasons. `watch`:
    detects that other weights answer than before; None if there are no earlier answers to compare with.
    """

    def __init__(
        self,
        info: EngineInfo,
        api: ApiClient,
        writer: ServedWriter,
        scorer: ServedScorer | None,
        unanswered: Mapping[type[Request], str],
        watch: ProbeWatch | None,
    ) -> None:
        self.info, self._api, self._writer, self._scorer = info, api, writer, scorer
        self._unanswered, self._watch = unanswered, watch

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """Return one response or failure per request, after a check that the server still answers with the same
        weights. Raises NotComparableError if it does not, or no longer answers.
        """
        refused = [
            Failure(request_id=request.id, reason=self._unanswered[type(request)])
            for request in requests
            if type(request) in self._unanswered
        ]
        answerable = [request for request in requests if type(request) not in self._unanswered]
        answers = [*refused, *self._answers(answerable)]
        if answerable and self._watch is not None:
            self._watch.after_block()
        return iter(answers)

    def _answers(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        writing = self._writer.generate([request for request in requests if isinstance(request, Generate)])
        if self._scorer is None:
            return writing
        return itertools.chain(
            self._scorer.rank([request for request in requests if isinstance(request, Rank)]),
            self._scorer.score([request for request in requests if isinstance(request, Score)]),
            writing,
        )

    def check_weights(self) -> None:
        """Raise NotComparableError if the model no longer answers as it did when it was recognised."""
        if self._watch is not None:
            self._watch.check_all()

    def close(self) -> None:
        """Close the connections; the server keeps running."""
        self._api.close()
