"""Read an adapter's configuration with peft, and check that its tensors fit its base exactly."""

from __future__ import annotations

import copy
import warnings
from dataclasses import dataclass
from typing import cast

import torch
from peft import PeftConfig, PeftModel, PromptLearningConfig, get_peft_model_state_dict
from peft.auto import MODEL_TYPE_TO_PEFT_MODEL_MAPPING
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import PeftType
from transformers import PreTrainedModel

from evalharness.checkpoints import files
from evalharness.checkpoints.adapter_files import ARCHITECTURES, TASK_COUNTS
from evalharness.checkpoints.kinds import TYPES, refusal, refusal_on_quantised
from evalharness.checkpoints.libraries import SHOWN, UNLOADABLE, without_warnings
from evalharness.checkpoints.limits import check_adapter
from evalharness.checkpoints.open_model import architecture_of, embedding_shape, misnamed
from evalharness.checkpoints.resized import check_rows, check_tokens, embedding_rows, second_copies
from evalharness.errors import ModelError, first_line, pass_on_memory_error
from evalharness.records.models import Architecture, Checkpoint

FIX = "the adapter is for another base or was saved incompletely: give --base, or save it again"
Shapes = dict[str, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class AdapterFit:
    """The result of comparing an adapter with its base: notices, and the base's tensors that the adapter replaces.

    Replaced tensors are resized or trained embeddings.
    """

    replaced: tuple[str, ...]
    notices: tuple[str, ...]


def adapter_fit(checkpoint: Checkpoint, empty: PreTrainedModel) -> AdapterFit:
    """Compare the adapter's tensors with those that peft builds on the base, which has no data (meta device).

    Raises ModelError if they differ. Types that cannot be built without the base's values are checked as strictly when
    they are loaded.
    """
    config, notices = adapter_config(checkpoint, architecture_of(empty))
    if TYPES[checkpoint.adapter].computes or getattr(config, "layer_replication", None):
        why = "peft cannot build this adapter without its base's values"
        late = f"{checkpoint.name}: whether each tensor fits shows when it is loaded ({why})"
        return AdapterFit(replaced=(), notices=(*notices, late))
    config = with_plain_start(config)
    stored = {name: facts.shape for name, facts in files.tensors(checkpoint.path / files.ADAPTER).items()}
    rows = embedding_rows(empty)
    for key in ("trainable_token_indices", "token_indices"):
        check_tokens(checkpoint, rows, getattr(config, key, None))
    wrapped = wrap(checkpoint, config, empty)
    expected, of_base = shapes(adapter_tensors(wrapped)), shapes(wrapped.state_dict())
    for name in second_copies(checkpoint.path / files.ADAPTER, expected.keys() | of_base.keys()):
        del stored[name]
    replaced = tuple(sorted(name for name in stored if name not in expected and name in of_base))
    places = {**expected, **{name: of_base[name] for name in replaced}}
    check_rows(checkpoint, rows, stored, places)
    check_shapes(checkpoint, stored, places)
    if TYPES[checkpoint.adapter].acts == "embeddings":
        check_width(checkpoint, config, empty)
    if getattr(config, "bias", "none") != "none":
        notices += (f"{checkpoint.name}: the adapter also trains biases of its base",)
    return AdapterFit(replaced=replaced, notices=notices)


def wrap(checkpoint: Checkpoint, config: PeftConfig, model: PreTrainedModel) -> PeftModel:
    """Put peft's wrapper with new adapter layers around the model. The random state outside does not change."""
    on_meta = next(model.parameters()).device.type == "meta"
    kind = MODEL_TYPE_TO_PEFT_MODEL_MAPPING.get(config.task_type or "", PeftModel)
    try:
        check_adapter(checkpoint.path, vars(config), [name for name, _ in model.named_modules()])
        with without_warnings(), torch.random.fork_rng():
            return kind(model, config, autocast_adapter_dtype=not on_meta, low_cpu_mem_usage=on_meta)
    except UNLOADABLE as error:
        pass_on_memory_error(error)
        raise ModelError(
            checkpoint.path, f"does not fit its base {checkpoint.base} ({first_line(error)})", FIX
        ) from None


def unwrapped(wrapped: PeftModel) -> PreTrainedModel:
    """Return the transformers model inside peft's wrapper, with its adapter layers."""
    return cast(PreTrainedModel, wrapped.get_base_model())


def adapter_tensors(wrapped: PeftModel) -> dict[str, torch.Tensor]:
    """Return the adapter's tensors in the model, by their names in its file."""
    with without_warnings():
        tensors: dict[str, torch.Tensor] = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
    return tensors


def shapes(tensors: dict[str, torch.Tensor]) -> Shapes:
    """Return the tensors' shapes by name."""
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}


def check_shapes(checkpoint: Checkpoint, stored: Shapes, places: Shapes) -> None:
    """Raise ModelError naming tensors that are missing, extra or of the wrong shape."""
    wrong = misnamed(places.keys() - stored.keys(), stored.keys() - places.keys())
    differ = sorted(name for name in stored.keys() & places.keys() if stored[name] != places[name])
    wrong += [f"wrong shape {name}: {stored[name]} where {places[name]} belongs" for name in differ[:SHOWN]]
    if wrong:
        raise ModelError(
            checkpoint.path, f"the adapter does not fit its base {checkpoint.base}: {'; '.join(wrong)}", FIX
        )


