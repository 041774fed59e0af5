"""Quantised weights' tensors, by name and shape, against the model that they belong to. Nothing is unpacked, no
quantisation library is needed.
"""

from __future__ import annotations

import copy
import math
from pathlib import Path

import torch
from transformers import AutoConfig, PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from evalharness.checkpoints import files
from evalharness.checkpoints.precision import ON_LOADING, QUANTISED, is_beside, values_of
from evalharness.checkpoints.weights import (
    CLASSES,
    UNLOADABLE,
    architecture_of,
    first_line,
    from_pretrained,
    names,
    quiet,
)
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

AGAIN = "save the checkpoint again with the library that quantised it"
STATE = ".quant_state.bitsandbytes__"


def empty_model(directory: Path) -> PreTrainedModel:
    """The full weights' model on the meta device: of files that are not quantised after every tensor was accounted
    for.
    """
    if QUANTISED not in files.read_json(directory / files.CONFIG):
        return from_pretrained(directory, device_map="meta")
    with quiet():
        try:
            config = copy.deepcopy(
                AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
            )
            if hasattr(config, QUANTISED):
                delattr(config, QUANTISED)
            with torch.device("meta"):
                model: PreTrainedModel = CLASSES[architecture_of(directory)].from_config(config)
                return model
        except UNLOADABLE as error:
            raise ModelError(
                directory, f"cannot be loaded ({first_line(error)})", "give an architecture that transformers has"
            ) from None


def fits_quantised(
    checkpoint: Checkpoint, found: dict[str, files.TensorFacts]
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model on the meta device, and notices. Raises ModelError naming tensors that are missing, extra, or of the
    wrong size.

    bitsandbytes keeps the names of what it quantises; of other libraries' files only finiteness and completeness of the
    shards are checked.
    """
    empty = empty_model(checkpoint.path)
    if checkpoint.precision not in ON_LOADING:
        what = f"{checkpoint.name}: weights quantised by {checkpoint.precision}: whether each tensor fits shows when they are loaded"
        return empty, (what,)
    config = files.read_json(checkpoint.path / files.CONFIG)
    wrong = _incomplete(found, checkpoint.precision)
    if not get_checkpoint_conversion_mapping(
        empty.config.model_type
    ):  # else files and model name their tensors in two ways
        wrong += _compared(empty, {name: values_of(name, found, config) for name in found if not is_beside(name)})
    if wrong:
        raise ModelError(checkpoint.path, f"its tensors do not fit its config.json: {'; '.join(wrong)}", AGAIN)
    return empty, ()


def _incomplete(found: dict[str, files.TensorFacts], precision: str) -> list[str]:
    """Packed weights without what unpacks them, and the reverse."""
    if precision == "int8":
        lost = [
            name
            for name, facts in found.items()
            if facts.dtype == "I8" and f"{name.removesuffix('weight')}SCB" not in found
        ]
        return [f"no scales (SCB) for {names(lost)}"] if lost else []
    lost = [name for name in found if f"{name}.absmax" in found and f"{name}{STATE}{precision}" not in found]
    lost += [
        name
        for name, facts in found.items()
        if facts.dtype == "U8" and not is_beside(name) and f"{name}.absmax" not in found
    ]
    return [f"no quantisation state for {names(lost)}"] if lost else []


def _compared(empty: PreTrainedModel, found: dict[str, int]) -> list[str]:
    """`found`: name to number of weights."""
    wanted = {name: math.prod(tensor.shape) for name, tensor in empty.named_parameters()}
    tied = set(empty._tied_weights_keys or ())
    missing, extra = wanted.keys() - found.keys() - tied, found.keys() - wanted.keys() - empty.state_dict().keys()
    wrong = [f"missing {names(missing)}"] if missing else []
    wrong += [f"unexpected {names(extra)}"] if extra else []
    other = sorted(
        name for name in found.keys() & wanted.keys() if abs(found[name] - wanted[name]) > 1
    )  # one value pads an odd number
    return wrong + [f"wrong size {name}: {found[name]} values where {wanted[name]} belong" for name in other[:5]]
