"""A Checkpoint to a model in memory that answers, complete or refused: weights, adapter or soft prompt, tokenizer."""

from __future__ import annotations

import contextlib
import copy
import gc
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING
from transformers.utils import logging as transformers_logging

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files, fingerprint, quantised, shared_weights
from evalharness.checkpoints.precision import QUANTISED
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import Architecture, Checkpoint

if TYPE_CHECKING:
    from peft import PeftModel

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CLASSES = {Architecture.CAUSAL: AutoModelForCausalLM, Architecture.SEQ2SEQ: AutoModelForSeq2SeqLM}
MAPPINGS = {
    Architecture.CAUSAL: MODEL_FOR_CAUSAL_LM_MAPPING,
    Architecture.SEQ2SEQ: MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING,
}
WANTED = {
    Architecture.CAUSAL: "give a causal language model",
    Architecture.SEQ2SEQ: "give an encoder-decoder model that writes text",
}
UNLOADABLE = (
    OSError,
    ValueError,
    KeyError,
    RuntimeError,
    TypeError,
    AttributeError,
    ImportError,
    IndexError,
    ArithmeticError,
)
UNLOADABLE += (AssertionError, re.error, SafetensorError, StrictDataclassError)


@dataclass(frozen=True, slots=True)
class VirtualPrefix:
    """What stands before every text: nothing, embeddings (virtual tokens, hidden), or a cache.

    Embeddings stand before the text, of encoder-decoder models the encoder's. The cache is (keys, values) of every
    layer, each (heads, virtual tokens, head size); of encoder-decoder models those of the decoder's self-attention.
    """

    embeddings: torch.Tensor | None = None
    cache: tuple[tuple[torch.Tensor, torch.Tensor], ...] | None = None

    @property
    def tokens(self) -> int:
        """How many virtual tokens there are."""
        if self.embeddings is not None:
            return len(self.embeddings)
        return self.cache[0][0].shape[1] if self.cache else 0


@dataclass(slots=True)
class Resident:
    """Full weights in memory that adapters are put on and that stay as they are; `model` is None once released.

    `key` is what they were loaded from and how; `pristine` is the model's own generation configuration, which decoding
    replaces.
    """

    model: PreTrainedModel | None
    key: tuple[str, ...]
    pristine: GenerationConfig | None
    marks: tuple[shared_weights.Mark, ...]


