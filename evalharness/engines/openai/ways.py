"""Find a way in which a server returns the log-probabilities of a prompt's tokens, and check that they are sound."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from evalharness.engines.openai.prompt_scores import (
    Prompt,
    Tokens,
    TokenScore,
    Unsound,
    check_usage,
    choices_in,
    read_echo,
    read_prompt_logprobs,
    text_in,
    token_at,
)
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.replies import ApiFailure
from evalharness.openai_api.served_model import COMPLETIONS

PROMPT_LOGPROBS, ECHO = "prompt_logprobs", "echo"
STEADY = 0.05  # nats by which a log-probability may differ when a prompt is sent again, as with bfloat16
FEW = 4  # tokens that may all have the same log-probability
CONSTANT = "the server gives every token the same log-probability"
ALL_BEST = "the server names no likelier token beside any: it does not say which token is the likeliest"
WRITES = 8  # tokens that the server writes after each of TEXTS, and then scores
OWN = 0.4  # share of these that must be the likeliest by its scores; a text that is read again may have other tokens
TEXTS = ("The quick brown fox jumps over the lazy dog.", "Is water wet? Answer yes or no: yes, it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """One form of request for log-probabilities that some servers understand.

    `name`: of the form. `ids`: prompts are sent as token ids. `new_tokens`: how many tokens the server must write after
    a prompt. `lists`: the server takes several prompts in one request. `marked`: it returns the ids of the tokens that
    it repeats.
    """

    name: str
    ids: bool
    new_tokens: int
    lists: bool = True
    marked: bool = False

    def body(self, model: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """Make the request for the scores of prompts; a single prompt is sent without a list."""
        sent = [prompt if isinstance(prompt, str) else list(prompt) for prompt in prompts]
        body: dict[str, Any] = {"model": model, "prompt": sent if len(sent) > 1 else sent[0], "temperature": 0}
        body["max_tokens"] = self.new_tokens
        if self.name == PROMPT_LOGPROBS:
            return {**body, "prompt_logprobs": 1}
        return {**body, "echo": True, "logprobs": 1} | ({"return_tokens_as_token_ids": True} if self.marked else {})

    def scores(self, answer: Mapping[str, Any], prompts: Sequence[Prompt]) -> list[list[TokenScore] | str]:
        """Return for each prompt one score a token, or why it has none. Raises Unsound if no prompt has scores."""
        check_usage(answer, prompts)
        return [
            self._scores(choice, prompt)
            for choice, prompt in zip(choices_in(answer, len(prompts)), prompts, strict=True)
        ]

    def _scores(self, choice: Mapping[str, Any], prompt: Prompt) -> list[TokenScore] | str:
        try:
            if self.name == PROMPT_LOGPROBS and not isinstance(prompt, str):
                scores = read_prompt_logprobs(choice, prompt)
            else:
                scores = read_echo(choice, prompt, self.new_tokens)
        except Unsound as error:
            return str(error)
        return CONSTANT if len(scores) > FEW and len({score.logprob for score in scores[1:]}) == 1 else scores

    @property
    def details(self) -> dict[str, Any]:
        """Return the fields of the engine's info that can change a score."""
        return asdict(self)


def ways(with_ids: bool) -> list[Way]:
    """List every way, the most reliable first."""
    if not with_ids:
        return [Way(name=ECHO, ids=False, new_tokens=new) for new in (0, 1)]
    by_echo = [Way(name=ECHO, ids=True, new_tokens=new, marked=True) for new in (0, 1)]
    return [Way(name=PROMPT_LOGPROBS, ids=True, new_tokens=1), *by_echo]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnText:
    """A prompt that ends in the server's own greedy text. `whole`: the prompt with that text. `begin`: the place at
    which the text begins, counted in tokens if the prompt is token ids, else in characters.
    """

    whole: Prompt
    begin: int


def continue_texts(api: ApiClient, model: str) -> dict[str, str]:
    """Return what the server writes after each of TEXTS, without empty texts."""
    continuations = {}
    for text in TEXTS:
        answer = api.try_post(COMPLETIONS, {"model": model, "prompt": text, "max_tokens": WRITES, "temperature": 0})
        try:
            own = "" if isinstance(answer, ApiFailure) else text_in(answer)
        except Unsound:
            continue
        if own:
            continuations[text] = own
    return continuations


def own_texts(continuations: Mapping[str, str]) -> list[OwnText]:
    """Join each text and its continuation as texts."""
    return [OwnText(whole=text + own, begin=len(text)) for text, own in continuations.items()]


def own_tokens(continuations: Mapping[str, str], encode: Callable[[str], Tokens]) -> list[OwnText]:
    """Join each text and its continuation as tokens, without those of which a token spans the boundary."""
    pairs = [(encode(text), encode(text + own)) for text, own in continuations.items()]
    return [OwnText(whole=whole, begin=len(prompt)) for prompt, whole in pairs if whole[: len(prompt)] == prompt]


def find_way(api: ApiClient, model: str, prompts: Sequence[Prompt], own: Sequence[OwnText]) -> Way | str:
    """Return the first way that gives sound scores of these prompts, at least two, and by which the server's own texts
    are the likeliest; else why no way does.
    """
    reasons: dict[str, None] = {}
    for way in ways(not isinstance(prompts[0], str)):
        problem = _problem(api, model, way, prompts) or _misplaced(api, model, way, own)
        if not problem:
            return replace(way, lists=not _problem(api, model, way, prompts, at_once=True))
        reasons[problem] = None
    return "; ".join(reasons)


def _problem(api: ApiClient, model: str, way: Way, prompts: Sequence[Prompt], at_once: bool = False) -> str:
    """Return why the scores of this way are unsound; "" if they are sound. Every prompt is sent twice."""
    try:
        first, again = (_scores_of(api, model, way, prompts, at_once) for _ in range(2))
    except Unsound as error:
        return str(error)
    if all(score.is_best for scores in first for score in scores[1:]):
        return ALL_BEST
    moved = [
        abs((a.logprob or 0.0) - (b.logprob or 0.0))
        for one, other in zip(first, again, strict=True)
        for a, b in zip(one, other, strict=True)
    ]
    return "asked twice, the server gives other log-probabilities" if max(moved) > STEADY else ""


def _misplaced(api: ApiClient, model: str, way: Way, own: Sequence[OwnText]) -> str:
    """Return why the log-probabilities belong to other tokens (some servers return those of the next place); "" if the
    server's own texts are the likeliest, and if it wrote none.
    """
    best = list[bool]()
    for text in own:
        try:
            scores, whole = _scores_of(api, model, way, [text.whole], at_once=False), text.whole
            begin = token_at(scores[0], whole, text.begin) if isinstance(whole, str) else text.begin
        except Unsound:
            continue
        best += [score.is_best for score in scores[0][begin:]]
    if not best or sum(best) >= OWN * len(best):
        return ""
    return (
        f"of {len(best)} tokens that the server wrote, {sum(best)} are the likeliest by its log-probabilities, which "
        "are those of other places"
    )


def _scores_of(
    api: ApiClient, model: str, way: Way, prompts: Sequence[Prompt], at_once: bool
) -> list[list[TokenScore]]:
    """Request the scores of prompts. Raises Unsound if any score is missing."""
    every = []
    for group in [list(prompts)] if at_once else [[prompt] for prompt in prompts]:
        answer = api.try_post(COMPLETIONS, way.body(model, group))
        if isinstance(answer, ApiFailure):
            raise Unsound(f"the server answers {answer.reason}")
        for scores in way.scores(answer, group):
            if isinstance(scores, str):
                raise Unsound(scores)
            every.append(scores)
    return every
