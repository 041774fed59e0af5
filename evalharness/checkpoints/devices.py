"""Choose the device and the number type of weights, or refuse unavailable ones."""

from __future__ import annotations

import torch

from evalharness.checkpoints import device_names
from evalharness.checkpoints.device_names import check_dtype
from evalharness.errors import UsageError

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in device_names.DTYPES}


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """Return the torch type of a name. Raises UsageError as `check_dtype` does."""
    check_dtype(name, device.type)
    return DTYPES[name]


def device_of(name: str) -> torch.device:
    """Return the torch device of a name; "auto" is the accelerator if there is one, else the CPU.

    Raises UsageError for a missing device.
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
