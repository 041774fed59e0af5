"""Make torch's arithmetic deterministic for --strict, and restore it afterwards."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """Torch's settings as they were before an engine opened, for putting them back when it closes.

    `threads`: the number of CPU threads. `deterministic`: whether torch allowed only deterministic algorithms.
    """

    threads: int
    deterministic: bool

    @classmethod
    def set(cls, strict: bool) -> Arithmetic:
        """Remember torch's settings, and under `strict` use one thread and deterministic algorithms. Return the
        settings before.
        """
        before = cls(threads=torch.get_num_threads(), deterministic=torch.are_deterministic_algorithms_enabled())
        if strict:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
            torch.set_num_threads(1)
            torch.use_deterministic_algorithms(True)
        return before

    def restore(self) -> None:
        """Set torch's threads and algorithms to the remembered values."""
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(self.deterministic)
