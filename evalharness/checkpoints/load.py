"""Load a checkpoint into memory: weights, adapter or soft prompt, and tokenizer. An incomplete one is refused."""

from __future__ import annotations

import contextlib
import copy
import gc
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from evalharness import registry
from evalharness.checkpoints import REGISTRY, files, fingerprint, quantised, shared_weights
from evalharness.checkpoints.derived import check_unchanged
from evalharness.checkpoints.devices import device_of, dtype_of
from evalharness.checkpoints.generation_rules import generation_config
from evalharness.checkpoints.open_model import architecture_in, attention_of, from_pretrained
from evalharness.checkpoints.precision import QUANTISED
from evalharness.checkpoints.sealed import sealed
from evalharness.checkpoints.special_tokens import SpecialTokens, tokenizer_directory
from evalharness.checkpoints.tokenizer import shared_prompt_tokens, tokenizer_in
from evalharness.errors import ModelError
from evalharness.records.models import Architecture, Checkpoint, RulesFrom

if TYPE_CHECKING:
    from peft import PeftModel


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualPrefix:
    """The virtual tokens before every text: none, embeddings (virtual tokens, hidden), or a cache.

    Embeddings come before the (encoder's) text. The cache is the keys and values of every layer, each (heads, virtual
    tokens, head size); in encoder-decoder models they are of the decoder's self-attention.
    """

    embeddings: torch.Tensor | None = None
    cache: tuple[tuple[torch.Tensor, torch.Tensor], ...] | None = None

    @property
    def tokens(self) -> int:
        """Return the number of virtual tokens."""
        if self.embeddings is not None:
            return len(self.embeddings)
        return self.cache[0][0].shape[1] if self.cache else 0


@dataclass(slots=True, kw_only=True)
class ResidentWeights:
    """Full weights in memory that several adapters share.

    `model` is None once they are released. `key` identifies their source and settings. `pristine` is the model's own
    generation configuration, which decoding replaces. `marks` show whether something wrote into the weights.
    """

    model: PreTrainedModel | None
    key: tuple[str, ...]
    pristine: GenerationConfig
    marks: tuple[shared_weights.Mark, ...]


@dataclass(slots=True, kw_only=True)
class LoadedModel:
    """A model that is ready to run, in eval mode.

    `model` has the adapter layers; `bare` is the base without them (the same object if there are none). `lead` are the
    virtual tokens before every text. `around` are the special tokens around a prompt; None if they are those of the
    tokenizer. `adapter` is peft's wrapper around `model`, or None.
    """

    model: PreTrainedModel
    bare: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: torch.device
    architecture: Architecture = Architecture.CAUSAL
    lead: VirtualPrefix = field(default_factory=VirtualPrefix)
    around: SpecialTokens | None = None
    adapter: PeftModel | None = None
    resident: ResidentWeights | None = None

    @contextlib.contextmanager
    def answering(self, adapter: bool) -> Iterator[tuple[PreTrainedModel, VirtualPrefix]]:
        """Return the model and the virtual tokens before every text, with the adapter on or off."""
        yield (self.model, self.lead) if adapter else (self.bare, VirtualPrefix())

    @property
    def alone(self) -> bool:
        """Return whether each row must be computed alone. int8 uses 16 bits for columns in which any row of the batch
        has an outlier (Dettmers et al. 2022).
        """
        return any(getattr(getattr(module, "state", None), "threshold", 0.0) > 0.0 for module in self.model.modules())

    @property
    def unmergeable(self) -> str:
        """Return why the adapter cannot be merged into the base's weights; "" if it can."""
        if self.adapter is None:
            return "virtual tokens are no weights" if self.lead.tokens else "there is no adapter"
        return str(registry.find(REGISTRY, "unmergeable", "checkpoint step")(self.adapter))

    @contextlib.contextmanager
    def merged(self) -> Iterator[PreTrainedModel | None]:
        """Return the model with every adapter layer merged into its weight as it computes, one at a time; None if
        `unmergeable`.
        """
        if self.unmergeable:
            yield None
            return
        with registry.find(REGISTRY, "merged", "checkpoint step")(self.adapter) as model:
            yield model


