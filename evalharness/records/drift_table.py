"""One line of a table of drifts: how far a candidate drifted, and what a suite says it lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

NEUTRAL, OUTPUTS, INPUTS = "neutral", "outputs", "inputs"  # kinds of text; columns of the table
KINDS = (NEUTRAL, OUTPUTS, INPUTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class TableCandidate:
    """One line of the table.

    `kl`: kind of text -> KL(base ‖ candidate), nats a token, of the kinds measured; `margins`: the suite's change in
    margins, `ability`: the mean change of its scores (general ability), + is better. `replay`: the share of replayed
    rows; `neutral_texts`, `run`: digests of the neutral texts and of the run's results.
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
