"""An opened engine and a few prompts to a Proof: the adapter answers by both code paths, padding moves nothing, and so
much a merge would move.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalharness.engines.base import Engine
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

Path = Literal["score", "decode"]
PATHS: tuple[tuple[Path, str], ...] = (("score", "scoring"), ("decode", "decoding"))
EXACT = 1e-3  # logits, float32: what padding, or an adapter that changes nothing, may move
COARSE = 0.05  # of the largest logit, for types of fewer bits
FEW = 4  # prompts by which the adapter and padding are looked at; a merge is by all
PLACEBO = "PLACEBO"


@dataclass(frozen=True, slots=True)
class Proof:
    """Largest change of any logit: by the adapter in either path (0 for full weights, which have none to switch), by
    padding, and by merging the adapter into its weights (`merged`; None where it cannot be). `moved`: of how many of
    the `asked` prompts a merge changes the greedy token.
    """

    scoring: float
    decoding: float
    padding: float
    merged: float | None = None
    moved: int = 0
    asked: int = 0


def prove(engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], allow_noop: bool) -> Proof:
    """Ask with the adapter on and off, alone and in a padded batch, and merged. `prompts` should differ in length.

    Raises ModelError where a logit is NaN or infinite, where the adapter changes no logit in scoring or in decoding
    (unless `allow_noop`: a checkpoint before its first step), where a placebo changes one by more than rounding, and
    where an answer depends on the other rows of its batch.
    """
    if not prompts:
        raise ValueError("prove needs at least one prompt")
    together = [*prompts[:FEW], prompts[0][: max(1, len(prompts[0]) // 3)]]  # a short one, so that there is padding
    on = {path: _logits(engine, checkpoint, together, path, adapter=True) for path, _ in PATHS}
    changes = dict.fromkeys(on, 0.0)
    if checkpoint.adapter:
        changes = {
            path: _change(on[path], _logits(engine, checkpoint, together, path, adapter=False)) for path, _ in PATHS
        }
        if checkpoint.adapter == PLACEBO:
            _nothing(engine, checkpoint, on, changes)
        elif not allow_noop:
            _something(checkpoint, changes)
    padding = max(_padding(engine, checkpoint, together, on[path], path) for path, _ in PATHS)
    if not checkpoint.adapter or checkpoint.adapter == PLACEBO:
        return Proof(changes["score"], changes["decode"], padding)
    return Proof(changes["score"], changes["decode"], padding, *_merge(engine, checkpoint, prompts))


def remark(proof: Proof, dtype: str) -> str:
    """What a user should know who means to ship the adapter merged into weights of type `dtype`; empty where a merge
    moves no decision.
    """
    if not proof.moved:
        return ""
    what = f"merged into its weights in {dtype}, {proof.moved} of {proof.asked} greedy tokens change (a logit moves by up to {proof.merged:.2g})"
    return f"{what}; serve it unmerged, or evaluate the merged weights"


def _something(checkpoint: Checkpoint, changes: dict[Path, float]) -> None:
    """An adapter must change a logit in either path."""
    still = [words for path, words in PATHS if changes[path] == 0.0]
    if still:
        what = f"the adapter changes no logit in {' or '.join(still)}: it is not attached, or untrained"
        raise ModelError(
            checkpoint.name,
            what,
            "save the trained adapter again, or pass --allow-noop for a checkpoint before its first step",
        )


def _nothing(
    engine: Engine, checkpoint: Checkpoint, on: dict[Path, NDArray[np.float64]], changes: dict[Path, float]
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


def _merge(engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str]) -> tuple[float | None, int, int]:
    """Largest change of a logit by merging, how many greedy tokens change, of how many; (None, 0, 0) where the adapter
    cannot be merged.
    """
    furthest, moved = 0.0, 0
    for start in range(0, len(prompts), FEW):
        some = prompts[start : start + FEW]
        apart = _logits(engine, checkpoint, some, "score", adapter=True)
        try:
            merged = engine.next_token_logits(some, adapter=True, path="score", merged=True)
        except Exception:  # Unmergeable, and whatever peft raises half way: a merge informs, and ends no run
            return None, 0, 0
        broken = np.isnan(merged).any(axis=1) | ~np.isfinite(merged).any(
            axis=1
        )  # of no use, and no reason to refuse it unmerged
        furthest = max(
            furthest,
            *(math.inf if bad else _change(row, other) for row, other, bad in zip(apart, merged, broken, strict=True)),
        )
        moved += int((broken | (apart.argmax(axis=1) != merged.argmax(axis=1))).sum())
    return furthest, moved, len(prompts)


def _logits(
    engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], path: Path, adapter: bool
) -> NDArray[np.float64]:
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


def _bound(engine: Engine, logits: NDArray[np.float64]) -> float:
    """What rounding may move."""
    exact = engine.info.details.get("dtype", "float32") == "float32"
    return EXACT if exact else COARSE * float(np.abs(logits[np.isfinite(logits)]).max())


def _padding(
    engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], together: NDArray[np.float64], path: Path
) -> float:
    """Largest difference between a prompt asked alone and in the batch `together`."""
    alone = np.concatenate([_logits(engine, checkpoint, [prompt], path, adapter=True) for prompt in prompts])
    moved = _change(alone, together)
    if moved > _bound(engine, together):
        what = f"a logit in {dict(PATHS)[path]} moves by {moved:.2g} when its prompt is padded in a batch"
        raise ModelError(checkpoint.name, what, "this architecture cannot be batched: use --batch-size 1")
    return moved
