"""Read the precision of weights from config.json, and count parameters from names and shapes of tensors."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from evalharness.checkpoints.files import TensorFacts, all_tensors
from evalharness.errors import ModelError

QUANTISED = "quantization_config"  # of config.json
COMPUTE = "bnb_4bit_compute_dtype"
FOUR_BIT_KEYS = ("bnb_4bit_use_double_quant", "bnb_4bit_quant_storage", "llm_int8_skip_modules")
INT8_KEYS = ("llm_int8_threshold", "llm_int8_has_fp16_weight", "llm_int8_skip_modules")
FILE_DEFAULTS = {  # of keys that a file does not state
    "bnb_4bit_use_double_quant": False,
    "bnb_4bit_quant_storage": "uint8",
    COMPUTE: "float32",
    "llm_int8_threshold": 6.0,
    "llm_int8_has_fp16_weight": False,
    "llm_int8_skip_modules": None,
}
LOADING_DEFAULTS = {**FILE_DEFAULTS, "bnb_4bit_use_double_quant": True}  # as in `quantised.loading_options`
ON_LOADING = ("nf4", "fp4", "int8")  # precisions to which weights can be quantised on loading
BITS = {"F64": 64, "F32": 32, "F16": 16, "BF16": 16, "I64": 64, "I32": 32, "I16": 16}  # all others have 8
FILE_TYPES = {"F32": "float32", "BF16": "bfloat16", "F16": "float16"}  # of safetensors
PACKED = (".qweight", ".weight_packed")  # several values in each whole number: GPTQ and AWQ, compressed-tensors
BLOCKS = "_blocks"  # two values in each byte: MXFP4
BUFFERS = ("masked_bias", "inv_freq", "final_logits_bias")
AUXILIARY = (  # what the libraries store beside quantised weights; first bitsandbytes'
    *(".absmax", ".quant_map", ".nested_absmax", ".nested_quant_map", ".SCB", ".weight_format"),
    *(".qzeros", ".scales", ".g_idx", ".weight_scale", ".weight_scale_inv", ".weight_zero_point", ".weight_shape"),
    *(".weight_g_idx", ".input_scale", ".output_scale", ".k_scale", ".v_scale", "_scales"),
)


def common_dtype(paths: tuple[Path, ...]) -> str:
    """Return torch's name of the type that most values in safetensors files have.

    It is float32 for types in which no model is trained.
    """
    values = Counter[str]()
    for tensor in all_tensors(paths).values():
        values[FILE_TYPES.get(tensor.dtype, "float32")] += tensor.size
    return values.most_common(1)[0][0]


def precision_of(where: Path, config: dict[str, Any]) -> str:
    """Return the precision of the weights in the files.

    It is "" (not quantised), "nf4", "fp4" or "int8" (bitsandbytes), else the method's name in config.json. Raises
    ModelError, naming the file `where`, if config.json does not state the method.
    """
    stated = config.get(QUANTISED)
    if stated is None:
        return ""
    if not isinstance(stated, dict):
        raise ModelError(where, f"{QUANTISED} is {stated!r}", "save the checkpoint again")
    bitsandbytes = stated.get("load_in_4bit") or stated.get("load_in_8bit")
    method = stated.get("quant_method", "bitsandbytes" if bitsandbytes else None)
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


def quantisation_differences(stated: Any, base: Any) -> tuple[str, ...]:
    """Return in what a checkpoint's bitsandbytes quantization_config differs from its base's.

    A base of None is quantised on loading, in the usual way.
    """
    if not isinstance(stated, dict) or stated.get("quant_method", "bitsandbytes") != "bitsandbytes":
        return ()
    base_on_loading = not isinstance(base, dict)
    own = {**FILE_DEFAULTS, **stated}
    other = {**FILE_DEFAULTS, **({**stated, **LOADING_DEFAULTS} if base_on_loading else base)}
    keys = INT8_KEYS if own.get("load_in_8bit") is True else FOUR_BIT_KEYS
    different = [key for key in keys if (own[key] or None) != (other[key] or None)]
    words = [f"{key} {own[key]!r}, its base's {other[key]!r}" for key in different]
    if base_on_loading and keys is FOUR_BIT_KEYS and own[COMPUTE] != "float32":
        words.append(f"{COMPUTE} {own[COMPUTE]!r}, its base's that of --dtype")
    return tuple(words)


def is_auxiliary(name: str) -> bool:
    """Return whether a library stores this tensor beside quantised weights (scales, code books, states)."""
    return name.endswith(AUXILIARY) or ".quant_state." in name


def values_of(name: str, facts: dict[str, TensorFacts], config: dict[str, Any]) -> int:
    """Return the number of weights that a tensor contains. `config` is the model's."""
    tensor = facts[name]
    if QUANTISED not in config:
        return tensor.size
    if is_auxiliary(name):
        return 0
    stored = tensor.size * BITS.get(tensor.dtype, 8)
    if f"{name}.absmax" in facts or name.endswith(BLOCKS):
        return stored // 4
    return stored // _packed_bits(config[QUANTISED]) if name.endswith(PACKED) else tensor.size


def _packed_bits(stated: Any) -> int:
    """Return the number of bits of a packed weight; 4 if the configuration does not state it."""
    if not isinstance(stated, dict):
        return 4
    groups = stated.get("config_groups")
    inner = [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []
    weights = [group["weights"] for group in inner if isinstance(group.get("weights"), dict)]
    bits = (stated.get("bits"), stated.get("w_bit"), *(each.get("num_bits") for each in weights))
    return next((number for number in bits if isinstance(number, int) and 0 < number <= 32), 4)


def parameter_count(facts: dict[str, TensorFacts], config: dict[str, Any]) -> int:
    """Return the number of parameters in full weights.

    Stored buffers (causal masks, rotary frequencies) and second copies of tied tensors do not count.
    """
    names = [name for name, tensor in facts.items() if len(tensor.shape) < 4 or name.endswith(BLOCKS)]
    twice = stored_twice(facts, config)
    return sum(values_of(name, facts, config) for name in names if not name.endswith(BUFFERS) and name not in twice)


def stored_twice(facts: dict[str, TensorFacts], config: dict[str, Any]) -> set[str]:
    """Return the second copies of tied tensors.

    Encoder-decoder models have one embedding for both sides; a head is tied if the configuration says so.
    """
    shared = next((name for name in facts if name.endswith("shared.weight")), None)
    sides = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")
    twice = {name for name in facts if shared and name.endswith(sides) and facts[name].shape == facts[shared].shape}
    table = shared or next((name for name in facts if name.endswith(("embed_tokens.weight", "wte.weight"))), None)
    if "lm_head.weight" in facts and table and config.get("tie_word_embeddings") is True:
        twice.add("lm_head.weight")
    return twice
