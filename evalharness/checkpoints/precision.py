"""config.json to the precision in which weights are kept, and the names and shapes of their tensors to a number of
parameters.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evalharness.checkpoints.files import TensorFacts
from evalharness.errors import ModelError

QUANTISED = "quantization_config"  # of config.json
COMPUTE = "bnb_4bit_compute_dtype"
OF_FOUR = ("bnb_4bit_use_double_quant", "bnb_4bit_quant_storage", "llm_int8_skip_modules")
OF_INT8 = ("llm_int8_threshold", "llm_int8_has_fp16_weight", "llm_int8_skip_modules")
FILED = {
    "bnb_4bit_use_double_quant": False,
    "bnb_4bit_quant_storage": "uint8",
    COMPUTE: "float32",
}  # what a file means that does not say
FILED |= {"llm_int8_threshold": 6.0, "llm_int8_has_fp16_weight": False, "llm_int8_skip_modules": None}
LOADED = {**FILED, "bnb_4bit_use_double_quant": True}  # what `quantised.options` asks for
ON_LOADING = ("nf4", "fp4", "int8")  # what weights of more bits can be made while they are loaded
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16}  # all others have 8
PACKED = (".qweight", ".weight_packed")  # several values in each whole number: GPTQ and AWQ, compressed-tensors
BLOCKS = "_blocks"  # two values in each byte: MXFP4
BUFFERS = ("masked_bias", "inv_freq", "final_logits_bias")
BESIDE = (  # what the libraries store beside quantised weights
    ".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".SCB", ".weight_format",  # bitsandbytes
    ".qzeros", ".scales", ".g_idx", ".weight_scale", ".weight_scale_inv", ".weight_zero_point", ".weight_shape", ".weight_g_idx",
    ".input_scale", ".output_scale", ".k_scale", ".v_scale", "_scales",
)  # fmt: skip


def precision_of(where: Path, config: dict[str, Any]) -> str:
    """How the files hold the weights: "" (not quantised), "nf4", "fp4" or "int8" (bitsandbytes), else the method as
    config.json calls it.

    Raises ModelError where config.json does not say which method it is.
    """
    stated = config.get(QUANTISED)
    if stated is None:
        return ""
    if not isinstance(stated, dict):
        raise ModelError(where, f"{QUANTISED} is {stated!r}", "save the checkpoint again")
    method = stated.get(
        "quant_method", "bitsandbytes" if stated.get("load_in_4bit") or stated.get("load_in_8bit") else None
    )
    if not isinstance(method, str) or not method:
        raise ModelError(
            where, f"{QUANTISED} names no quant_method", "save the checkpoint again with the library that quantised it"
        )
    if method != "bitsandbytes":
        return method
    if stated.get("load_in_8bit") is True:
        return "int8"
    kind = stated.get("bnb_4bit_quant_type", "fp4")
    if stated.get("load_in_4bit") is not True or kind not in ("nf4", "fp4"):
        raise ModelError(where, f"{QUANTISED} of bitsandbytes with neither 4 nor 8 bits", "save the checkpoint again")
    return str(kind)


def otherwise(stated: Any, base: Any) -> tuple[str, ...]:
    """In what a quantization_config of bitsandbytes' differs from that of its base; None: the base is quantised on
    loading, in the usual way.
    """
    if not isinstance(stated, dict) or stated.get("quant_method", "bitsandbytes") != "bitsandbytes":
        return ()
    own, other = ({**FILED, **one} for one in (stated, base if isinstance(base, dict) else {**stated, **LOADED}))
    keys = OF_INT8 if own.get("load_in_8bit") is True else OF_FOUR
    found = [
        f"{key} {own[key]!r}, its base's {other[key]!r}" for key in keys if (own[key] or None) != (other[key] or None)
    ]
    if not isinstance(base, dict) and keys is OF_FOUR and own[COMPUTE] != "float32":
        found.append(f"{COMPUTE} {own[COMPUTE]!r}, its base's that of --dtype")
    return tuple(found)


def is_beside(name: str) -> bool:
    """Is this tensor what a library stores beside quantised weights (scales, code books, states)?"""
    return name.endswith(BESIDE) or ".quant_state." in name


def values_of(name: str, facts: dict[str, TensorFacts], config: dict[str, Any]) -> int:
    """How many weights a tensor stands for; `config` is that of the model."""
    tensor = facts[name]
    if QUANTISED not in config:
        return tensor.size
    if is_beside(name):
        return 0
    stored = tensor.size * BITS.get(tensor.dtype, 8)
    if f"{name}.absmax" in facts or name.endswith(BLOCKS):
        return stored // 4
    return stored // _bits(config[QUANTISED]) if name.endswith(PACKED) else tensor.size


def _bits(stated: Any) -> int:
    """Bits of a packed weight, 4 where the configuration does not say."""
    groups = stated.get("config_groups") if isinstance(stated, dict) else None
    inner = (
        [group.get("weights") for group in groups.values() if isinstance(group, dict)]
        if isinstance(groups, dict)
        else []
    )
    places = [(stated, "bits"), (stated, "w_bit"), *((weights, "num_bits") for weights in inner)]
    found = [place[key] for place, key in places if isinstance(place, dict) and key in place]
    return next((bits for bits in found if isinstance(bits, int) and 0 < bits <= 32), 4)


def parameter_count(facts: dict[str, TensorFacts], config: dict[str, Any]) -> int:
    """Parameters in full weights: without stored buffers (causal masks, rotary frequencies) and without what is tied
    and stored twice.
    """
    names = [name for name, tensor in facts.items() if len(tensor.shape) < 4 or name.endswith(BLOCKS)]
    twice = _stored_twice(facts, config)
    return sum(values_of(name, facts, config) for name in names if not name.endswith(BUFFERS) and name not in twice)


def _stored_twice(facts: dict[str, TensorFacts], config: dict[str, Any]) -> set[str]:
    """Encoder-decoder models have one embedding for both sides; a head is tied where the configuration says so."""
    shared = next((name for name in facts if name.endswith("shared.weight")), None)
    sides = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    found = {name for name in facts if shared and name.endswith(sides) and facts[name].shape == facts[shared].shape}
    table = shared or next((name for name in facts if name.endswith(("embed_tokens.weight", "wte.weight"))), None)
    if "lm_head.weight" in facts and table and config.get("tie_word_embeddings") is True:
        found.add("lm_head.weight")
    return found
