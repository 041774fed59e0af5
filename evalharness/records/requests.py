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

    `id`: an `example_id` with the digest of the rendered content: equal ids mean the same question in the same form.
    `unit`: the key of what the statistics count as one; rows that repeat a question share it. `key`: the task's own
    unit, which some metrics score as a whole ("": `unit`). Tasks with choices have `choices`, `gold` (indices of the
    right ones), `scores` (the worth of each choice; (): gold says it) and `value` (the number that is the answer).
    Written answers, and texts that are scored whole, have `references`.
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
    """Identifies a request by the hash of its content, which is computed once because every step of a run needs it."""

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

    A stop string of white space does not end the answer before its first word, unless `stop_at_once` (as in lm-eval).
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
    """Ask for log P(text), a text longer than the window in pieces."""

    text: str

    @property
    def content(self) -> list[Any]:
        return ["score", self.text]


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile(Identified):
    """Ask for the likeliest tokens at every position of `text`, after `context`; without one in pieces of at most
    `piece_limit` tokens.

    `top_k`: how many tokens at each position. `at`: these tokens, position by position, instead.
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
    """Answer to Rank, one entry a pair: summed log-probability in nats, tokens in the continuation, and whether greedy
    decoding gives it.
    """

    request_id: str
    logprobs: tuple[float, ...]
    tokens: tuple[int, ...]
    greedy: tuple[bool, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Generation:
    """Answer to Generate: the text, why it ended ("stop": a stop string, "eos", "length"), and the number of new
    tokens.
    """

    request_id: str
    text: str
    finish_reason: Literal["stop", "eos", "length"]
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scoring:
    """Answer to Score: summed log-probability of the text in nats, and its number of tokens."""

    request_id: str
    logprob: float
    tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Profiling:
    """Answer to Profile, one entry a token of the text: its id, its log-probability in nats, and the likeliest token's
    id.

    `ids`: the likeliest tokens, best first; `top`: their log-probabilities. If the request has `at`, `ids` is () and
    `top` has the log-probabilities of those tokens. `rest`: log-probability of all other tokens together; None: there
    are none. Rounded to 1e-9.
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
    """A task prepared for any model. `requests[i]` belongs to `examples[i]`; `failures`: rows without a request."""

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
