"""What a served model answers to the fixed probe prompts, by which it is told from other models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswer:
    """The greedy answer to one prompt. `tokens` and their log-probabilities in nats: () where the server gives none;
    `prompt_tokens`: how many it counts in the prompt, None where it does not say.
    """

    text: str
    tokens: tuple[str, ...] = ()
    logprobs: tuple[float, ...] = ()
    prompt_tokens: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeAnswers:
    """The answers to all probe prompts in their order, which were asked twice.

    `with_logprobs`: the server gives log-probabilities that can be compared; `noise`: the largest difference of one
    between the two times, in nats; `unsteady`: places of the prompts that got another text the second time;
    `by_chat`: each prompt was a user's message, before which the server may put its own.
    """

    answers: tuple[ProbeAnswer, ...]
    with_logprobs: bool
    noise: float = 0.0
    unsteady: tuple[int, ...] = ()
    by_chat: bool = False

    @classmethod
    def from_json(cls, value: Any) -> ProbeAnswers | None:
        """The answers of which `dataclasses.asdict` made this; None where it is of another form."""
        try:
            answers = tuple(
                ProbeAnswer(**{**each, "tokens": tuple(each["tokens"]), "logprobs": tuple(each["logprobs"])})
                for each in value["answers"]
            )
            return cls(**{**value, "answers": answers, "unsteady": tuple(value["unsteady"])})
        except (LookupError, TypeError):
            return None
