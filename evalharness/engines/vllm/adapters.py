"""Check by an adapter's files whether vLLM computes with it as peft does, and read its rank."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from evalharness.checkpoints import files
from evalharness.checkpoints.kinds import PLACEBO, TYPES
from evalharness.errors import UsageError
from evalharness.records.models import Checkpoint

# vLLM ignores all other keys of an adapter_config.json, so a key is accepted here only if it is known to have no effect
# on a trained LoRA, or to be followed by vLLM, too
WITHOUT_EFFECT = (
    *("task_type", "peft_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision"),
    *("inference_mode", "lora_dropout", "init_lora_weights", "exclude_modules", "layers_to_transform"),
    *("layers_pattern", "megatron_core", "qalora_group_size", "runtime_config", "eva_config", "ensure_weight_tying"),
)
COMPUTED = ("r", "lora_alpha", "target_modules", "use_rslora", "rank_pattern", "alpha_pattern", "fan_in_fan_out")
PLAIN = {"bias": "none"}  # the value of a key that changes nothing
PLAIN_STARTS = ("gaussian", "eva", "orthogonal", "mica")  # other initialisations change the base's weights
PART = re.compile(r"(.+)\.lora_([AB])\.weight")
# vLLM computes prompt log-probabilities with the adapters of other rows there
HEADS = ("lm_head", "embed_out", "embed_tokens", "wte")
LINEAR = frozenset(  # matrices of dense decoders, as their files name them
    "q_proj k_proj v_proj o_proj qkv_proj gate_proj up_proj down_proj gate_up_proj fc1 fc2 out_proj "
    "c_attn c_proj c_fc query_key_value dense dense_h_to_4h dense_4h_to_h".split()
)
FIX = "use --engine hf, which answers with it"


def check_adapter(checkpoint: Checkpoint) -> None:
    """Raise UsageError for an adapter that vLLM does not serve, or that it computes differently from peft."""
    if checkpoint.adapter in ("", PLACEBO):
        return
    if checkpoint.adapter != "LORA":
        kind = TYPES[checkpoint.adapter].kind if checkpoint.adapter in TYPES else checkpoint.adapter
        raise UsageError(checkpoint.name, f"an adapter of kind {kind}, and vLLM serves LoRA only", FIX)
    if reason := _unlike_peft(files.read_json(checkpoint.path / files.ADAPTER_CONFIG)) or _odd_tensors(checkpoint):
        raise UsageError(checkpoint.name, f"a LoRA with {reason}, which vLLM does not compute as peft does", FIX)


def _unlike_peft(config: Mapping[str, Any]) -> str:
    """Return a setting of an adapter_config.json that vLLM does not follow; "" if there is none."""
    for key, value in config.items():
        if value and key not in (*WITHOUT_EFFECT, *COMPUTED) and value != PLAIN.get(key):
            return f"{key} {value!r}"
    start = config.get("init_lora_weights")
    if isinstance(start, str) and start.lower() not in PLAIN_STARTS:
        return f"init_lora_weights {start!r}"
    return ""


def _odd_tensors(checkpoint: Checkpoint) -> str:
    """Return a tensor of an adapter's file that is no LoRA matrix on a linear layer; "" if there is none."""
    for name in _stored(checkpoint):
        part = PART.fullmatch(name)
        if part is None:
            return f"the tensor {name}"
        if part[1].rpartition(".")[2] in HEADS:
            return f"matrices on {part[1].rpartition('.')[2]}"
    return ""


def rank_of(checkpoint: Checkpoint) -> int:
    """Return the largest rank of its LoRA's matrices; 0 without a LoRA."""
    if checkpoint.adapter != "LORA":
        return 0
    ranks = (facts.shape[0] for name, facts in _stored(checkpoint).items() if name.endswith(".lora_A.weight"))
    return max(ranks, default=0)


def _stored(checkpoint: Checkpoint) -> Mapping[str, files.TensorFacts]:
    """Read the header of an adapter's file; {} if there is none, which is an error when it is opened."""
    path = checkpoint.path / files.ADAPTER
    return files.tensors(path) if path.is_file() else {}


def linear_layers(checkpoint: Checkpoint) -> list[str]:
    """List the names of the base's matrices that a LoRA may be on, without the head; [] if there are others than those
    of a dense decoder.
    """
    stored = files.all_tensors(files.weight_files(checkpoint.weights))
    names = {name.split(".")[-2] for name, facts in stored.items() if name.endswith(".weight") and len(facts.shape) > 1}
    inner = names - {*HEADS, "wpe", "embed_positions"}
    return sorted(inner) if inner <= LINEAR else []
