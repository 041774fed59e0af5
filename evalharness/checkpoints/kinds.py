"""The table of adapter types that peft knows: name, how they act, supported architectures and quantisations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from evalharness.records.models import Architecture

BOTH: tuple[Architecture, ...] = (Architecture.CAUSAL, Architecture.SEQ2SEQ)
CAUSAL: tuple[Architecture, ...] = (Architecture.CAUSAL,)
PLACEBO = "PLACEBO"
BITSANDBYTES = ("nf4", "fp4", "int8")
EVERY = (*BITSANDBYTES, "other")
CODES = "computes with the packed codes of quantised weights in place of their values"
SHAPE = "takes shapes from the packed codes of weights of four bits"
UNPACKS = "needs the weights' values, and peft unpacks bitsandbytes' only"


@dataclass(frozen=True, slots=True)
class AdapterType:
    """One type of adapter: how it works, and on what it is supported.

    `acts` says how: by layers in the base, by embeddings before the (encoder's) text, or by a cached prefix in every
    (decoder's) layer. `architectures` are the supported ones, and `why_not` is the reason for the others. `computes`:
    it cannot be built without the base's values. `quantised` are the precisions of the base's weights on which its
    effect is the same as on the unpacked weights ("other": every method but bitsandbytes); `why_not_quantised` is what
    its layers do on the others.
    """

    kind: str
    acts: Literal["layers", "embeddings", "cache"]
    architectures: tuple[Architecture, ...] = BOTH
    why_not: str = ""
    computes: bool = False
    quantised: tuple[str, ...] = EVERY
    why_not_quantised: str = ""


TYPES: dict[str, AdapterType] = {
    "LORA": AdapterType("lora", "layers"),
    "ADALORA": AdapterType("adalora", "layers"),
    "ADAMSS": AdapterType("adamss", "layers", computes=True, quantised=(), why_not_quantised=CODES),
    "ADAPTION_PROMPT": AdapterType(
        "adaption-prompt", "layers", CAUSAL, "peft puts it into Llama, Mistral and GPT-2 models only"
    ),
    "BEFT": AdapterType("beft", "layers"),
    "BOFT": AdapterType("boft", "layers"),
    "C3A": AdapterType("c3a", "layers"),
    "CARTRIDGE": AdapterType("cartridge", "cache"),
    "CPT": AdapterType("cpt", "embeddings", CAUSAL, "peft's CPT is for causal models only"),
    "DEFT": AdapterType("deft", "layers", quantised=("int8",), why_not_quantised=SHAPE),
    "DELORA": AdapterType("delora", "layers", quantised=(), why_not_quantised=CODES),
    "FOURIERFT": AdapterType("fourierft", "layers"),
    "FROD": AdapterType("frod", "layers", computes=True, quantised=(), why_not_quantised=CODES),
    "GLORA": AdapterType("glora", "layers", quantised=(), why_not_quantised=CODES),
    "GRALORA": AdapterType("gralora", "layers"),
    "HIRA": AdapterType("hira", "layers", quantised=BITSANDBYTES, why_not_quantised=UNPACKS),
    "HRA": AdapterType("hra", "layers", quantised=(), why_not_quantised=CODES),
    "IA3": AdapterType("ia3", "layers"),
    "LILY": AdapterType(
        "lily",
        "layers",
        (),
        "its router averages over every token of the batch, so that an answer depends on its neighbours",
    ),
    "LN_TUNING": AdapterType("ln-tuning", "layers"),
    "LOHA": AdapterType("loha", "layers", quantised=("int8",), why_not_quantised=SHAPE),
    "LOKR": AdapterType("lokr", "layers", quantised=("int8",), why_not_quantised=SHAPE),
    "MISS": AdapterType("miss", "layers"),
    "MULTITASK_PROMPT_TUNING": AdapterType("multitask-prompt", "embeddings"),
    "OFT": AdapterType("oft", "layers"),
    "OSF": AdapterType("osf", "layers", quantised=(), why_not_quantised=CODES),
    "PEANUT": AdapterType("peanut", "layers", quantised=(), why_not_quantised=CODES),
    "POLY": AdapterType("poly", "layers"),
    "PREFIX_TUNING": AdapterType("prefix", "cache"),
    "PROMPT_TUNING": AdapterType("prompt", "embeddings"),
    "PSOFT": AdapterType("psoft", "layers", quantised=(), why_not_quantised=CODES),
    "PVERA": AdapterType("pvera", "layers"),
    "P_TUNING": AdapterType("p-tuning", "embeddings"),
    "RANDLORA": AdapterType("randlora", "layers"),
    "ROAD": AdapterType("road", "layers"),
    "SHADOW": AdapterType("shadow", "layers", CAUSAL, "peft's shadow model looks for one stack of decoder layers"),
    "SHIRA": AdapterType("shira", "layers", computes=True, quantised=BITSANDBYTES, why_not_quantised=UNPACKS),
    "SUPERTUNING": AdapterType("supertuning", "layers", quantised=(), why_not_quantised=CODES),
    "TINYLORA": AdapterType("tinylora", "layers", quantised=(), why_not_quantised=CODES),
    "TRAINABLE_TOKENS": AdapterType("trainable-tokens", "layers"),
    "UNILORA": AdapterType("unilora", "layers", quantised=(), why_not_quantised="has no effect on quantised weights"),
    "VBLORA": AdapterType("vblora", "layers"),
    "VERA": AdapterType("vera", "layers"),
    "WAVEFT": AdapterType("waveft", "layers"),
    "XLORA": AdapterType(
        "xlora", "layers", (), "it mixes other adapters, which lie elsewhere, by a first pass over the whole batch"
    ),
}


def refusal(adapter: str, architecture: Architecture) -> str:
    """Return why an adapter of this type is not supported on a base of this architecture; "" if it is."""
    adapter_type = TYPES.get(adapter)
    if adapter_type is None:
        return f"an adapter of type {adapter!r}, which is unknown"
    if architecture in adapter_type.architectures:
        return ""
    return f"an adapter of type {adapter} on a base that is {architecture} is not supported: {adapter_type.why_not}"


def refusal_on_quantised(adapter: str, precision: str) -> str:
    """Return why an adapter of this type is not supported on weights of this precision; "" if it is.

    The precision is "" for weights that are not quantised.
    """
    adapter_type = TYPES.get(adapter)
    if (
        adapter_type is None
        or not precision
        or (precision if precision in BITSANDBYTES else "other") in adapter_type.quantised
    ):
        return ""
    return f"peft's {adapter} {adapter_type.why_not_quantised}, so that it cannot answer on a base in {precision}"
