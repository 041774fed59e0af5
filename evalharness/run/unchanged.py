"""Refuse candidates that equal their base, or report them if the job accepts them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

from evalharness.analysis.baseline import Baseline
from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.same_weights import same_weights
from evalharness.checkpoints.served import answer_alike
from evalharness.engines.adapter_check import NO_LOGIT, Proof
from evalharness.errors import ModelError
from evalharness.openai_api.probes import PROMPTS
from evalharness.records.models import Checkpoint

COPY = "its base's very weights"
REFUSED = "has the very weights of its base {}, and no other file that could change an answer differs"
ALIKE = "it answers as its base does"
SAME_ANSWERS = (
    "gives the answers of its base {} to all {} probes, within the server's noise: its adapter is not applied"
)
TEXTS_ALONE = (
    "gives the texts of its base {} to all {} probes, and its server gives no log-probabilities to tell them apart"
)
NOT_KNOWN = (
    "it is not compared with its base's own answers: {} holds no answers to the probes; whether its adapter is applied "
    "is not known"
)
FIX_SERVED = "have the server apply its adapter, or pass --allow-noop to compare them all the same"
FIX = "give the trained checkpoint, or pass --allow-noop to compare a model with itself"


def copies_of(
    base: Checkpoint | Baseline, candidates: Sequence[Checkpoint], allow_noop: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Find the candidates that equal their base. Return them by name, with the reason, and notices about them and about
    candidates that have the base's weights but other files.

    Raises ModelError for the first that equals its base, unless `allow_noop`.
    """
    copies = {each.name: ALIKE if each.endpoint else COPY for each in candidates if _is_copy(each, base)}
    if not allow_noop:
        _refuse([each for each in candidates if each.name in copies], base.name)
    notices = [f"{name}: {what}" if what == ALIKE else f"{name} is {what}" for name, what in copies.items()]
    others = [each for each in candidates if each.name not in copies]
    return copies, (*notices, *_not_known(base, others), *_other_files(base, others), *_twins(others))


def _refuse(copies: Sequence[Checkpoint], base: str) -> None:
    for copy in copies:
        if copy.probes is None:
            raise ModelError(copy.name, REFUSED.format(base), FIX)
        what = SAME_ANSWERS if copy.probes.with_logprobs else TEXTS_ALONE
        raise ModelError(copy.name, what.format(base, len(PROMPTS)), FIX_SERVED)


def without_effect(candidates: Sequence[Checkpoint], proofs: Mapping[str, Proof]) -> dict[str, str]:
    """Return the candidates whose adapter changes no logit, by name, with the reason."""
    adapters = [each.name for each in candidates if each.adapter]
    return {name: NO_LOGIT for name in adapters if name in proofs and proofs[name].still}


def _is_copy(candidate: Checkpoint, base: Checkpoint | Baseline) -> bool:
    """Return whether the candidate equals the base in everything that can change an answer. Names of files and sizes of
    shards may differ.
    """
    if isinstance(base, Baseline):
        return candidate.fingerprint == base.row.fingerprint or answer_alike(candidate.probes, base.probes)
    if candidate.endpoint or base.endpoint:
        return candidate.fingerprint == base.fingerprint or answer_alike(candidate.probes, base.probes)
    return candidate.fingerprint == base.fingerprint or (
        _has_weights_of(candidate, base) and not fingerprint.differences(candidate.path, base.path)
    )


def _has_weights_of(candidate: Checkpoint, base: Checkpoint) -> bool:
    alike = (candidate.parameters, candidate.precision) == (base.parameters, base.precision)
    has_files = not (candidate.adapter or candidate.endpoint or base.endpoint)
    return alike and has_files and same_weights(candidate.path, base.path)


def _twins(candidates: Sequence[Checkpoint]) -> list[str]:
    """Return a notice for each pair of candidates that are one model."""
    return [
        f"{one.name} and {other.name} are one model under two names"
        for one, other in combinations(candidates, 2)
        if one.fingerprint == other.fingerprint or answer_alike(one.probes, other.probes)
    ]


def _not_known(base: Checkpoint | Baseline, candidates: Sequence[Checkpoint]) -> list[str]:
    """Return a notice for each served model whose base has no stored answers to the probes."""
    if not isinstance(base, Baseline) or base.probes is not None:
        return []
    return [f"{each.name}: {NOT_KNOWN.format(base.path)}" for each in candidates if each.endpoint]


def _other_files(base: Checkpoint | Baseline, candidates: Sequence[Checkpoint]) -> list[str]:
    """Return a notice for each candidate with the base's weights: the files that differ."""
    if isinstance(base, Baseline):
        return []
    return [
        f"{each.name}: its weights are its base's very weights; what differs from {base.name} is "
        + ", ".join(fingerprint.differences(each.path, base.path))
        for each in candidates
        if _has_weights_of(each, base)
    ]
