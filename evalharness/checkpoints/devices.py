"""Choose the device and the number type that weights are held in, or refuse what cannot be had."""

from __future__ import annotations

import torch

from evalharness.errors import UsageError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """Return the torch type. Raises UsageError for an unknown one, and for float16 on a CPU, which has no kernels of
    use for it.
    """
    if name not in DTYPES:
        raise UsageError("--dtype", f"unknown dtype {name!r}", f"one of {', '.join(DTYPES)}")
    if name == "float16" and device.type == "cpu":
        raise UsageError("--dtype", "float16 on a CPU is slow and inexact", "use float32 or bfloat16")
    return DTYPES[name]


def device_of(name: str) -> torch.device:
    """Return the torch device; of "auto" the accelerator if there is one, else the CPU. Raises UsageError for a device
    that is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError("--device", f"unknown device {name!r}", "auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError("--device", f"device {name!r} is not supported", "auto, cpu or cuda")
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise UsageError("--device", f"{name} asked for, but torch sees no such device", "use --device auto or cpu")
    return device
