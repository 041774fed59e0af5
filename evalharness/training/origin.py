"""Record, at the start of a training, the facts of its original files that saving the candidate needs."""

from __future__ import annotations

from dataclasses import dataclass

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.derived import check_unchanged
from evalharness.checkpoints.files import GENERATION_CONFIG, weight_files
from evalharness.checkpoints.precision import common_dtype
from evalharness.records.models import Checkpoint

TRAINED_IN = "float32"  # the type of all trained values, master weights and adapters alike


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The facts about the files that a training starts from.

    `base_weights`: the digest of the base's weights alone. `dtype`: the type of most values in the weights that
    training starts from. `generation_config`: the content of these weights' file of that name, None without one.
    """

    base_weights: str
    dtype: str
    generation_config: bytes | None


def origin_of(weights: Checkpoint, base: Checkpoint) -> Origin:
    """Read the facts of the files. Raises ModelError if these changed since they were recognised."""
    generation = weights.path / GENERATION_CONFIG
    origin = Origin(
        base_weights=fingerprint.of_tensors(base.path),
        dtype=common_dtype(weight_files(weights.path)),
        generation_config=generation.read_bytes() if generation.is_file() else None,
    )
    for checkpoint in {weights.path: weights, base.path: base}.values():
        check_unchanged(checkpoint)
    return origin
