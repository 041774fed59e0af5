"""One line of a table of drifts: how far a candidate drifted, and what a suite says it lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NEUTRAL, OUTPUTS, INPUTS = "neutral", "outputs", "inputs"  # kinds of text; columns of the table
KINDS = (NEUTRAL, OUTPUTS, INPUTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCandidate:
    """One candidate's line of the table.

    `target`, `method`, `rate` (of learning) and `replay` (the share of replayed rows) say how it was trained. `kl`
    maps each kind of text that was measured to KL(base ‖ candidate), in nats a token. `margins` is the suite's change
    in margins, `ability` the mean change of its scores (general ability); + is better. `neutral_texts` and `run` are
    digests of the neutral texts and of the run's results.
    """

    base: str
    base_fingerprint: str
    suite: str
    target: str
    method: str
    rate: float
    replay: float
    seed: int
    neutral_texts: str
    kl: Mapping[str, float]
    margins: float
    ability: float | None
    run: str

    @property
    def recipe(self) -> tuple[object, ...]:
        """Return the training's settings without its seed."""
        return (self.target, self.method, self.rate, self.replay)
