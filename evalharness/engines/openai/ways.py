"""Find out how a server gives the log-probabilities of a prompt's tokens, and whether what it gives is sound."""

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
    of_echo,
    of_prompt_logprobs,
    text_in,
    token_at,
)
from evalharness.openai_api.client import ApiClient
from evalharness.openai_api.replies import ApiFailure
from evalharness.openai_api.served_model import COMPLETIONS

PROMPT_LOGPROBS, ECHO = "prompt_logprobs", "echo"
STEADY = 0.05  # nats by which a token's log-probability may move where a prompt is asked again; bfloat16 moves so much
FEW = 4  # tokens that may all have the same log-probability
CONSTANT = "the server gives every token the same log-probability"
ALL_BEST = "the server names no likelier token beside any: it does not say which token is the likeliest"
WRITES = 8  # tokens that the server writes after each of TEXTS, and then scores
OWN = 0.4  # of these, how many must be the likeliest by what it says of them; read again, a text may have other tokens
TEXTS = ("The quick brown fox jumps over the lazy dog.", "Is water wet? Answer yes or no: yes, it is")


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """How log-probabilities are asked for. `ids`: prompts are sent as token ids; `new_tokens`: how many the server has
    to write after a prompt; `lists`: it takes several prompts at once; `marked`: it says the ids of echoed tokens.
    """

    name: str
    ids: bool
    new_tokens: int
    lists: bool = True
    marked: bool = False

    def body(self, model: str, prompts: Sequence[Prompt]) -> dict[str, Any]:
        """The request for the scores of prompts; one alone is sent as such."""
        sent = [prompt if isinstance(prompt, str) else list(prompt) for prompt in prompts]
        body: dict[str, Any] = {"model": model, "prompt": sent if len(sent) > 1 else sent[0], "temperature": 0}
        body["max_tokens"] = self.new_tokens
        if self.name == PROMPT_LOGPROBS:
            return {**body, "prompt_logprobs": 1}
        return {**body, "echo": True, "logprobs": 1} | ({"return_tokens_as_token_ids": True} if self.marked else {})

    def scores(self, answer: Mapping[str, Any], prompts: Sequence[Prompt]) -> list[list[TokenScore] | str]:
        """Of each prompt one score a token, or why there are none. Raises Unsound where that is so of all."""
        check_usage(answer, prompts)
        return [
            self._scores(choice, prompt)
            for choice, prompt in zip(choices_in(answer, len(prompts)), prompts, strict=True)
        ]

    def _scores(self, choice: Mapping[str, Any], prompt: Prompt) -> list[TokenScore] | str:
        try:
            if self.name == PROMPT_LOGPROBS and not isinstance(prompt, str):
                scores = of_prompt_logprobs(choice, prompt)
            else:
                scores = of_echo(choice, prompt, self.new_tokens)
        except Unsound as error:
            return str(error)
        return CONSTANT if len(scores) > FEW and len({score.logprob for score in scores[1:]}) == 1 else scores

    @property
    def details(self) -> dict[str, Any]:
        """As the engine's info has it: what can move a number."""
        return asdict(self)


def ways(with_ids: bool) -> list[Way]:
    """Every way, the surest first."""
    if not with_ids:
        return [Way(name=ECHO, ids=False, new_tokens=new) for new in (0, 1)]
    by_echo = [Way(name=ECHO, ids=True, new_tokens=new, marked=True) for new in (0, 1)]
    return [Way(name=PROMPT_LOGPROBS, ids=True, new_tokens=1), *by_echo]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnText:
    """A prompt with what the server itself wrote after it, most likely token by token. `begin`: the place of the first
    of these, of a token where the prompt is token ids, else of a character.
    """

    whole: Prompt
    begin: int


def written_after(api: ApiClient, model: str) -> dict[str, str]:
    """What the server writes after each of TEXTS after which it writes something."""
    written = {}
    for text in TEXTS:
        answer = api.try_post(COMPLETIONS, {"model": model, "prompt": text, "max_tokens": WRITES, "temperature": 0})
        try:
            own = "" if isinstance(answer, ApiFailure) else text_in(answer)
        except Unsound:
            continue
        if own:
            written[text] = own
    return written


def own_texts(written: Mapping[str, str]) -> list[OwnText]:
    """The same as texts."""
    return [OwnText(whole=text + own, begin=len(text)) for text, own in written.items()]


def own_tokens(written: Mapping[str, str], encode: Callable[[str], Tokens]) -> list[OwnText]:
    """The same as tokens, but for texts of which a token runs over the place where the server began."""
    pairs = [(encode(text), encode(text + own)) for text, own in written.items()]
    return [OwnText(whole=whole, begin=len(prompt)) for prompt, whole in pairs if whole[: len(prompt)] == prompt]


def find_way(api: ApiClient, model: str, prompts: Sequence[Prompt], written: Sequence[OwnText]) -> Way | str:
    """The first way by which the scores of these prompts, two at least, are sound, and by which what the server wrote
    is what it finds likeliest; else why none is.
    """
    reasons: dict[str, None] = {}
    for way in ways(not isinstance(prompts[0], str)):
        problem = _problem(api, model, way, prompts) or _misplaced(api, model, way, written)
        if not problem:
            return replace(way, lists=not _problem(api, model, way, prompts, at_once=True))
        reasons[problem] = None
    return "; ".join(reasons)


def _problem(api: ApiClient, model: str, way: Way, prompts: Sequence[Prompt], at_once: bool = False) -> str:
    """Why this way cannot be trusted; "" where it can. Every prompt is asked twice."""
    try:
        first, again = (_asked(api, model, way, prompts, at_once) for _ in range(2))
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


def _misplaced(api: ApiClient, model: str, way: Way, written: Sequence[OwnText]) -> str:
    """Why the log-probabilities are not those of the tokens beside which they stand: some servers give those of the
    next place. "" where what the server wrote is likeliest, and where it wrote nothing.
    """
    best = list[bool]()
    for text in written:
        try:
            scores, whole = _asked(api, model, way, [text.whole], at_once=False), text.whole
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


def _asked(api: ApiClient, model: str, way: Way, prompts: Sequence[Prompt], at_once: bool) -> list[list[TokenScore]]:
    """Raises Unsound where any score is missing."""
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
