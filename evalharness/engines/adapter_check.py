"""Prove that a model's adapter answers by both code paths and padding moves nothing, and measure what a merge moves."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalharness.engines.base import AdapterProbe, Engine, errors_of
from evalharness.errors import ModelError, NotComparableError, UsageError
from evalharness.records.models import Checkpoint
from evalharness.results.structuring import structured

CodePath = Literal["score", "decode"]
PATHS: tuple[tuple[CodePath, str], ...] = (("score", "scoring"), ("decode", "decoding"))
EXACT = 1e-3  # logits, float32: what padding, or an adapter that changes nothing, may move
COARSE = 0.05  # of the largest logit, for types of fewer bits
FEW = 4  # prompts by which the adapter and padding are looked at; a merge is by all
PLACEBO = "PLACEBO"
NO_LOGIT = "the adapter changes no logit"


@dataclass(frozen=True, slots=True)
class Proof:
    """Largest change of any logit: by the adapter in either path (0 for full weights, which have none to switch), by
    padding, and by merging the adapter into its weights (`merged`; None where it cannot be). `changed_tokens`: of how
    many of the `prompts` a merge changes the greedy token. Not `available`: the engine is no AdapterProbe.
    """

    scoring: float
    decoding: float
    padding: float
    merged: float | None = None
    changed_tokens: int = 0
    prompts: int = 0
    available: bool = True

    @property
    def still(self) -> bool:
        """Does an adapter change no logit in scoring or in decoding?"""
        return self.available and 0.0 in (self.scoring, self.decoding)

    @classmethod
    def from_stored(cls, stored: Mapping[str, float]) -> Proof | None:
        """The proof of which `asdict` made this; None where another version did."""
        try:
            return structured(stored, cls, "proof")
        except UsageError:
            return None


def prove(engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], allow_noop: bool) -> Proof:
    """Ask with the adapter on and off, alone and in a padded batch, and merged. `prompts` should differ in length;
    where memory does not suffice for one of them, the shorter half is asked.

    Raises ModelError where a logit is NaN or infinite, where the adapter changes no logit in scoring or in decoding
    (unless `allow_noop`: a checkpoint before its first step), where a placebo changes one by more than rounding, and
    where an answer depends on the other rows of its batch.
    """
    if not prompts:
        raise ValueError("prove needs at least one prompt")
    if not isinstance(engine, AdapterProbe):
        return Proof(0.0, 0.0, 0.0, available=False)
    try:
        return _proof(engine, checkpoint, prompts, allow_noop)
    except NotComparableError as error:
        if len(prompts) == 1 or not isinstance(error.__cause__, MemoryError):
            raise
    return prove(engine, checkpoint, sorted(prompts, key=len)[: len(prompts) // 2], allow_noop)


def _proof(engine: AdapterProbe, checkpoint: Checkpoint, prompts: Sequence[str], allow_noop: bool) -> Proof:
    together = [*prompts[:FEW], prompts[0][: max(1, len(prompts[0]) // 3)]]  # a short one, so that there is padding
    on = {path: _logits(engine, checkpoint, together, path, adapter=True) for path, _ in PATHS}
    changes = dict.fromkeys(on, 0.0)
    if checkpoint.adapter:
        changes = {
            path: _change(on[path], _logits(engine, checkpoint, together, path, adapter=False)) for path, _ in PATHS
        }
        if checkpoint.adapter == PLACEBO:
            _check_placebo(engine, checkpoint, on, changes)
        elif not allow_noop:
            _check_change(checkpoint, changes)
    padding = max(_padding(engine, checkpoint, together, on[path], path) for path, _ in PATHS)
    if not checkpoint.adapter or checkpoint.adapter == PLACEBO:
        return Proof(changes["score"], changes["decode"], padding)
    return Proof(changes["score"], changes["decode"], padding, *_merge(engine, checkpoint, prompts))


def remark(proof: Proof, checkpoint: Checkpoint, dtype: str) -> str:
    """What a user should know: that nothing shows the adapter to answer, that it changes nothing, or what a merge of it
    into weights of type `dtype` moves; empty where there is nothing to say.
    """
    if not proof.available:
        unproven = "its adapter is unproven: this engine cannot show what it answers without it"
        return unproven if checkpoint.adapter else ""
    if checkpoint.adapter and checkpoint.adapter != PLACEBO and proof.still:
        return f"{NO_LOGIT}: it answers as its base does"
    if not proof.changed_tokens:
        return ""
    what = f"merged into its weights in {dtype}, {proof.changed_tokens} of {proof.prompts} greedy tokens change"
    return f"{what} (a logit moves by up to {proof.merged:.2g}); serve it unmerged, or evaluate the merged weights"


def _check_change(checkpoint: Checkpoint, changes: dict[CodePath, float]) -> None:
    """An adapter must change a logit in either path."""
    still = [words for path, words in PATHS if changes[path] == 0.0]
    if still:
        what = f"{NO_LOGIT} in {' or '.join(still)}: it is not attached, or untrained"
        raise ModelError(
            checkpoint.name,
            what,
            "save the trained adapter again, or pass --allow-noop for a checkpoint before its first step",
        )


def _check_placebo(
    engine: AdapterProbe,
    checkpoint: Checkpoint,
    on: dict[CodePath, NDArray[np.float64]],
    changes: dict[CodePath, float],
) -> None:
    """A placebo must change none."""
    for path, words in PATHS:
        if changes[path] > _bound(engine, on[path]):
            what = f"an adapter that changes nothing moves a logit in {words} by {changes[path]:.2g}"
            raise ModelError(
                checkpoint.name,
                what,
                "the way in which adapters are attached is at fault here: differences of adapters would be, too",
            )


def _merge(engine: AdapterProbe, checkpoint: Checkpoint, prompts: Sequence[str]) -> tuple[float | None, int, int]:
    """Largest change of a logit by merging, how many greedy tokens change, and of how many prompts; (None, 0, 0) where
    the adapter cannot be merged.
    """
    furthest, changed = 0.0, 0
    for start in range(0, len(prompts), FEW):
        some = prompts[start : start + FEW]
        apart = _logits(engine, checkpoint, some, "score", adapter=True)
        try:
            merged = engine.next_token_logits(some, adapter=True, path="score", merged=True)
        except Exception:  # Unmergeable, and whatever peft raises half way: a merge informs, and ends no run
            return None, 0, 0
        for row, other in zip(apart, merged, strict=True):
            broken = bool(np.isnan(other).any() or not np.isfinite(other).any())  # no reason to refuse it unmerged
            furthest = max(furthest, math.inf if broken else _change(row, other))
            changed += broken or int(row.argmax()) != int(other.argmax())
    return furthest, changed, len(prompts)


def _logits(
    engine: AdapterProbe, checkpoint: Checkpoint, prompts: Sequence[str], path: CodePath, adapter: bool
) -> NDArray[np.float64]:
    with errors_of(engine.info.name, "next_token_logits"):
        logits = engine.next_token_logits(prompts, adapter=adapter, path=path)
    if np.isnan(logits).any() or np.isposinf(logits).any() or not np.isfinite(logits).any(axis=1).all():
        state = "" if adapter else " with its adapter off"
        raise ModelError(
            checkpoint.name,
            f"non-finite logits in {dict(PATHS)[path]}{state}",
            "the weights overflow: use --dtype float32 or bfloat16",
        )
    return logits


def _change(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Largest difference; entries that are -inf in both (tokens ruled out) do not differ."""
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.where(one == other, 0.0, np.abs(one - other))))


def _bound(engine: AdapterProbe, logits: NDArray[np.float64]) -> float:
    """What rounding may move."""
    exact = engine.info.details.get("dtype", "float32") == "float32"
    return EXACT if exact else COARSE * float(np.abs(logits[np.isfinite(logits)]).max())


def _padding(
    engine: AdapterProbe, checkpoint: Checkpoint, prompts: Sequence[str], together: NDArray[np.float64], path: CodePath
) -> float:
    """Largest difference between a prompt asked alone and in the batch `together`."""
    alone = np.concatenate([_logits(engine, checkpoint, [prompt], path, adapter=True) for prompt in prompts])
    moved = _change(alone, together)
    if moved > _bound(engine, together):
        what = f"a logit in {dict(PATHS)[path]} moves by {moved:.2g} when its prompt is padded in a batch"
        raise ModelError(checkpoint.name, what, "this architecture cannot be batched: use --batch-size 1")
    return moved
