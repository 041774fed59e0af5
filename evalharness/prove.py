"""An opened engine and a few prompts to a Proof that the adapter really answers, by both code paths, and that padding moves nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalharness.engines.base import Engine
from evalharness.errors import ModelError
from evalharness.records import Checkpoint

Path = Literal["score", "decode"]
PATHS: tuple[tuple[Path, str], ...] = (("score", "scoring"), ("decode", "decoding"))
EXACT = 1e-3  # logits, float32: what padding may move
COARSE = 0.05  # of the largest logit, for types of fewer bits


@dataclass(frozen=True, slots=True)
class Proof:
    """Largest change of any logit: by the adapter in either path (0 for full weights, which have none to switch), and by padding."""

    scoring: float
    decoding: float
    padding: float


def prove(engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], allow_noop: bool) -> Proof:
    """Ask with the adapter on and off, alone and in a padded batch. `prompts` should differ in length.

    Raises ModelError where a logit is NaN or infinite, where the adapter changes no logit in scoring or in decoding (unless `allow_noop`:
    a checkpoint before its first step), and where an answer depends on the other rows of its batch.
    """
    if not prompts:
        raise ValueError("prove needs at least one prompt")
    together = [*prompts, prompts[0][: max(1, len(prompts[0]) // 3)]]  # a short one, so that there is padding
    on = {path: _logits(engine, checkpoint, together, path, adapter=True) for path, _ in PATHS}
    changes = dict.fromkeys(on, 0.0)
    if checkpoint.adapter:
        changes = {path: _change(on[path], _logits(engine, checkpoint, together, path, adapter=False)) for path, _ in PATHS}
        still = [words for path, words in PATHS if changes[path] == 0.0]
        if still and not allow_noop:
            what = f"the adapter changes no logit in {' or '.join(still)}: it is not attached, or untrained"
            raise ModelError(checkpoint.name, what, "save the trained adapter again, or pass --allow-noop for a checkpoint before its first step")
    padding = max(_padding(engine, checkpoint, together, on[path], path) for path, _ in PATHS)
    return Proof(changes["score"], changes["decode"], padding)


def _logits(engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], path: Path, adapter: bool) -> NDArray[np.float64]:
    logits = engine.next_token_logits(prompts, adapter=adapter, path=path)
    if np.isnan(logits).any() or np.isposinf(logits).any() or not np.isfinite(logits).any(axis=1).all():
        state = "" if adapter else " with its adapter off"
        raise ModelError(checkpoint.name, f"non-finite logits in {dict(PATHS)[path]}{state}", "the weights overflow: use --dtype float32 or bfloat16")
    return logits


def _change(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Largest difference; entries that are -inf in both (tokens ruled out) do not differ."""
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.where(one == other, 0.0, np.abs(one - other))))


def _padding(engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], together: NDArray[np.float64], path: Path) -> float:
    """Largest difference between a prompt asked alone and in the batch `together`."""
    alone = np.concatenate([_logits(engine, checkpoint, [prompt], path, adapter=True) for prompt in prompts])
    moved = _change(alone, together)
    exact = engine.info.details.get("dtype", "float32") == "float32"
    bound = EXACT if exact else COARSE * float(np.abs(together[np.isfinite(together)]).max())
    if moved > bound:
        what = f"a logit in {dict(PATHS)[path]} moves by {moved:.2g} when its prompt is padded in a batch"
        raise ModelError(checkpoint.name, what, "this architecture cannot be batched: use --batch-size 1")
    return moved
