"""Hold weights quantised: the options that transformers loads them with, and what bitsandbytes' layers need to be shared
and to compute alike everywhere.
"""

from __future__ import annotations

import importlib.util
import logging
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig

from evalharness.checkpoints.precision import ON_LOADING
from evalharness.errors import ModelError

LIBRARY = "bitsandbytes"
logging.getLogger(LIBRARY).setLevel(logging.ERROR)  # it speaks with every pass, and when peft imports it


def loading_options(
    directory: Path, precision: str, stored: bool, kind: torch.dtype, place: torch.device
) -> dict[str, Any]:
    """Options of `from_pretrained`, to hold weights in `precision`; `stored` where the files hold them so.

    4 bits with double quantisation, as QLoRA trains (Dettmers et al. 2023). Raises ModelError where bitsandbytes is
    needed and not installed.
    """
    if precision in ON_LOADING and importlib.util.find_spec(LIBRARY) is None:
        what = f"weights in {precision} need {LIBRARY}, which is not installed"
        raise ModelError(directory, what, f"pip install {LIBRARY}, or give weights that are not quantised")
    options: dict[str, Any] = {"device_map": {"": str(place)}}
    if stored:
        return options
    if precision == "int8":
        return {**options, "quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    four_bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type=precision, bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=kind
    )
    return {**options, "quantization_config": four_bits}


def prepare_layers(directory: Path, model: nn.Module) -> None:
    """Before the first answer: int8 layers move their weights to where copies share them; 4-bit layers on a CPU never
    repack theirs.

    Repacking (on CPUs with AVX512-BF16) rounds scales to bfloat16, refuses many shapes, and would write into what is
    shared. Raises ModelError where transformers passed over how the files are quantised.
    """
    if getattr(model, "hf_quantizer", None) is None:
        what = "transformers does not know the quantisation that its config.json names"
        raise ModelError(directory, what, "give the weights before quantisation")
    layer: Any  # bitsandbytes' types are known only where it is installed
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
        if hasattr(layer, "init_8bit_state") and getattr(layer.weight, "CB", None) is not None:
            layer.init_8bit_state()
