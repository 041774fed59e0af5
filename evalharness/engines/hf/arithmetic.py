"""Set torch's arithmetic so that the same rows give the same bits, and put it back."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class Arithmetic:
    """What torch computed with before: threads of the CPU, and whether only deterministic algorithms."""

    threads: int
    deterministic: bool

    @classmethod
    def set(cls, strict: bool) -> Arithmetic:
        """Under `strict` compute on one thread and by deterministic algorithms; else change nothing."""
        before = cls(threads=torch.get_num_threads(), deterministic=torch.are_deterministic_algorithms_enabled())
        if strict:
            os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
            torch.set_num_threads(1)
            torch.use_deterministic_algorithms(True)
        return before

    def restore(self) -> None:
        torch.set_num_threads(self.threads)
        torch.use_deterministic_algorithms(self.deterministic)
