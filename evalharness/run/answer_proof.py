"""Prove by answers that an adapter is applied, if the engine cannot switch it off."""

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
    """Return the proof that a model's adapter is applied; if `proof` is not available, one by comparing answers.

    The model's answers are compared with its base's, which is opened unless its answers are stored. Raises ModelError
    if the adapter changes no answer.
    """
    if proof.available or base is None or checkpoint.adapter in ("", PLACEBO):
        return proof
    own, again = _ask_probes(open_engine(), False), _ask_probes(open_engine(), True)
    by_answers = proof_by_answers(checkpoint.name, collect(REQUESTS, base), own, again, allow_noop)
    return proof if not by_answers.available else by_answers


def _ask_probes(engine: Engine, backwards: bool) -> Answers:
    """Send all probe requests to the engine. In reverse order (`backwards`) the batches differ, which shows how far the
    engine's own answers vary.
    """
    return ask(engine, {request.id: request for request in (reversed(REQUESTS) if backwards else REQUESTS)})