@dataclass(slots=True)
class Loaded:
    """A model that answers: `model`, in eval mode, adapter layers inside; `bare` is the base without (the same object
    where nothing is put in).

    `adapter` is peft's wrapper around `model`, or None.
    """

    model: PreTrainedModel
    bare: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    architecture: Architecture = Architecture.CAUSAL
    lead: VirtualPrefix = field(default_factory=VirtualPrefix)
    adapter: PeftModel | None = None
    resident: Resident | None = None

    @contextlib.contextmanager
    def answering(self, adapter: bool) -> Iterator[tuple[PreTrainedModel, VirtualPrefix]]:
        """With the adapter on or off: the model to ask, and what to put before every text."""
        yield (self.model, self.lead) if adapter else (self.bare, VirtualPrefix())

    @property
    def alone(self) -> bool:
        """Must each row be asked alone? int8 keeps the columns of 16 bits in which any row of the batch has an outlier
        (Dettmers et al. 2022).
        """
        return any(getattr(getattr(module, "state", None), "threshold", 0.0) > 0.0 for module in self.model.modules())

    @property
    def unmergeable(self) -> str:
        """Why the adapter cannot be merged into the base's weights; "" where it can."""
        if self.adapter is None:
            return "virtual tokens are no weights" if self.lead.tokens else "there is no adapter"
        return str(registry.find(REGISTRY, "unmergeable", "checkpoint step")(self.adapter))

    @contextlib.contextmanager
    def merged(self) -> Iterator[PreTrainedModel | None]:
        """The model computing with every adapter layer merged into its weight, one at a time; None where that cannot
        be, see `unmergeable`.
        """
        if self.unmergeable:
            yield None
            return
        with registry.find(REGISTRY, "merged", "checkpoint step")(self.adapter) as model:
            yield model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and load reports (their content is raised as errors here), nor peft's one
    deprecation notice.
    """
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
    """The torch type. Raises UsageError for an unknown one, and for float16 on a CPU, which has no kernels of use for
    it.
    """
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


def attention_of(directory: Path, architecture: Architecture = Architecture.CAUSAL) -> str:
    """The attention implementation that the model is opened with: sdpa where the architecture has it, else eager."""
    with quiet():
        try:
            model = MAPPINGS[architecture][type(AutoConfig.from_pretrained(directory, local_files_only=True))]
        except UNLOADABLE as error:
            raise ModelError(
                directory,
                f"no {architecture} model that transformers knows ({first_line(error)})",
                WANTED[architecture],
            ) from None
    return "sdpa" if model._supports_sdpa else "eager"


def architecture_of(directory: Path) -> Architecture:
    """What config.json says: an encoder-decoder model or a causal one."""
    return (
        Architecture.SEQ2SEQ
        if files.read_json(directory / files.CONFIG).get("is_encoder_decoder") is True
        else Architecture.CAUSAL
    )


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
    config = (
        files.read_json(directory / files.TOKENIZER_CONFIG) if (directory / files.TOKENIZER_CONFIG).is_file() else {}
    )
    if "auto_map" in config:
        raise ModelError(
            directory / files.TOKENIZER_CONFIG,
            "asks to run code from the checkpoint (auto_map)",
            "remote code is never run",
        )
    try:
        with quiet():
            return AutoTokenizer.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # tokenizers raises plain Exception
        raise ModelError(
            directory, f"its tokenizer cannot be read ({first_line(error)})", "save the tokenizer again"
        ) from None


def from_pretrained(directory: Path, **options: Any) -> PreTrainedModel:
    """Full weights to a model, every tensor accounted for. Raises ModelError naming tensors that are missing, extra or
    of the wrong shape.
    """
    with quiet():
        try:
            model, found = CLASSES[architecture_of(directory)].from_pretrained(
                directory,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # they are named below, together
                **options,
            )
        except UNLOADABLE as error:
            stored = QUANTISED in files.read_json(directory / files.CONFIG)
            fix = (
                "install the library that quantised it, or give the weights before quantisation"
                if stored
                else "give a complete checkpoint"
            )
            raise ModelError(directory, f"cannot be loaded ({first_line(error)})", fix) from None
    wrong = [f"missing {names(found['missing_keys'])}"] if found["missing_keys"] else []
    wrong += [f"unexpected {names(found['unexpected_keys'])}"] if found["unexpected_keys"] else []
    wrong += [
        f"wrong shape {name}: {tuple(has)} where {tuple(wants)} belongs"
        for name, has, wants in sorted(found["mismatched_keys"])[:5]
    ]
    wrong += [first_line(RuntimeError(message)) for message in found.get("error_msgs") or ()]
    if wrong:
        raise ModelError(
            directory,
            f"its tensors do not fit its config.json: {'; '.join(wrong)}",
            "save the checkpoint again, or mend config.json",
        )
    return model


def names(keys: Any) -> str:
    """A few names in order, and how many more."""
    ordered = sorted(keys)
    return ", ".join(ordered[:5]) + (f" and {len(ordered) - 5} more" if len(ordered) > 5 else "")


def load(checkpoint: Checkpoint, dtype: str, device: str, resident: Resident | None = None) -> Loaded:
    """The checkpoint in memory, in eval mode. `dtype` is what weights are cast to, whatever they are stored in.

    `resident` is what `resident_of` gave for the model loaded before: its weights are taken over where they are the
    ones wanted, else released. Raises ModelError where anything is missing, left over or does not fit, UsageError for a
    dtype or device that cannot be had.
    """
    place = device_of(device)
    kind = dtype_of(dtype, place)
    if checkpoint.adapter and checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    tokenizer = load_tokenizer(tokenizer_directory(checkpoint))
    key = (fingerprint.of_weights(checkpoint.weights), dtype, str(place), checkpoint.precision)
    if resident is None or resident.model is None or resident.key != key:
        _release(resident)
        resident = _residing(checkpoint, key, kind, place)
    bare = resident.model
    assert bare is not None
    bare.generation_config = copy.deepcopy(resident.pristine)
    loaded = Loaded(bare, bare, tokenizer, place, architecture_of(checkpoint.weights), resident=resident)
    if checkpoint.adapter:
        put = registry.find(REGISTRY, "attach", "checkpoint step")(checkpoint, bare)
        loaded.model, loaded.adapter, loaded.lead = put.model, put.wrapped, put.lead
    return loaded


def resident_of(loaded: Loaded) -> Resident | None:
    """The full weights to hand to the next `load`; None where something wrote into them. `loaded` answers no more."""
    resident = loaded.resident
    if resident is None or resident.model is None or shared_weights.marks(resident.model) != resident.marks:
        _release(resident)
        return None
    return resident


def _residing(checkpoint: Checkpoint, key: tuple[str, ...], kind: torch.dtype, place: torch.device) -> Resident:
    directory = checkpoint.weights
    stored = QUANTISED in files.read_json(directory / files.CONFIG)
    options: dict[str, Any] = {
        "dtype": kind,
        "attn_implementation": attention_of(directory, architecture_of(directory)),
    }
    if stored or checkpoint.precision:
        model = from_pretrained(
            directory, **options, **quantised.options(directory, checkpoint.precision, stored, kind, place)
        )
        quantised.settle(directory, model)
    else:
        model = from_pretrained(directory, **options).to(place)
    model.eval().requires_grad_(
        False
    )  # as in an adapter's twin: torch multiplies in another order where a weight wants gradients
    return Resident(model, key, copy.deepcopy(model.generation_config), shared_weights.marks(model))


def _release(resident: Resident | None) -> None:
    """Let the memory go, whoever still holds the Resident."""
    if resident is not None and resident.model is not None:
        resident.model = None
        gc.collect()
