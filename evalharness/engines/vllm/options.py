"""Read the options of the engine vllm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from evalharness.errors import UsageError

RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)  # allowed values of vLLM's max_lora_rank
FIRST_RANK = 64  # enough for most adapters, for which a base then need not be opened again


@dataclass(frozen=True, slots=True, kw_only=True)
class VllmOptions:
    """The options with which vLLM is started, by vLLM's names.

    `gpu_memory_utilization`: the share of the GPU's memory that vLLM takes. `tensor_parallel_size`: over how many GPUs
    the model is split. `max_model_len`: the most tokens that the model reads, None for the model's own limit.
    `max_lora_rank`: the least rank of adapters to reserve memory for. `enforce_eager`: whether vLLM captures no CUDA
    graphs.
    """

    gpu_memory_utilization: float = 0.9
    tensor_parallel_size: int = 1
    max_model_len: int | None = None
    max_lora_rank: int = FIRST_RANK
    enforce_eager: bool = False


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share <= 1:
        raise ValueError(text)
    return share


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError(text)
    return count


def _switch(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "gpu_memory_utilization": (_share, "a share of the GPU's memory above 0 and up to 1"),
    "tensor_parallel_size": (_count, "a number of GPUs"),
    "max_model_len": (_count, "a number of tokens"),
    "max_lora_rank": (_count, "a rank"),
    "enforce_eager": (_switch, "true or false"),
}


def vllm_options(options: Mapping[str, str]) -> VllmOptions:
    """Read the options. Raises UsageError for a text that is no value of its option."""
    values = {}
    for name, text in options.items():
        read, words = READERS[name]
        try:
            values[name] = read(text)
        except (ValueError, KeyError):
            raise UsageError("--engine-option", f"{name} is {text!r}", f"{words} would be right") from None
    return VllmOptions(**values)


def served_rank(rank: int) -> int:
    """Return the least of vLLM's ranks that is not below this one. Raises UsageError if all are."""
    fitting = [each for each in RANKS if each >= rank]
    if not fitting:
        raise UsageError(
            "--engine vllm", f"a LoRA of rank {rank}, and vLLM serves up to {RANKS[-1]}", "use --engine hf"
        )
    return fitting[0]