def check_width(checkpoint: Checkpoint, config: PeftConfig, base: PreTrainedModel) -> None:
    """Raise ModelError if virtual tokens are not as wide as the base's embeddings."""
    assert isinstance(config, PromptLearningConfig)
    hidden = embedding_shape(base)[1]
    if config.token_dim != hidden:
        raise ModelError(
            checkpoint.path, f"its virtual tokens have {config.token_dim} values, its base's embeddings {hidden}", FIX
        )


# ---- configuration ---------------------------------------------------------------------------------------------------

TASK_TYPES: dict[Architecture, str] = {architecture: task_type for task_type, architecture in ARCHITECTURES.items()}
Refusal = tuple[str, str] | None  # what is wrong, and what would be right


def adapter_config(checkpoint: Checkpoint, architecture: Architecture) -> tuple[PeftConfig, tuple[str, ...]]:
    """Read peft's configuration of an adapter, and return it with notices about fields that this peft does not know.

    Raises ModelError for an adapter that cannot be evaluated.
    """
    where = checkpoint.path / files.ADAPTER_CONFIG
    if why := refusal(checkpoint.adapter, architecture):
        raise ModelError(where, why, "`evalharness checkpoint kinds` lists what is supported")
    if why := refusal_on_quantised(checkpoint.adapter, checkpoint.precision):
        raise ModelError(where, why, "give its base without quantisation (--precision none where its files hold it so)")
    config, notices = _read(checkpoint)
    expected, task_type = TASK_TYPES[architecture], getattr(config.task_type, "value", config.task_type)
    if task_type not in (None, expected):
        raise ModelError(
            where, f"task_type {task_type}, on a base that is {architecture}", f"an adapter trained for {expected}"
        )
    if refused := _unsteady(config) or _task_refusal(checkpoint, config):
        raise ModelError(where, *refused)
    return config, notices


def _read(checkpoint: Checkpoint) -> tuple[PeftConfig, tuple[str, ...]]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            kind = PEFT_TYPE_TO_CONFIG_MAPPING[PeftType(checkpoint.adapter)]
            config: PeftConfig = kind.from_pretrained(str(checkpoint.path))
        except UNLOADABLE as error:
            where = checkpoint.path / files.ADAPTER_CONFIG
            raise ModelError(where, f"peft cannot read it ({first_line(error)})", "save the adapter again") from None
    config.inference_mode = True
    texts = [str(warning.message) for warning in caught]
    return config, tuple(f"{checkpoint.name}: {first_line(text)}" for text in texts if "Unexpected keyword" in text)


def _unsteady(config: PeftConfig) -> Refusal:
    """Refuse options that make an answer depend on chance, on the rest of the batch, or on other files."""
    if getattr(config, "alora_invocation_tokens", None):
        what = "an activated LoRA (alora_invocation_tokens), which works from some token on, is not supported"
        return what, "give a LoRA that works everywhere"
    if getattr(config, "arrow_config", None):
        what = "an Arrow router over other adapters (arrow_config) is not supported"
        return what, "merge it into full weights and give those"
    if getattr(config, "sample_at_inference", False):
        return "sample_at_inference draws other answers every time", "set it to false in adapter_config.json"
    if getattr(config, "num_transformer_submodules", 1) != 1 and config.peft_type == "MULTITASK_PROMPT_TUNING":
        what = "peft puts its prompt before the decoder's text in training, but not in decoding"
        return what, "train it with num_transformer_submodules=1"
    return None


def task_count(config: PeftConfig) -> int:
    """Return the number of tasks that the adapter learned; 0 if its type has no tasks."""
    key = TASK_COUNTS.get(str(getattr(config.peft_type, "value", config.peft_type)))
    return int(getattr(config, key, 1)) if key else 0


def _task_refusal(checkpoint: Checkpoint, config: PeftConfig) -> Refusal:
    """Return why the chosen task cannot be used; None if the adapter learned it."""
    count, task = task_count(config), checkpoint.adapter_task
    each = f"{checkpoint.path}#0 to #{count - 1}"
    if task is None:
        return (f"was trained on {count} tasks, and none was chosen", each) if count > 1 else None
    if count == 0:
        return f"task #{task} asked for, but it knows no tasks", f"give {checkpoint.path}"
    if not 0 <= task < count:
        return f"task #{task} asked for, but it was trained on {count}", each
    return None


def with_plain_start(config: PeftConfig) -> PeftConfig:
    """Copy the configuration without an initialisation from the base's values (PiSSA, OLoRA, …): names and shapes of
    the tensors are the same.
    """
    plain = copy.copy(config)
    for name in ("init_lora_weights", "init_weights"):
        if isinstance(getattr(config, name, None), str):
            setattr(plain, name, True)
    return plain
