"""Check quantised weights' tensors, by name and shape, against the model that they belong to. Nothing is unpacked, no
quantisation library is needed.
"""

from __future__ import annotations

import math

from transformers import PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping

from evalharness.checkpoints import files
from evalharness.checkpoints.libraries import SHOWN, first_names
from evalharness.checkpoints.open_model import empty_model, misnamed
from evalharness.checkpoints.precision import ON_LOADING, is_auxiliary, values_of
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

STATE = ".quant_state.bitsandbytes__"


def fits_quantised(
    checkpoint: Checkpoint, stored: dict[str, files.TensorFacts]
) -> tuple[PreTrainedModel, tuple[str, ...]]:
    """The model on the meta device, and notices. Raises ModelError naming tensors that are missing, extra, or of the
    wrong size.

    bitsandbytes keeps the names of what it quantises; of other libraries' files only finiteness and completeness of the
    shards are checked.
    """
    empty = empty_model(checkpoint.path)
    if checkpoint.precision not in ON_LOADING:
        late = "whether each tensor fits shows when they are loaded"
        return empty, (f"{checkpoint.name}: weights quantised by {checkpoint.precision}: {late}",)
    config = files.read_json(checkpoint.path / files.CONFIG)
    wrong = _incomplete(stored, checkpoint.precision)
    # with a conversion mapping, files and model name their tensors in two ways
    if not get_checkpoint_conversion_mapping(empty.config.model_type):
        wrong += _misfits(empty, {name: values_of(name, stored, config) for name in stored if not is_auxiliary(name)})
    if wrong:
        what = f"its tensors do not fit its config.json: {'; '.join(wrong)}"
        raise ModelError(checkpoint.path, what, "save the checkpoint again with the library that quantised it")
    return empty, ()


def _incomplete(stored: dict[str, files.TensorFacts], precision: str) -> list[str]:
    """Packed weights without what unpacks them, and the reverse."""
    if precision == "int8":
        packed = [name for name, facts in stored.items() if facts.dtype == "I8"]
        lost = [name for name in packed if f"{name.removesuffix('weight')}SCB" not in stored]
        return [f"no scales (SCB) for {first_names(lost)}"] if lost else []
    packed = [name for name, facts in stored.items() if facts.dtype == "U8" and not is_auxiliary(name)]
    lost = [name for name in stored if f"{name}.absmax" in stored and f"{name}{STATE}{precision}" not in stored]
    lost += [name for name in packed if f"{name}.absmax" not in stored]
    return [f"no quantisation state for {first_names(lost)}"] if lost else []


def _misfits(empty: PreTrainedModel, stored: dict[str, int]) -> list[str]:
    """In words, where names and numbers of weights differ from the model's. `stored`: name to number of weights."""
    wanted = {name: math.prod(tensor.shape) for name, tensor in empty.named_parameters()}
    missing = wanted.keys() - stored.keys() - set(empty._tied_weights_keys or ())
    wrong = misnamed(missing, stored.keys() - wanted.keys() - empty.state_dict().keys())
    # one value pads an odd number
    other = sorted(name for name in stored.keys() & wanted.keys() if abs(stored[name] - wanted[name]) > 1)
    wrong += [f"wrong size {name}: {stored[name]} values where {wanted[name]} belong" for name in other[:SHOWN]]
    return wrong
