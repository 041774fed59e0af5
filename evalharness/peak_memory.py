"""Measure the peak memory of the process and of its CUDA device."""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # getrusage counts bytes there, KiB elsewhere


def process_peak() -> int:
    """Return the most bytes that this process held in memory since its start, or since a successful `reset`."""
    return _status("VmHWM:") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


def device_peak() -> int | None:
    """Return the most bytes of tensors on the CUDA device, since the start or `reset`; None if no device is in use."""
    cuda = _cuda()
    return None if cuda is None else int(cuda.max_memory_allocated())


def reset() -> bool:
    """Start new measurements of both peaks. Return False if the process's peak cannot start anew (only Linux can): it
    then counts from the start of the process.
    """
    cuda = _cuda()
    if cuda is not None:
        cuda.reset_peak_memory_stats()
    try:
        CLEAR.write_text("5")
    except OSError:
        return False
    return _status("VmHWM:") is not None


def _status(key: str) -> int | None:
    try:
        lines = STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith(key)), None)


def _cuda() -> Any:
    """Return torch.cuda if it is in use, else None. A number alone is no reason to import torch."""
    torch = sys.modules.get("torch")
    return torch.cuda if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized() else None
