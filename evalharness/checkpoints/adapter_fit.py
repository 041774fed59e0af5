"""Check that an adapter's file holds exactly the tensors that its base, wrapped by peft, has places for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import torch
from peft import PeftConfig, PeftModel, PromptLearningConfig, get_peft_model_state_dict
from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
from transformers import PreTrainedModel

from evalharness.checkpoints import files
from evalharness.checkpoints.adapter_config import adapter_config, with_plain_start
from evalharness.checkpoints.kinds import TYPES
from evalharness.checkpoints.libraries import SHOWN, UNLOADABLE, first_line, unwarned
from evalharness.checkpoints.open_model import architecture_of, embedding_shape, misnamed
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

FIX = "the adapter is for another base or was saved incompletely: give --base, or save it again"
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True)
class AdapterFit:
    """What fits but is worth knowing: base tensors that the adapter's file replaces (resized or trained embeddings),
    and other notices.
    """

    replaced: tuple[str, ...]
    notices: tuple[str, ...]


def adapter_fit(checkpoint: Checkpoint, empty: PreTrainedModel) -> AdapterFit:
    """Compare the file with what the base, given without data (meta device), expects of this adapter. Raises ModelError
    where the file does not hold exactly that.

    Types that compute with the base's values to be built at all are accounted for as strictly, but when they are
    loaded.
    """
    config, notices = adapter_config(checkpoint, architecture_of(empty))
    if TYPES[checkpoint.adapter].computes or getattr(config, "layer_replication", None):
        late = "whether each tensor fits shows when it is loaded (peft cannot build this adapter without its base's values)"
        return AdapterFit((), (*notices, f"{checkpoint.name}: {late}"))
    config = with_plain_start(config)
    stored = {name: facts.shape for name, facts in files.tensors(checkpoint.path / files.ADAPTER).items()}
    wrapped = wrap(checkpoint, config, empty)
    expected, of_base = shapes(adapter_tensors(wrapped)), shapes(wrapped.state_dict())
    replaced = tuple(sorted(name for name in stored if name not in expected and name in of_base))
    check_shapes(checkpoint, stored, {**expected, **{name: of_base[name] for name in replaced}})
    if TYPES[checkpoint.adapter].acts == "embeddings":
        check_width(checkpoint, config, empty)
    if getattr(config, "bias", "none") != "none":
        notices += (f"{checkpoint.name}: the adapter also trains biases of its base",)
    return AdapterFit(replaced, notices)


def wrap(checkpoint: Checkpoint, config: PeftConfig, model: PreTrainedModel) -> PeftModel:
    """peft's wrapper around the model, adapter layers inside, nothing loaded. What peft draws at random for them moves
    no other chance.
    """
    on_meta = next(model.parameters()).device.type == "meta"
    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type or "", PeftModel)
    try:
        with unwarned(), torch.random.fork_rng():
            return kind(model, config, autocast_adapter_dtype=not on_meta, low_cpu_mem_usage=on_meta)
    except UNLOADABLE as error:
        what = f"does not fit its base {checkpoint.base} ({first_line(error)})"
        raise ModelError(checkpoint.path, what, FIX) from None


def unwrapped(wrapped: PeftModel) -> PreTrainedModel:
    """The transformers model inside peft's wrapper, adapter layers in it."""
    return cast(PreTrainedModel, wrapped.get_base_model())


def adapter_tensors(wrapped: PeftModel) -> dict[str, torch.Tensor]:
    """The adapter's tensors in the model, by their names in its file."""
    with unwarned():
        tensors: dict[str, torch.Tensor] = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    return tensors


def shapes(tensors: dict[str, torch.Tensor]) -> Shapes:
    """Name to shape."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_shapes(checkpoint: Checkpoint, stored: Shapes, wanted: Shapes) -> None:
    """Raises ModelError naming tensors that are missing, extra or of the wrong shape."""
    wrong = misnamed(wanted.keys() - stored.keys(), stored.keys() - wanted.keys())
    differ = sorted(name for name in stored.keys() & wanted.keys() if stored[name] != wanted[name])
    wrong += [f"wrong shape {name}: {stored[name]} where {wanted[name]} belongs" for name in differ[:SHOWN]]
    if wrong:
        what = f"the adapter does not fit its base {checkpoint.base}: {'; '.join(wrong)}"
        raise ModelError(checkpoint.path, what, FIX)


def check_width(checkpoint: Checkpoint, config: PeftConfig, base: PreTrainedModel) -> None:
    """Raises ModelError where virtual tokens are not as wide as the base's embeddings."""
    assert isinstance(config, PromptLearningConfig)
    hidden = embedding_shape(base)[1]
    if config.token_dim != hidden:
        what = f"its virtual tokens have {config.token_dim} values, its base's embeddings {hidden}"
        raise ModelError(checkpoint.path, what, FIX)
