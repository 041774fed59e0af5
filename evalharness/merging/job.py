"""Define the job of a merge, and check the options that need no file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evalharness.checkpoints.device_names import DTYPES
from evalharness.errors import UsageError, did_you_mean

SUMS = ("linear", "dare_linear", "magnitude_prune")  # weighted sums; the others elect a sign for each value
OF_WEIGHTS = (*SUMS, "ties", "dare_ties")  # on full weights, and on LoRA's A and B separately
OF_ADAPTERS = (*OF_WEIGHTS, "cat", "svd", *(f"{name}_svd" for name in OF_WEIGHTS if name != "linear"))
ALONE = "adapter"  # one adapter into its base: nothing is combined
PATH = "--out"


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeJob:
    """The options of one merge.

    `models`, `base`: texts as for `run`; `base` None: the one that the models name. `out`: the path of the result.
    `method`: one of OF_ADAPTERS or OF_WEIGHTS; None: one adapter is merged into its base. `weights`: by the models'
    names; models without one weigh the same. `density`: the share of values that a pruning method keeps; `seed`: by
    which it drops the others. `rank`: of the result of `svd`. `into_base`: the result has full weights, not an adapter.
    `dtype`: of the result; None: that of the files.
    """

    models: tuple[str, ...]
    out: Path
    base: str | None = None
    method: str | None = None
    weights: Mapping[str, float] = field(default_factory=dict)
    density: float | None = None
    seed: int = 0
    rank: int | None = None
    into_base: bool = False
    dtype: str | None = None

    @property
    def prunes(self) -> bool:
        """Whether the method drops values."""
        return self.method is not None and self.method not in ("linear", "cat", "svd")

    @property
    def draws(self) -> bool:
        """Whether the method drops values at random."""
        return self.method is not None and self.method.startswith("dare")

    @property
    def elects(self) -> bool:
        """Whether the method averages the values of one sign, and not all values."""
        return self.method is not None and "ties" in self.method


def check_job(job: MergeJob) -> None:
    """Raise UsageError for an output path that exists, and for options that are wrong or do not fit together."""
    if job.out.exists() or job.out.is_symlink():
        raise UsageError(PATH, f"{job.out} exists already", "remove it, or name another folder")
    if not job.models:
        raise UsageError("MODEL", "nothing to merge", "name an adapter, or several checkpoints of one base")
    if job.method is not None and job.method not in OF_ADAPTERS:
        raise UsageError("--method", f"no method {job.method!r}", did_you_mean(job.method, OF_ADAPTERS))
    if job.dtype is not None and job.dtype not in DTYPES:
        raise UsageError("--dtype", f"unknown dtype {job.dtype!r}", f"one of {', '.join(DTYPES)}")
    if job.prunes and job.density is None:
        what = f"{job.method} keeps a share of the values, and none is given"
        raise UsageError("--density", what, "0.2 keeps the fifth that TIES keeps, 0.5 half")
    if job.density is not None and not (job.prunes and 0 < job.density <= 1):
        fix = "leave it out" if not job.prunes else "above 0 and at most 1"
        raise UsageError("--density", f"{job.density:g} is no share that {job.method or 'this merge'} could keep", fix)
    if job.rank is not None and job.rank < 1:
        raise UsageError("--rank", str(job.rank), "a whole number above zero would be right")
    if job.rank is not None and not (job.method or "").endswith("svd"):
        what = f"{job.rank}: only svd and the methods that end in _svd choose a rank"
        raise UsageError("--rank", what, "leave it out, or --method svd")
    if not 0 <= job.seed < 2**63:
        raise UsageError("--seed", f"{job.seed} is no seed", "a whole number from 0")
    for name, weight in job.weights.items():
        if not math.isfinite(weight):
            raise UsageError(f"--weight {name}", f"{weight} is no weight", "a finite number")
