"""Keep what the end of a training needs of the files that it started from, as these were at its start."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.derived import refuse_changed
from evalharness.checkpoints.files import GENERATION_CONFIG, all_tensors, weight_files
from evalharness.records.models import Checkpoint

TRAINED_IN = "float32"  # whatever is trained, master weights and adapters alike
FILE_TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}  # of safetensors; others are saved as trained


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """What files say. `base_weights`: the identity of the base's weights alone; of the weights that training starts
    from, `dtype`: the type that most values have, and `generation_config`: the file, if any.
    """

    base_weights: str
    dtype: str
    generation_config: bytes | None


def origin_of(weights: Checkpoint, base: Checkpoint) -> Origin:
    """Read what of the files will be recorded. Raises ModelError where they are not those any more that were
    recognised.
    """
    generation, values = weights.path / GENERATION_CONFIG, Counter[str]()
    for tensor in all_tensors(weight_files(weights.path)).values():
        values[FILE_TYPES.get(tensor.dtype, TRAINED_IN)] += tensor.size
    origin = Origin(
        base_weights=fingerprint.of_tensors(base.path),
        dtype=values.most_common(1)[0][0],
        generation_config=generation.read_bytes() if generation.is_file() else None,
    )
    for checkpoint in {weights.path: weights, base.path: base}.values():
        refuse_changed(checkpoint)
    return origin
