"""A Checkpoint to a model in memory that answers, complete or refused: weights, adapter or soft prompt, tokenizer."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from evalharness import registry
from evalharness.checkpoints import KNOWN, files
from evalharness.errors import ModelError, UsageError
from evalharness.records import Checkpoint

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
UNLOADABLE = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError, ImportError, SafetensorError)


@dataclass(slots=True)
class Loaded:
    """A model that answers. `model` is the plain transformers model (with LoRA layers inside, if any) in eval mode.

    `soft_prompt` is (virtual tokens, hidden) or None; `lora` is peft's wrapper around `model` or None.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    soft_prompt: torch.Tensor | None = None
    lora: Any | None = None

    @contextlib.contextmanager
    def answering(self, adapter: bool) -> Iterator[torch.Tensor | None]:
        """With the adapter on or off; gives the soft prompt to put before every text, None for none."""
        if adapter or self.lora is None:
            yield self.soft_prompt if adapter else None
        else:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", message="Careful, disabling adapter layers with bias")  # `verify` gives that notice
                with self.lora.disable_adapter():
                    yield None


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and load reports (their content is raised as errors here), nor peft's one deprecation notice."""
    bars, level = transformers_logging.is_progress_bar_enabled(), transformers_logging.get_verbosity()
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*is_gradient_checkpointing.*", category=FutureWarning)
            yield
    finally:
        transformers_logging.set_verbosity(level)
        if bars:
            transformers_logging.enable_progress_bar()


def dtype_of(name: str, device: torch.device) -> torch.dtype:
    """The torch type. Raises UsageError for an unknown one, and for float16 on a CPU, which has no kernels of use for it."""
    if name not in DTYPES:
        raise UsageError("--dtype", f"unknown dtype {name!r}", f"one of {', '.join(DTYPES)}")
    if name == "float16" and device.type == "cpu":
        raise UsageError("--dtype", "float16 on a CPU is slow and inexact", "use float32 or bfloat16")
    return DTYPES[name]


def device_of(name: str) -> torch.device:
    """ "auto" to the accelerator if there is one, else the CPU. Raises UsageError for a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UsageError("--device", f"unknown device {name!r}", "auto, cpu or cuda") from None
    if device.type not in ("cpu", "cuda"):
        raise UsageError("--device", f"device {name!r} is not supported", "auto, cpu or cuda")
    if device.type == "cuda" and not (torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()):
        raise UsageError("--device", f"{name} asked for, but torch sees no such device", "use --device auto or cpu")
    return device


def attention_of(directory: Path) -> str:
    """The attention implementation that the model is opened with: sdpa where the architecture has it, else eager."""
    with quiet():
        try:
            architecture = MODEL_FOR_CAUSAL_LM_MAPPING[type(AutoConfig.from_pretrained(directory, local_files_only=True))]
        except UNLOADABLE as error:
            raise ModelError(directory, f"no causal model that transformers knows ({first_line(error)})", "give a causal language model") from None
    return "sdpa" if architecture._supports_sdpa else "eager"


def first_line(error: BaseException) -> str:
    """The first line of an error's text, or its type where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def tokenizer_directory(checkpoint: Checkpoint) -> Path:
    """Whose tokenizer speaks for the checkpoint: its own, else (adapters) its base's."""
    if checkpoint.base is not None and checkpoint.adapter and not files.has_tokenizer(checkpoint.path):
        return checkpoint.base
    return checkpoint.path


def load_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer that lies in a directory. Raises ModelError where there is none or it cannot be read."""
    if not files.has_tokenizer(directory):
        raise ModelError(directory, "no tokenizer", "save the tokenizer beside the weights (tokenizer.save_pretrained)")
    config = files.read_json(directory / files.TOKENIZER_CONFIG) if (directory / files.TOKENIZER_CONFIG).is_file() else {}
    if "auto_map" in config:
        raise ModelError(directory / files.TOKENIZER_CONFIG, "asks to run code from the checkpoint (auto_map)", "remote code is never run")
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(directory, f"its tokenizer cannot be read ({first_line(error)})", "save the tokenizer again") from None


def from_pretrained(directory: Path, **options: Any) -> PreTrainedModel:
    """Full weights to a model, every tensor accounted for. Raises ModelError naming tensors that are missing, extra or of the wrong shape."""
    with quiet():
        try:
            model, found = AutoModelForCausalLM.from_pretrained(
                directory,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are named below, together
                **options,
            )
        except UNLOADABLE as error:
            raise ModelError(directory, f"cannot be loaded ({first_line(error)})", "give a complete causal checkpoint") from None
    wrong = [f"missing {names(found['missing_keys'])}"] if found["missing_keys"] else []
    wrong += [f"unexpected {names(found['unexpected_keys'])}"] if found["unexpected_keys"] else []
    wrong += [f"wrong shape {name}: {tuple(has)} where {tuple(wants)} belongs" for name, has, wants in sorted(found["mismatched_keys"])[:5]]
    wrong += [first_line(RuntimeError(message)) for message in found.get("error_msgs") or ()]
    if wrong:
        raise ModelError(directory, f"its tensors do not fit its config.json: {'; '.join(wrong)}", "save the checkpoint again, or mend config.json")
    return model


def names(keys: Any) -> str:
    """A few names in order, and how many more."""
    ordered = sorted(keys)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


def soft_prompt(checkpoint: Checkpoint, model: PreTrainedModel) -> torch.Tensor:
    """The virtual tokens' embeddings, (virtual tokens, hidden), in the model's dtype and on its device."""
    path = checkpoint.path / files.ADAPTER
    table = model.get_input_embeddings().weight
    wanted = {"prompt_embeddings": (checkpoint.virtual_tokens, table.shape[1])}
    found = {name: facts.shape for name, facts in files.tensors(path).items()}
    if found != wanted:
        raise ModelError(
            path,
            f"holds {found}, its configuration and base want {wanted}",
            "the soft prompt is for another base or was cut: give --base, or save it again",
        )
    return load_file(path)["prompt_embeddings"].to(device=table.device, dtype=table.dtype)


def load(checkpoint: Checkpoint, dtype: str, device: str) -> Loaded:
    """The checkpoint in memory, in eval mode. `dtype` is what weights are cast to, whatever they are stored in.

    Raises ModelError where anything is missing, left over or does not fit, UsageError for a dtype or device that cannot be had.
    """
    place = device_of(device)
    kind, adapted = dtype_of(dtype, place), checkpoint.adapter
    if adapted and checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    directory = checkpoint.base if adapted and checkpoint.base is not None else checkpoint.path
    tokenizer = load_tokenizer(tokenizer_directory(checkpoint))
    model = from_pretrained(directory, dtype=kind, attn_implementation=attention_of(directory)).to(place)
    loaded = Loaded(model.eval(), tokenizer, place)
    if checkpoint.kind == "lora":
        loaded.lora = registry.find(KNOWN, "lora", "checkpoint step")(checkpoint, model)
        loaded.model = loaded.lora.get_base_model().eval()
    elif checkpoint.kind == "prompt":
        loaded.soft_prompt = soft_prompt(checkpoint, model)
    return loaded
