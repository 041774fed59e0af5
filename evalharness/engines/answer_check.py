"""Check by answers alone that an adapter is applied, for engines that cannot switch it off."""

from __future__ import annotations

from collections.abc import Mapping

from evalharness.engines.adapter_check import Proof
from evalharness.errors import ModelError
from evalharness.openai_api.probes import LEAST_CHANGE, PROMPTS, TOKENS
from evalharness.records.requests import Failure, Generate, Generation, Rank, Ranking, Request, Response

Answers = Mapping[str, Response | Failure]
CHOICES = (" the", " a", " not")
REQUESTS: tuple[Request, ...] = (
    *(Generate(prompt=prompt, stop=(), max_tokens=TOKENS) for prompt in PROMPTS[::2]),
    *(Rank(pairs=tuple((prompt, choice) for choice in CHOICES)) for prompt in PROMPTS[1::2]),
)
FIX = "have the engine apply it, or pass --allow-noop for a checkpoint before its first step"


def proof_by_answers(model: str, base: Answers, own: Answers, again: Answers, allow_noop: bool) -> Proof:
    """Prove that an adapter is applied: compare the answers of a model (`own`) with those of its `base` to `REQUESTS`.

    `again`: the model's answers a second time, which show the engine's own noise. Without log-probabilities, equal
    texts prove nothing. Raises ModelError if every answer is the base's, within LEAST_CHANGE nats or twice the noise,
    unless `allow_noop`.
    """
    moves, noise = _moves(own, base), _moves(own, again)
    moved = max(moves, default=0.0)
    if moved > max(LEAST_CHANGE, 2 * max(noise, default=0.0)) or _other_texts(own, base) - _other_texts(own, again):
        change = max(moved, LEAST_CHANGE)
        return Proof(change, change, 0.0)
    if not moves:
        return Proof(0.0, 0.0, 0.0, available=False)
    if not allow_noop:
        what = f"answers {len(REQUESTS)} short requests as its base does: its adapter is not applied, or untrained"
        raise ModelError(model, what, FIX)
    return Proof(0.0, 0.0, 0.0)


def _moves(one: Answers, other: Answers) -> list[float]:
    """List by how many nats each continuation's log-probability differs, if both answers have one."""
    pairs = [(one.get(request.id), other.get(request.id)) for request in REQUESTS]
    return [
        abs(there - here)
        for a, b in pairs
        if isinstance(a, Ranking) and isinstance(b, Ranking)
        for there, here in zip(a.logprobs, b.logprobs, strict=True)
    ]


def _other_texts(one: Answers, other: Answers) -> set[str]:
    """Return the ids of the requests to which both wrote texts that differ."""
    pairs = {request.id: (one.get(request.id), other.get(request.id)) for request in REQUESTS}
    return {
        key
        for key, (a, b) in pairs.items()
        if isinstance(a, Generation) and isinstance(b, Generation) and a.text != b.text
    }
