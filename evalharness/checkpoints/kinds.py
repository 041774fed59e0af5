"""Every type of adapter that the installed peft knows: what results call it, how it acts, and with which architectures it is supported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalharness.records import Architecture

BOTH: tuple[Architecture, ...] = ("causal", "seq2seq")


@dataclass(frozen=True, slots=True)
class AdapterType:
    """`acts`: by layers put into the base, by embeddings before the (encoder's) text, or by a cached prefix in every (decoder's) layer.

    `architectures`: those that it is supported with; `why_not`: the reason for the others.
    """

    kind: str
    acts: Literal["layers", "embeddings", "cache"]
    architectures: tuple[Architecture, ...] = BOTH
    why_not: str = ""


TYPES: dict[str, AdapterType] = {
    "LORA": AdapterType("lora", "layers"),
    "IA3": AdapterType("ia3", "layers"),
    "PROMPT_TUNING": AdapterType("prompt", "embeddings"),
    "P_TUNING": AdapterType("p-tuning", "embeddings"),
    "PREFIX_TUNING": AdapterType("prefix", "cache"),
}
