"""Load quantised weights, prepare their layers, and check stored tensors without a quantisation library."""

from __future__ import annotations

import importlib.util
import logging
import math
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import BitsAndBytesConfig, PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from evalharness.checkpoints import files
from evalharness.checkpoints.libraries import SHOWN, first_names
from evalharness.checkpoints.open_model import empty_model, misnamed
from evalharness.checkpoints.precision import ON_LOADING, is_auxiliary, values_of
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

LIBRARY = "bitsandbytes"
logging.getLogger(LIBRARY).setLevel(logging.ERROR)  # it logs with every pass, and when peft imports it


def loading_options(
    directory: Path, precision: str, stored: bool, kind: torch.dtype, place: torch.device
) -> dict[str, Any]:
    """Return the options of `from_pretrained` for weights in `precision`. `stored`: the files have them in this
    precision.

    4 bits are read with double quantisation, as QLoRA trains (Dettmers et al. 2023). Raises ModelError if bitsandbytes
    is needed and not installed.
    """
    if precision in ON_LOADING and importlib.util.find_spec(LIBRARY) is None:
        raise ModelError(
            directory,
            f"weights in {precision} need {LIBRARY}, which is not installed",
            "pip install 'evalharness[quant]', or give weights that are not quantised",
        )
    if files.gguf_file(directory) is not None:
        raise ModelError(directory, f"a GGUF file cannot be quantised to {precision} on loading", "--precision none")
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
    """Prepare layers so that several models can share them.

    int8 layers move their weights to where copies share them; 4-bit layers on a CPU never repack theirs. Repacking (on
    CPUs with AVX512-BF16) rounds scales to bfloat16, refuses many shapes, and would write into shared memory. Raises
    ModelError if transformers ignored the quantisation of the files.
    """
    if getattr(model, "hf_quantizer", None) is None:
        raise ModelError(
            directory,
            "transformers does not know the quantisation that its config.json names",
            "give the weights before quantisation",
        )
    layer: Any  # bitsandbytes' types are known only where it is installed
    for layer in model.modules():
        if hasattr(layer, "support_avx512bf16_for_cpu"):
            layer.support_avx512bf16_for_cpu = False
        if hasattr(layer, "init_8bit_state") and getattr(layer.weight, "CB", None) is not None:
            layer.init_8bit_state()


# ---- what is stored --------------------------------------------------------------------------------------------------

STATE = ".quant_state.bitsandbytes__"


def fits_quantised(
    checkpoint: Checkpoint, stored: dict[str, files.TensorFacts]
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """Check that a quantised checkpoint's stored tensors fit its model, and return that model on the meta device.

    With it notices of what could not be checked: names and sizes are checked for bitsandbytes alone, which does not
    rename tensors; for other libraries' files only finite values and complete shards.
    Raises ModelError naming tensors that are missing, extra, or of the wrong size.
    """
    empty = empty_model(checkpoint.path)
    if checkpoint.precision not in ON_LOADING:
        late = "whether each tensor fits shows when they are loaded"
        return empty, (f"{checkpoint.name}: weights quantised by {checkpoint.precision}: {late}",)
    config = files.read_json(checkpoint.path / files.CONFIG)
    wrong = _incomplete(stored, checkpoint.precision)
    # with a conversion mapping, files and model have different names for their tensors
    if not get_checkpoint_conversion_mapping(empty.config.model_type):
        wrong += _misfits(empty, {name: values_of(name, stored, config) for name in stored if not is_auxiliary(name)})
    if wrong:
        raise ModelError(
            checkpoint.path,
            f"its tensors do not fit its config.json: {'; '.join(wrong)}",
            "save the checkpoint again with the library that quantised it",
        )
    return empty, ()


def _incomplete(stored: dict[str, files.TensorFacts], precision: str) -> list[str]:
    """Name packed weights without their scales or state, and scales without their weights."""
    if precision == "int8":
        packed = [name for name, facts in stored.items() if facts.dtype == "I8"]
        lost = [name for name in packed if f"{name.removesuffix('weight')}SCB" not in stored]
        return [f"no scales (SCB) for {first_names(lost)}"] if lost else []
    packed = [name for name, facts in stored.items() if facts.dtype == "U8" and not is_auxiliary(name)]
    lost = [name for name in stored if f"{name}.absmax" in stored and f"{name}{STATE}{precision}" not in stored]
    lost += [name for name in packed if f"{name}.absmax" not in stored]
    return [f"no quantisation state for {first_names(lost)}"] if lost else []


def _misfits(empty: PreTrainedModel, stored: dict[str, int]) -> list[str]:
    """Name tensors that differ from the model's in name or number of weights. `stored` maps a name to that number."""
    sizes = {name: math.prod(tensor.shape) for name, tensor in empty.named_parameters()}
    missing = sizes.keys() - stored.keys() - set(empty._tied_weights_keys or ())
    wrong = misnamed(missing, stored.keys() - sizes.keys() - empty.state_dict().keys())
    # one value pads an odd number
    other = sorted(name for name in stored.keys() & sizes.keys() if abs(stored[name] - sizes[name]) > 1)
    wrong += [f"wrong size {name}: {stored[name]} values where {sizes[name]} belong" for name in other[:SHOWN]]
    return wrong
