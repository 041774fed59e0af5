"""A served model's answers to fixed probe prompts, which identify the model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """The greedy answer to one probe prompt.

    `tokens` and their log-probabilities, in nats, are () if the server gives none. `prompt_tokens` is the prompt's
    length as the server counts it; None if it does not say.
    """

    text: str
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswers:
    """The answers to all probe prompts, in order; each prompt was sent twice.

    `with_logprobs`: the server gives comparable log-probabilities. `noise` is their largest difference between the two
    times, in nats. `unsteady` lists the prompts whose second answer had another text. `by_chat`: each prompt was sent
    as a user's message, before which the server may put its own.
    """

    answers: tuple[ProbeAnswer, ...]
    with_logprobs: bool
    noise: float = 0.0
    unsteady: tuple[int, ...] = ()
    by_chat: bool = False

    @classmethod
    def from_json(cls, value: Any) -> ProbeAnswers | None:
        """Rebuild the answers from the JSON of `dataclasses.asdict`; None for a value of another form."""
        try:
            answers = tuple(
                ProbeAnswer(**{**each, "tokens": tuple(each["tokens"]), "logprobs": tuple(each["logprobs"])})
                for each in value["answers"]
            )
            return cls(**{**value, "answers": answers, "unsteady": tuple(value["unsteady"])})
        except (LookupError, TypeError):
            return None
