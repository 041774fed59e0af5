"""Prove by logits that a model's adapter is applied and that padding changes nothing; measure the effect of a merge."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalharness.checkpoints.kinds import PLACEBO
from evalharness.engines.base import AdapterProbe, AnswersPlainly, Engine, MergeProbe, errors_of
from evalharness.errors import ModelError, NotComparableError, UsageError
from evalharness.records.models import Checkpoint
from evalharness.results.structuring import structure_json

CodePath = Literal["score", "decode"]
PATHS: tuple[tuple[CodePath, str], ...] = (("score", "scoring"), ("decode", "decoding"))
EXACT = 1e-3  # largest change of a float32 logit by padding, or by an adapter that changes nothing
COARSE = 0.05  # the same for types of fewer bits, as a share of the largest logit
SHORT, LONGER = 32, 64  # characters of the two texts: some 8 and 16 tokens, so that a batch of both has padding
FEW = 4  # prompts that the texts are cut from, and whole prompts in one batch
NO_LOGIT = "the adapter changes no logit"


@dataclass(frozen=True, slots=True)
class Proof:
    """The largest changes of any logit that a check of one model measured.

    `scoring` and `decoding`: by the adapter, in the code that scores and in the code that decodes; 0 for full weights.
    `padding`: by the padding of a batch. `merged`: by merging the adapter into the weights; None if it cannot be
    merged. `positions`: how many positions were compared for the merge; at `changed_tokens` of them the greedy token
    changes. `available`: False if the engine cannot switch its adapter off (it is no AdapterProbe), so that nothing was
    measured. `plain_path`: why the engine answers by its slower general path; "" if it does not.
    """

    scoring: float
    decoding: float
    padding: float
    merged: float | None = None
    changed_tokens: int = 0
    positions: int = 0
    available: bool = True
    plain_path: str = ""

    @property
    def still(self) -> bool:
        """Return whether an adapter changes no logit in scoring or in decoding."""
        return self.available and 0.0 in (self.scoring, self.decoding)

    @classmethod
    def from_stored(cls, stored: Mapping[str, object]) -> Proof | None:
        """Read a proof from the dict that `asdict` made of it; None for a dict of another version."""
        try:
            return structure_json(stored, cls, "proof")
        except UsageError:
            return None


def prove(engine: Engine, checkpoint: Checkpoint, prompts: Sequence[str], allow_noop: bool) -> Proof:
    """Prove that a model's adapter is applied and that padding changes nothing; measure what a merge would change.

    The logits after the ends of a few prompts are compared: adapter on and off, alone and padded, beside and merged. If
    the adapter changes none of them, all `prompts` are compared whole, or, if memory does not suffice, the shorter half
    of them.

    Raises ModelError if a logit is NaN or infinite, if the adapter changes no logit in scoring or in decoding (unless
    `allow_noop`: a checkpoint before its first step), if a placebo (an adapter of zeros) changes a logit by more than
    rounding, or if an answer depends on the other rows of its batch.
    """
    if not prompts:
        raise ValueError("prove needs at least one prompt")
    try:
        proof = (
            _proof(engine, checkpoint, prompts, allow_noop)
            if isinstance(engine, AdapterProbe)
            else Proof(0.0, 0.0, 0.0, available=False)
        )
        return replace(proof, plain_path=engine.plain_because) if isinstance(engine, AnswersPlainly) else proof
    except NotComparableError as error:
        if len(prompts) == 1 or not isinstance(error.__cause__, MemoryError):
            raise
    return prove(engine, checkpoint, sorted(prompts, key=len)[: len(prompts) // 2], allow_noop)


def _proof(engine: AdapterProbe, checkpoint: Checkpoint, prompts: Sequence[str], allow_noop: bool) -> Proof:
    texts = _ends(prompts)
    alone = texts[:1]  # the shorter one, which is padded in a batch of both
    on = {path: _logits(engine, checkpoint, alone, path, adapter=True) for path, _ in PATHS}
    changes = dict.fromkeys(on, 0.0)
    if checkpoint.adapter:
        off = {path: _logits(engine, checkpoint, alone, path, adapter=False) for path in on}
        changes = {path: _change(on[path], off[path]) for path in on}
    if checkpoint.adapter == PLACEBO:
        _check_placebo(engine, checkpoint, on, changes)
    elif checkpoint.adapter:
        still = [path for path in on if changes[path] == 0.0]
        changes |= {path: _change_of_whole(engine, checkpoint, prompts, path) for path in still}
        if not allow_noop:
            _check_change(checkpoint, changes)
    padding = max(_padding(engine, checkpoint, texts, on[path], path) for path in on)
    proof = Proof(changes["score"], changes["decode"], padding)
    if not checkpoint.adapter or checkpoint.adapter == PLACEBO or not isinstance(engine, MergeProbe):
        return proof
    return _with_merge(proof, engine, texts)


def _ends(prompts: Sequence[str]) -> list[str]:
    """Cut a short and a longer text from the ends of prompts, because prompts often share their beginnings (few-shot
    examples). The short one has at most half of the longer one's characters.
    """
    by_length = sorted(prompts[:FEW], key=len)
    longer = by_length[-1][-LONGER:]
    return [by_length[0][-max(1, min(SHORT, len(longer) // 2)) :], longer]


def remark(proof: Proof, checkpoint: Checkpoint, dtype: str) -> str:
    """Return a notice: that the adapter is unproven, that it changes nothing, or what a merge into weights of type
    `dtype` changes; and that the engine answers by its plain path. "" if there is nothing to say.
    """
    remarks = [_remark_on_adapter(proof, checkpoint, dtype)]
    if proof.plain_path:
        remarks.append(f"answered by the plain path: {proof.plain_path}")
    return "; ".join(filter(None, remarks))


def _remark_on_adapter(proof: Proof, checkpoint: Checkpoint, dtype: str) -> str:
    if not proof.available:
        unproven = "its adapter is unproven: this engine cannot answer without it for comparison"
        return unproven if checkpoint.adapter else ""
    if checkpoint.adapter and checkpoint.adapter != PLACEBO and proof.still:
        return f"{NO_LOGIT}: it answers as its base does"
    if not proof.changed_tokens:
        return ""
    what = f"merged into its weights in {dtype}, {proof.changed_tokens} of {proof.positions} greedy tokens change"
    return f"{what} (a logit moves by up to {proof.merged:.2g}); serve it unmerged, or evaluate the merged weights"


def _check_change(checkpoint: Checkpoint, changes: dict[CodePath, float]) -> None:
    """Raise ModelError if an adapter changes no logit in one of the paths."""
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
    """Raise ModelError if a placebo changes a logit by more than rounding."""
    for path, words in PATHS:
        if changes[path] > _bound(engine, on[path]):
            what = f"an adapter that changes nothing moves a logit in {words} by {changes[path]:.2g}"
            raise ModelError(
                checkpoint.name,
                what,
                "the engine attaches adapters wrongly, and real adapters, too: use another engine",
            )


def _change_of_whole(engine: AdapterProbe, checkpoint: Checkpoint, prompts: Sequence[str], path: CodePath) -> float:
    """Return the largest change by the adapter in the first whole prompts that show one; 0 if none does. An adapter may
    act on some tokens only, as one that trains new tokens does.
    """
    for start in range(0, len(prompts), FEW):
        some = prompts[start : start + FEW]
        on, off = (_logits(engine, checkpoint, some, path, adapter) for adapter in (True, False))
        if change := _change(on, off):
            return change
    return 0.0


def _with_merge(proof: Proof, engine: MergeProbe, texts: Sequence[str]) -> Proof:
    """Add the largest change of a logit by merging, and the number of changed greedy tokens; return the proof as it is
    if the adapter cannot be merged.
    """
    try:
        apart, merged = engine.merge_logits(texts)
    except Exception:  # Unmergeable, or any error of peft: the merge is only for information
        return proof
    broken = np.isnan(merged).any(axis=1) | ~np.isfinite(merged).any(axis=1)  # the unmerged model may still be used
    changed = broken | (apart.argmax(axis=1) != merged.argmax(axis=1))
    furthest = math.inf if broken.any() else _change(apart, merged)
    return replace(proof, merged=furthest, changed_tokens=int(changed.sum()), positions=len(apart))


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
    """Return the largest difference; entries that are -inf in both (tokens ruled out) do not differ."""
    with np.errstate(invalid="ignore"):
        return float(np.nanmax(np.where(one == other, 0.0, np.abs(one - other))))


def _bound(engine: AdapterProbe, logits: NDArray[np.float64]) -> float:
    """Return the largest change of a logit that rounding may cause."""
    exact = engine.info.details.get("dtype", "float32") == "float32"
    return EXACT if exact else COARSE * float(np.abs(logits[np.isfinite(logits)]).max())


def _padding(
    engine: AdapterProbe, checkpoint: Checkpoint, texts: Sequence[str], alone: NDArray[np.float64], path: CodePath
) -> float:
    """Return the largest difference between the logits of the first text `alone` and in a batch of all texts."""
    together = _logits(engine, checkpoint, texts, path, adapter=True)
    moved = _change(alone, together[:1])
    if moved > _bound(engine, together):
        what = f"a logit in {dict(PATHS)[path]} moves by {moved:.2g} when its prompt is padded in a batch"
        raise ModelError(checkpoint.name, what, "this architecture cannot be batched: use --batch-size 1")
    return moved
