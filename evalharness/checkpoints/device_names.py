"""Check the names of devices and number types, and tell without torch whether there can be an accelerator."""

from __future__ import annotations

from pathlib import Path

from evalharness.errors import UsageError
from evalharness.registry import versions_of

DTYPES = ("float32", "bfloat16", "float16")
ACCELERATORS = ("nvidia*", "nvhost*", "nvgpu*", "dxg", "kfd")  # files in /dev of NVIDIA's, WSL's and AMD's drivers


def check_dtype(name: str, device: str) -> None:
    """Raise UsageError for an unknown number type, and for float16 on a CPU, which has no fast kernels for it."""
    if name not in DTYPES:
        raise UsageError("--dtype", f"unknown dtype {name!r}", f"one of {', '.join(DTYPES)}")
    if name == "float16" and device == "cpu":
        raise UsageError("--dtype", "float16 on a CPU is slow and inexact", "use float32 or bfloat16")


def is_cpu(name: str) -> bool:
    """Return whether the device of this name is the CPU, as far as can be told without torch."""
    return name == "cpu" or (name == "auto" and bool(without_accelerator()))


def without_accelerator() -> str:
    """Return why no accelerator can be used; "" if there may be one."""
    version = versions_of(["torch"]).get("torch")
    if version is None:
        return ""
    devices = Path("/dev")
    if version.endswith("+cpu"):
        return f"the torch that is installed ({version}) is for CPUs only"
    if devices.is_dir() and not any(path for pattern in ACCELERATORS for path in devices.glob(pattern)):
        return "this machine has none"
    return ""
