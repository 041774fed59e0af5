"""Count the trained parameters of each LoRA matrix, r(d + k) in A and B, against its d × k weights."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from evalharness.checkpoints import files
from evalharness.checkpoints.files import TensorFacts
from evalharness.records.models import Checkpoint

PART = re.compile(r"(.+)\.(lora_embedding_[AB]|lora_[AB])(\.weight)?")
WRAPPER = "base_model.model."  # before the names in an adapter's file


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraMatrix:
    """One matrix of d × k weights under LoRA of rank r.

    `beside` is the number of trained parameters beside A and B (DoRA's magnitudes, biases). `in_base` is the matrix's
    shape in the base's files; None if they do not have it by this name.
    """

    module: str
    d: int
    k: int
    r: int
    beside: int
    in_base: tuple[int, ...] | None

    @property
    def weights(self) -> int:
        """Return the number of weights in the matrix, d × k."""
        return self.d * self.k

    @property
    def trainable(self) -> int:
        """Return the number of parameters that LoRA trains instead of the matrix's weights."""
        return self.r * (self.d + self.k) + self.beside

    def __str__(self) -> str:
        a, b = f"A {self.r} × {self.k} = {self.r * self.k:,}", f"B {self.d} × {self.r} = {self.d * self.r:,}"
        beside = f", beside them {self.beside:,}" if self.beside else ""
        whole = f"{self.d} × {self.k} = {self.weights:,} weights"
        return f"{whole}; r = {self.r}: {a}, {b}{beside}, together {self.trainable:,}, {fewer([self])}"


def lora_matrices(checkpoint: Checkpoint) -> tuple[LoraMatrix, ...]:
    """Return the matrices of a LoRA, in the order of their names.

    They are read from names and shapes in its and its base's files. Returns () for any other checkpoint, and for a
    LoRA on parameters that are no module's weight.
    """
    if checkpoint.adapter != "LORA":
        return ()
    if files.read_json(checkpoint.path / files.ADAPTER_CONFIG).get("target_parameters"):
        return ()
    stored = files.tensors(checkpoint.path / files.ADAPTER)
    return matrices_of(stored, files.all_tensors(files.weight_files(checkpoint.weights)))


def matrices_of(stored: Mapping[str, TensorFacts], base: Mapping[str, TensorFacts]) -> tuple[LoraMatrix, ...]:
    """Return the matrices of a LoRA from the tensors of its file and of its base's."""
    modules: dict[str, dict[str, TensorFacts]] = {}
    for name, facts in stored.items():
        if part := PART.fullmatch(name):
            modules.setdefault(part[1], {})[part[2][-1]] = facts
    matrices = []
    for module, parts in sorted(modules.items()):
        if set(parts) == {"A", "B"} and len(parts["A"].shape) > 1 and parts["B"].shape:
            beside = sum(f.size for name, f in stored.items() if name.startswith(f"{module}.lora_")) - sum(
                f.size for f in parts.values()
            )
            r, k = parts["A"].shape[0], prod(parts["A"].shape[1:])
            shape = _in_base(module, base)
            matrices.append(LoraMatrix(module=module, d=parts["B"].shape[0], k=k, r=r, beside=beside, in_base=shape))
    return tuple(matrices)


def _in_base(module: str, base: Mapping[str, TensorFacts]) -> tuple[int, ...] | None:
    """Return the shape of a module's weight in the base's files, which may leave out the first parts of its name."""
    parts = module.removeprefix(WRAPPER).split(".")
    names = (".".join([*parts[start:], "weight"]) for start in range(len(parts)))
    return next((base[name].shape for name in names if name in base), None)


def fewer(matrices: Sequence[LoraMatrix]) -> str:
    """Return by how many percent the trained values are fewer (or more) than the weights, in words."""
    share = 1 - sum(each.trainable for each in matrices) / max(1, sum(each.weights for each in matrices))
    return f"{abs(share):.0%}".replace("%", f" % {'fewer' if share >= 0 else 'more'}")


def lora_facts(matrices: Sequence[LoraMatrix]) -> dict[str, Any]:
    """Return the totals and the matrices of a LoRA as JSON."""
    weights, trainable = (sum(values) for values in zip(*((m.weights, m.trainable) for m in matrices), strict=True))
    each = [asdict(m) | {"weights": m.weights, "trainable": m.trainable} for m in matrices]
    return {"weights": weights, "trainable": trainable, "fewer": 1 - trainable / max(1, weights), "matrices": each}


def in_short(matrices: Sequence[LoraMatrix]) -> str:
    """Describe all matrices of a LoRA in one line."""
    ranks = sorted({each.r for each in matrices})
    rank = f"r = {ranks[0]}" if len(ranks) == 1 else f"r = {ranks[0]} to {ranks[-1]}"
    weights, trainable = sum(each.weights for each in matrices), sum(each.trainable for each in matrices)
    number = f"{len(matrices)} matrices" if len(matrices) > 1 else "1 matrix"
    return f"{number} of {weights:,} weights; {rank}: {trainable:,} trained in their place, {fewer(matrices)}"
