"""Read an adapter's configuration with peft, and refuse what cannot be answered with."""

from __future__ import annotations

import copy
import warnings

from peft import PeftConfig
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft.utils import PeftType

from evalharness.checkpoints import files
from evalharness.checkpoints.adapter_files import ARCHITECTURES, TASK_COUNTS
from evalharness.checkpoints.kinds import refusal, refusal_on_quantised
from evalharness.checkpoints.libraries import UNLOADABLE, first_line
from evalharness.errors import ModelError
from evalharness.records.models import Architecture, Checkpoint

TASK_TYPES: dict[Architecture, str] = {architecture: task_type for task_type, architecture in ARCHITECTURES.items()}
Refusal = tuple[str, str] | None  # what is wrong, and what would be right


def adapter_config(checkpoint: Checkpoint, architecture: Architecture) -> tuple[PeftConfig, tuple[str, ...]]:
    """peft's configuration, and notices about fields that this peft does not know. Raises ModelError for what cannot be
    answered with.
    """
    where = checkpoint.path / files.ADAPTER_CONFIG
    if why := refusal(checkpoint.adapter, architecture):
        raise ModelError(where, why, "`evalharness checkpoint kinds` lists what is supported")
    if why := refusal_on_quantised(checkpoint.adapter, checkpoint.precision):
        raise ModelError(where, why, "give its base without quantisation (--precision none where its files hold it so)")
    config, notices = _read(checkpoint)
    wanted, task_type = TASK_TYPES[architecture], getattr(config.task_type, "value", config.task_type)
    if task_type not in (None, wanted):
        what = f"task_type {task_type}, on a base that is {architecture}"
        raise ModelError(where, what, f"an adapter trained for {wanted}")
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
    return config, tuple(text.strip().splitlines()[0] for text in texts if "Unexpected keyword" in text)


def _unsteady(config: PeftConfig) -> Refusal:
    """Options with which a text's answer hangs on chance, on the rest of the batch, or on files elsewhere."""
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
    """How many tasks the adapter has a part for; 0 where its type knows no tasks."""
    key = TASK_COUNTS.get(str(getattr(config.peft_type, "value", config.peft_type)))
    return int(getattr(config, key, 1)) if key else 0


def _task_refusal(checkpoint: Checkpoint, config: PeftConfig) -> Refusal:
    """Why the chosen task cannot answer; None where it is one of those that the adapter learned."""
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
    """Without a start from the base's values (PiSSA, OLoRA, …), which ends with tensors of the same names and
    shapes.
    """
    plain = copy.copy(config)
    for name in ("init_lora_weights", "init_weights"):
        if isinstance(getattr(config, name, None), str):
            setattr(plain, name, True)
    return plain
