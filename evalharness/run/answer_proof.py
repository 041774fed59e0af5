"""Have a model and its base answer the same short requests, where the engine cannot switch the adapter off."""

from __future__ import annotations

from collections.abc import Callable

from evalharness.checkpoints.kinds import PLACEBO
from evalharness.engines.adapter_check import Proof
from evalharness.engines.answer_check import REQUESTS, proof_by_answers
from evalharness.engines.base import Engine
from evalharness.records.models import Checkpoint
from evalharness.run.collect import Answers, AnswerSource, ask, collect


def proven_by_answers(
    proof: Proof, checkpoint: Checkpoint, open_engine: Callable[[], Engine], base: AnswerSource | None, allow_noop: bool
) -> Proof:
    """The proof, where it proves something or nothing else can; else that of the answers, for which the base is opened
    unless its own are stored. Raises ModelError where an adapter changes no answer.
    """
    if proof.available or base is None or checkpoint.adapter in ("", PLACEBO):
        return proof
    own, again = _asked(open_engine(), False), _asked(open_engine(), True)
    by_answers = proof_by_answers(checkpoint.name, collect(REQUESTS, base), own, again, allow_noop)
    return proof if not by_answers.available else by_answers


def _asked(engine: Engine, backwards: bool) -> Answers:
    """Backwards batches are others."""
    return ask(engine, {request.id: request for request in (reversed(REQUESTS) if backwards else REQUESTS)})
