"""Requests to a model and its responses: rendered examples, requests, responses, and a prepared task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalharness import fingerprint
from evalharness.records.tasks import Task


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One rendered row of a task; the only record that has the right answer.

    `id` is an `example_id` with the digest of the rendered content: equal ids mean the same question in the same form.
    `unit` is the key of what the statistics count as one; rows that repeat a question share it. `key` is the task's
    own unit, which some metrics score as a whole; "" if it is `unit`. `choices` are the texts to rank, `gold` the
    indices of the right ones, `scores` the worth of each (() if `gold` says it) and `value` the number that is the
    right answer. `references` are the right texts of written answers, and the texts that are scored whole. `tags` are
    labels that some metrics read.
    """

    id: str
    unit: str
    key: str = ""
    prompt: str
    choices: tuple[str, ...] = ()
    gold: tuple[int, ...] = ()
    references: tuple[str, ...] = ()
    truncated: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    scores: tuple[float, ...] = ()
    value: float | None = None


def example_id(row: int, digest: str) -> str:
    """Return the id of the example made from a row; rows are counted from 0 in their split."""
    return f"{row}-{digest}"


def row_of(example: str) -> int:
    """Return the row of the example with this id."""
    return int(example.partition("-")[0])


class Identified:
    """The base of all requests: identified by the hash of their content, computed once because every step of a run
    needs it.
    """

    __slots__ = ("_id",)
    _id: str

    @property
    def content(self) -> list[Any]:
        """Return the request as a JSON-like value."""
        raise NotImplementedError

    @property
    def id(self) -> str:
        try:
            return self._id
        except AttributeError:
            object.__setattr__(self, "_id", fingerprint.of_value(self.content))  # the request itself is frozen
            return self._id


@dataclass(frozen=True, slots=True, kw_only=True)
class Rank(Identified):
    """Ask for log P(continuation | context) of every (context, continuation) pair of one example."""

    pairs: tuple[tuple[str, str], ...]

    @property
    def content(self) -> list[Any]:
        return ["rank", self.pairs]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate(Identified):
    """Ask for a greedy continuation, cut before the first of the `stop` strings, of at most `max_tokens` new tokens.

    A stop string of white space ends the answer only after its first word; with `stop_at_once` also before, as in
    lm-eval.
    """

    prompt: str
    stop: tuple[str, ...]
    max_tokens: int
    stop_at_once: bool = False

    @property
    def content(self) -> list[Any]:
        return ["generate", self.prompt, self.stop, self.max_tokens, self.stop_at_once]

    def answer_in(self, text: str, more_stops: Sequence[str] = ()) -> tuple[str, bool]:
        """Return the answer in a model's text, and whether a stop string, its own or one of `more_stops`, ended it.
        Leading white space that contains a stop string is dropped.
        """
        begin = 0 if self.stop_at_once else len(text) - len(text.lstrip())
        stops = [stop for stop in (*self.stop, *more_stops) if stop]
        places = [text.find(stop, begin if stop.isspace() else 0) for stop in stops]
        end = min((place for place in places if place >= 0), default=len(text))
        passed = any(stop.isspace() and stop in text[:begin] for stop in stops)
        return text[min(begin, end) if passed else 0 : end], end < len(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score(Identified):
    """Ask for log P(text). A text longer than the window is scored in pieces."""

    text: str

    @property
    def content(self) -> list[Any]:
        return ["score", self.text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Identified):
    """Ask for the likeliest tokens at every position of `text`, after `context`.

    Without a context the text is read in pieces of at most `piece_limit` tokens. `top_k` tokens are returned at each
    position, or instead the tokens that `at` lists position by position.
    """

    text: str
    top_k: int
    context: str = ""
    piece_limit: int | None = None
    at: tuple[tuple[int, ...], ...] = ()

    @property
    def content(self) -> list[Any]:
        return ["profile", self.text, self.top_k, self.context, self.piece_limit, self.at]


Request = Rank | Generate | Score | Profile


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranking:
    """The answer to Rank, with one entry for each pair.

    The entries are the summed log-probability in nats, the number of tokens in the continuation, and whether greedy
    decoding gives the continuation.
    """

    request_id: str
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    greedy: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """The answer to Generate: the text, why it ended, and its number of new tokens.

    It ended at a stop string ("stop"), at the end token ("eos"), or at the limit ("length").
    """

    request_id: str
    text: str
    finish_reason: Literal["stop", "eos", "length"]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """The answer to Score: the summed log-probability of the text in nats, and its number of tokens."""

    request_id: str
    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiling:
    """The answer to Profile, with one entry for each token of the text.

    The entries are the token's id, its log-probability in nats, and the likeliest token's id (`argmax`). `ids` are the
    likeliest tokens, best first, and `top` their log-probabilities. If the request has `at`, `ids` is () and `top` has
    the log-probabilities of those tokens. `rest` is the log-probability of all other tokens together; None if there
    are none. Numbers are rounded to 1e-9.
    """

    request_id: str
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    argmax: tuple[int, ...]
    ids: tuple[tuple[int, ...], ...]
    top: tuple[tuple[float, ...], ...]
    rest: tuple[float | None, ...]


Response = Ranking | Generation | Scoring | Profiling
ANSWERED_BY: dict[type[Request], type[Response]] = {
    Rank: Ranking,
    Generate: Generation,
    Score: Scoring,
    Profile: Profiling,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A request that got no answer, and why. It is never stored and never scored."""

    request_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedTask:
    """One task's examples and requests, the same for every model.

    `requests[i]` belongs to `examples[i]`. `failures` are the rows without a request. `data_digest` is of the rows,
    `prompts_digest` of the requests.
    """

    task: Task
    examples: tuple[Example, ...]
    requests: tuple[Request, ...]
    failures: tuple[tuple[str, str], ...]  # (example id, reason)
    # units in the evaluation split before any limit; rows beyond a limit are not searched for repeated questions
    available: int
    data_digest: str
    prompts_digest: str
    chance: float | None  # primary score of guessing among these examples' choices; unknown: the task's
    repeated: int = 0  # examples that repeat another's question, with the same choices and answer
    left_out: tuple[str, ...] = ()  # ids of drawn examples that are evaluated on no model: they do not fit