def load(
    checkpoint: Checkpoint,
    dtype: str,
    device: str,
    resident: ResidentWeights | None = None,
    rules_from: RulesFrom | None = None,
) -> LoadedModel:
    """Load the checkpoint into memory, in eval mode.

    `dtype` is the type that weights are cast to. `rules_from` is the checkpoint whose rules of decoding are used; None
    for the generation configuration as transformers reads it. `resident` is the result of `resident_of` for the model
    before; its weights are reused if they are the same, else released. Raises ModelError if anything is missing,
    unused or does not fit, and if the files changed after they were recognised; UsageError for an unavailable dtype or
    device.
    """
    place = device_of(device)
    kind = dtype_of(dtype, place)
    if checkpoint.adapter and checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    with sealed(checkpoint) as private, _gguf_unchanged(private):
        tokenizer = tokenizer_in(tokenizer_directory(private))
        key = (fingerprint.of_weights(private.weights), dtype, str(place), checkpoint.precision)
        if resident is None or resident.model is None or resident.key != key:
            _release(resident)
            resident = _opened(private, key, kind, place)
        loaded = _answering(private, resident, tokenizer, place)
        if rules_from is not None:
            loaded.model.generation_config = loaded.bare.generation_config = generation_config(private, rules_from)
        check_unchanged(private)
    loaded.bare.name_or_path = loaded.bare.config.name_or_path = str(checkpoint.weights)
    loaded.model.name_or_path = loaded.model.config.name_or_path = str(checkpoint.weights)
    tokenizer.name_or_path = str(tokenizer_directory(checkpoint))
    return loaded


def _gguf_unchanged(private: Checkpoint) -> contextlib.AbstractContextManager[None]:
    """Refuse a GGUF file that is written while its configuration, tokenizer and weights are read one by one."""
    inside = files.gguf_file(private.weights)
    return fingerprint.unchanged([] if inside is None else [inside], afresh=False)


def _answering(
    private: Checkpoint, resident: ResidentWeights, tokenizer: PreTrainedTokenizerBase, place: torch.device
) -> LoadedModel:
    """Put the checkpoint together from the full weights in memory and its other files in private folders."""
    bare = resident.model
    assert bare is not None
    bare.generation_config = copy.deepcopy(resident.pristine)
    loaded = LoadedModel(
        model=bare,
        bare=bare,
        tokenizer=tokenizer,
        device=place,
        architecture=architecture_in(private.weights),
        around=shared_prompt_tokens(private),
        resident=resident,
    )
    if private.adapter:
        attached = registry.find(REGISTRY, "attach", "checkpoint step")(private, bare)
        loaded.model, loaded.adapter, loaded.lead = attached.model, attached.wrapped, attached.lead
    return loaded


def resident_of(loaded: LoadedModel) -> ResidentWeights | None:
    """Return the full weights of a loaded model for the next `load`; None if something wrote into them.

    `loaded` must not be used any more.
    """
    resident = loaded.resident
    if resident is None or resident.model is None or shared_weights.marks(resident.model) != resident.marks:
        _release(resident)
        return None
    return resident


def _opened(checkpoint: Checkpoint, key: tuple[str, ...], kind: torch.dtype, place: torch.device) -> ResidentWeights:
    directory = checkpoint.weights
    stored = QUANTISED in files.model_config(directory)
    options: dict[str, Any] = {
        "dtype": kind,
        "attn_implementation": attention_of(directory, architecture_in(directory)),
    }
    if stored or checkpoint.precision:
        options |= quantised.loading_options(directory, checkpoint.precision, stored, kind, place)
    with fingerprint.unchanged(files.weight_files(directory)):
        model = from_pretrained(directory, **options)
    if stored or checkpoint.precision:
        quantised.prepare_layers(directory, model)
    else:
        torch.nn.Module.to(model, place)
    # as in a model with an adapter: torch multiplies in another order if a weight requires gradients
    model.eval().requires_grad_(False)
    return ResidentWeights(
        model=model, key=key, pristine=copy.deepcopy(model.generation_config), marks=shared_weights.marks(model)
    )


def _release(resident: ResidentWeights | None) -> None:
    """Release the memory, even if something still refers to the ResidentWeights."""
    if resident is not None and resident.model is not None:
        resident.model = None
        gc.collect()
