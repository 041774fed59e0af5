"""Answer with a model behind a server, and notice when another one answers there."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

from evalharness.engines.openai.scoring import ServedScorer
from evalharness.engines.openai.writing import ServedWriter
from evalharness.openai_api.client import ApiClient
from evalharness.records.models import EngineInfo
from evalharness.records.requests import Failure, Generate, Rank, Request, Response, Score


class ServedEngine:
    """One served model. `unanswered`: why some kinds of requests get no answer; `after_block` raises where the server
    answers with other weights than before.
    """

    def __init__(
        self,
        info: EngineInfo,
        api: ApiClient,
        writer: ServedWriter,
        scorer: ServedScorer | None,
        unanswered: Mapping[type[Request], str],
        after_block: Callable[[], None],
    ) -> None:
        self.info, self._api, self._writer, self._scorer = info, api, writer, scorer
        self._unanswered, self._after_block = unanswered, after_block

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """One response or failure per request. None is given before the server has shown, after the last one, that it
        still answers with the same weights. Raises NotComparableError where it does not, or is dead.
        """
        refused = [
            Failure(request_id=request.id, reason=self._unanswered[type(request)])
            for request in requests
            if type(request) in self._unanswered
        ]
        asked = [request for request in requests if type(request) not in self._unanswered]
        answers = [*refused, *self._answers(asked)]
        if asked:
            self._after_block()
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

    def close(self) -> None:
        """Close the connections; the server goes on."""
        self._api.close()
