"""Refuse candidates that are their base over again, and say so of those that a job accepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evalharness.analysis.baseline import Baseline
from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.same_weights import same_weights
from evalharness.engines.adapter_check import NO_LOGIT, Proof
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

COPY = "its base's very weights"
REFUSED = "is the very weights of its base {}, and nothing beside them that could change an answer is another"
FIX = "give the trained checkpoint, or pass --allow-noop to compare a model with itself"


def copies_of(
    base: Checkpoint | Baseline, candidates: Sequence[Checkpoint], allow_noop: bool
) -> tuple[dict[str, str], tuple[str, ...]]:
    """Say which candidates are their base over again, by name, and notices: of these, and of those whose weights alone
    are the base's, which may answer otherwise.

    Raises ModelError for the first that is its base, unless `allow_noop`.
    """
    copies = [candidate.name for candidate in candidates if _is_copy(candidate, base)]
    if copies and not allow_noop:
        raise ModelError(copies[0], REFUSED.format(base.name), FIX)
    notices = [f"{name} is {COPY}" for name in copies]
    notices += _retold(base, [each for each in candidates if each.name not in copies])
    return dict.fromkeys(copies, COPY), tuple(notices)


def without_effect(candidates: Sequence[Checkpoint], proofs: Mapping[str, Proof]) -> dict[str, str]:
    """Say of which candidates the adapter changes no logit, by name."""
    adapters = [each.name for each in candidates if each.adapter]
    return {name: NO_LOGIT for name in adapters if name in proofs and proofs[name].still}


def _is_copy(candidate: Checkpoint, base: Checkpoint | Baseline) -> bool:
    """Is everything that can change an answer the base's? Files may have other names, and shards other sizes."""
    if isinstance(base, Baseline):
        return candidate.fingerprint == base.row.fingerprint
    return candidate.fingerprint == base.fingerprint or (
        _has_weights_of(candidate, base) and not fingerprint.differences(candidate.path, base.path)
    )


def _has_weights_of(candidate: Checkpoint, base: Checkpoint) -> bool:
    alike = (candidate.parameters, candidate.precision) == (base.parameters, base.precision)
    return alike and not candidate.adapter and same_weights(candidate.path, base.path)


def _retold(base: Checkpoint | Baseline, candidates: Sequence[Checkpoint]) -> list[str]:
    """Say of candidates with the base's weights what else differs from it."""
    if isinstance(base, Baseline):
        return []
    return [
        f"{each.name}: its weights are its base's very weights; what differs from {base.name} is "
        + ", ".join(fingerprint.differences(each.path, base.path))
        for each in candidates
        if _has_weights_of(each, base)
    ]
