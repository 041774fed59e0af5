"""Every type of adapter that the installed peft knows: what results call it, how it acts, and with which architectures it is supported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalharness.records import Architecture

BOTH: tuple[Architecture, ...] = ("causal", "seq2seq")
CAUSAL: tuple[Architecture, ...] = ("causal",)
PLACEBO = "PLACEBO"


@dataclass(frozen=True, slots=True)
class AdapterType:
    """`acts`: by layers put into the base, by embeddings before the (encoder's) text, or by a cached prefix in every (decoder's) layer.

    `architectures`: those that it is supported with; `why_not`: the reason for the others. `computes`: it cannot be built without the base's values.
    """

    kind: str
    acts: Literal["layers", "embeddings", "cache"]
    architectures: tuple[Architecture, ...] = BOTH
    why_not: str = ""
    computes: bool = False


TYPES: dict[str, AdapterType] = {
    "LORA": AdapterType("lora", "layers"),
    "ADALORA": AdapterType("adalora", "layers"),
    "ADAMSS": AdapterType("adamss", "layers", computes=True),
    "ADAPTION_PROMPT": AdapterType("adaption-prompt", "layers", CAUSAL, "peft puts it into Llama, Mistral and GPT-2 models only"),
    "BEFT": AdapterType("beft", "layers"),
    "BOFT": AdapterType("boft", "layers"),
    "C3A": AdapterType("c3a", "layers"),
    "CARTRIDGE": AdapterType("cartridge", "cache"),
    "CPT": AdapterType("cpt", "embeddings", CAUSAL, "peft's CPT is for causal models only"),
    "DEFT": AdapterType("deft", "layers"),
    "DELORA": AdapterType("delora", "layers"),
    "FOURIERFT": AdapterType("fourierft", "layers"),
    "FROD": AdapterType("frod", "layers", computes=True),
    "GLORA": AdapterType("glora", "layers"),
    "GRALORA": AdapterType("gralora", "layers"),
    "HIRA": AdapterType("hira", "layers"),
    "HRA": AdapterType("hra", "layers"),
    "IA3": AdapterType("ia3", "layers"),
    "LILY": AdapterType("lily", "layers", (), "its router averages over every token of the batch, so that an answer hangs on its neighbours"),
    "LN_TUNING": AdapterType("ln-tuning", "layers"),
    "LOHA": AdapterType("loha", "layers"),
    "LOKR": AdapterType("lokr", "layers"),
    "MISS": AdapterType("miss", "layers"),
    "MULTITASK_PROMPT_TUNING": AdapterType("multitask-prompt", "embeddings"),
    "OFT": AdapterType("oft", "layers"),
    "OSF": AdapterType("osf", "layers"),
    "PEANUT": AdapterType("peanut", "layers"),
    "POLY": AdapterType("poly", "layers"),
    "PREFIX_TUNING": AdapterType("prefix", "cache"),
    "PROMPT_TUNING": AdapterType("prompt", "embeddings"),
    "PSOFT": AdapterType("psoft", "layers"),
    "PVERA": AdapterType("pvera", "layers"),
    "P_TUNING": AdapterType("p-tuning", "embeddings"),
    "RANDLORA": AdapterType("randlora", "layers"),
    "ROAD": AdapterType("road", "layers"),
    "SHADOW": AdapterType("shadow", "layers", CAUSAL, "peft's shadow model looks for one stack of decoder layers"),
    "SHIRA": AdapterType("shira", "layers", computes=True),
    "SUPERTUNING": AdapterType("supertuning", "layers"),
    "TINYLORA": AdapterType("tinylora", "layers"),
    "TRAINABLE_TOKENS": AdapterType("trainable-tokens", "layers"),
    "UNILORA": AdapterType("unilora", "layers"),
    "VBLORA": AdapterType("vblora", "layers"),
    "VERA": AdapterType("vera", "layers"),
    "WAVEFT": AdapterType("waveft", "layers"),
    "XLORA": AdapterType("xlora", "layers", (), "it mixes other adapters, which lie elsewhere, by a first pass over the whole batch"),
}


def refusal(adapter: str, architecture: Architecture) -> str:
    """Why an adapter of this type cannot answer on a base of this architecture; "" where it can."""
    known = TYPES.get(adapter)
    if known is None:
        return f"an adapter of type {adapter!r}, which is unknown"
    if architecture in known.architectures:
        return ""
    return f"an adapter of type {adapter} on a base that is {architecture} is not supported: {known.why_not}"
