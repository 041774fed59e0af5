"""Describe every setting that can change a score computed with transformers here; do so without torch if possible."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evalharness import registry
from evalharness.checkpoints.conclusions import conclude_once
from evalharness.checkpoints.device_names import is_cpu
from evalharness.checkpoints.special_tokens import SpecialTokens
from evalharness.engines.hf import REGISTRY
from evalharness.records.models import EngineInfo, EngineSettings

ALGORITHM = 5  # raise it with any change that can change a score
LIBRARIES = ("torch", "transformers", "tokenizers", "peft")
THREADS = ("OMP_", "MKL_", "KMP_", "GOMP_", "OPENBLAS_", "BLIS_", "VECLIB_", "ATEN_", "TORCH_", "GOTO_")
CORES = ("processor", "physical id", "core id", "model name", "Features")
PROCESSORS = Path("/proc/cpuinfo")


def info_of(
    settings: EngineSettings, device: str, threads: int | None, *, dtype: str, attention: str, around: SpecialTokens
) -> EngineInfo:
    """Make the info of an engine. `device`: "cpu" or an accelerator's name; `threads`: torch's on a CPU."""
    details: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "device": device,
        "dtype": dtype,
        "adapter_dtype": "float32",
        "attention": attention,
        "batch_size": 1 if settings.strict else settings.batch_size,
        "batch_tokens": settings.batch_tokens,
        "threads": None if threads is None else 1 if settings.strict else threads,
        **({"strict": True} if settings.strict else {}),
        "tf32": False,
        "special_tokens": asdict(around),
    }
    return EngineInfo(
        name="hf", details={**details, **{name: importlib.metadata.version(name) for name in LIBRARIES}, **_quantiser()}
    )


def _quantiser() -> dict[str, str]:
    """Return the version of bitsandbytes if it is installed, also for models that do not need it."""
    installed = importlib.util.find_spec("bitsandbytes") is not None
    return {"bitsandbytes": importlib.metadata.version("bitsandbytes")} if installed else {}


def processor(name: str, strict: bool) -> tuple[str, int | None]:
    """Return the processor of the device of this name, and its threads, None for an accelerator. Raises UsageError for
    a device that is not there.

    A CPU's threads are remembered while all facts stay the same from which torch derives them at its import.
    """
    if strict and is_cpu(name):
        return "cpu", 1
    if "torch" in sys.modules or not is_cpu(name):
        return _processor(name)
    device, threads = conclude_once("processor", (), _chosen_by(), lambda: list(_processor("cpu")))
    return device, threads


def _processor(name: str) -> tuple[str, int | None]:
    of_device: tuple[str, int | None] = registry.find(REGISTRY, "processor", "engine step")(name)
    return of_device


def _chosen_by() -> list[Any]:
    """Return what decides torch's threads: environment variables, this process's cores, and those of the machine."""
    variables = sorted((name, value) for name, value in os.environ.items() if name.startswith(THREADS))
    usable = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
    try:
        lines = PROCESSORS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return [variables, usable, os.cpu_count(), [line for line in lines if line.startswith(CORES)]]
