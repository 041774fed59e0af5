"""Forecast the memory of a training from config.json alone: run one step on tensors without data, and count the bytes.

The model is built, made trainable and run forward and backward as `train` does, but on torch's fake tensors, which have
shapes and types and no values. So every architecture is counted by its own code, with the attention that the CPU would
choose (sdpa keeps no scores of length × length, eager attention does). What is counted:

* weights: float32 if they change (`--dtype bfloat16` leaves them so, and computes in bfloat16 beside them), in
  `--dtype` under an adapter, 4 bits and double-quantised constants under qlora (0.516 bytes, Dettmers et al. 2023:
  0.5 + 1/64 + 4/(64·256)), whose embeddings, norms and head are float32;
* gradients: as many bytes as the trained values; optimiser: AdamW's two moments in float32, 8 bytes a trained value.
  A full training holds 4 + 4 + 8 = 16 bytes a parameter in float32. With `held` bfloat16 it is 2 + 2 + 8 = 12, the
  count by which 65 billion parameters need 780 GB (Dettmers et al. 2023);
* activations: all that lives during forward and backward beside these: what layers save for the backward pass, logits
  of the learned positions (rows × answer × vocabulary), their log-softmax and its gradient, and temporary values.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from peft import PeftModel
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, PreTrainedModel

from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.discover import directory_of
from evalharness.checkpoints.files import CONFIG, model_config
from evalharness.checkpoints.libraries import UNLOADABLE, quiet
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.open_model import CLASSES, architecture_in, architecture_of, attention_of
from evalharness.checkpoints.precision import QUANTISED
from evalharness.errors import ModelError, first_line
from evalharness.records.models import Architecture, Method
from evalharness.training.adapt import TrainableModel, adapt, expected_warnings, parameter_counts
from evalharness.training.memory import MemoryForecast, RowShape
from evalharness.training.recipe import Recipe
from evalharness.training.targets import linear_layers

logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)  # this module reports its errors
MOMENTS = 2 * 4  # bytes of AdamW's states, a trained value
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)  # a weight with its share of double-quantised constants
CHECKPOINTING = {"use_reentrant": False, "preserve_rng_state": False}  # there is no random state without values
SAVED = 4  # bytes of an adapter's value


class LiveBytes(TorchDispatchMode):
    """Counts the bytes of living tensors, and the most beyond those of complete gradients."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.complete = self.peak = self.activations = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation, and count its results."""
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        return result

    def _count(self, storage: torch.UntypedStorage) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._storages:
            return
        self._storages.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        self.activations = max(self.activations, self.live - self.complete)
        weakref.finalize(storage, self._release, key, size)

    def _release(self, key: int, size: int) -> None:
        self._storages.discard(key)
        self.live -= size

    def begin(self) -> None:
        """Count from here on."""
        self.live = self.complete = self.peak = self.activations = 0

    def completed(self, parameter: torch.Tensor) -> None:
        """Record that a parameter has its gradient."""
        assert parameter.grad is not None
        self.complete += parameter.grad.nbytes


def forecast(recipe: Recipe, shape: RowShape) -> MemoryForecast:
    """Count the memory of a training by the recipe; of the base only config.json is needed.

    Raises ModelError if no such model can be built or run, UsageError if the method trains nothing in it.
    """
    live = LiveBytes()
    with expected_warnings():
        with torch.device("meta"):
            model = _built(recipe, shape)
            trainable = adapt(model, recipe)
        packed = _quantise(model) if recipe.method == Method.QLORA else {}
        try:
            with FakeTensorMode(allow_non_fake_inputs=True), live:
                _make_fake(trainable)
                _step(trainable, recipe, shape, live)
        except UNLOADABLE as error:
            what = f"such rows cannot pass through it by --method {recipe.method} ({first_line(error)})"
            raise ModelError(recipe.base, what, "another method, or another base") from None
    return _summed(recipe, trainable, packed, live)


def _built(recipe: Recipe, shape: RowShape) -> PreTrainedModel:
    directory = directory_of(parse(recipe.base))
    architecture = architecture_in(directory)
    dtype = recipe.dtype if recipe.definition.adapter else shape.held
    if recipe.method == Method.QLORA:
        dtype = "bfloat16"
    with quiet():
        try:
            config = AutoConfig.from_pretrained(directory, local_files_only=True, trust_remote_code=False)
            if hasattr(config, QUANTISED):
                delattr(config, QUANTISED)
            model: PreTrainedModel = CLASSES[architecture].from_config(
                config, dtype=DTYPES[dtype], attn_implementation=attention_of(directory, architecture)
            )
        except UNLOADABLE as error:
            what = f"cannot be built ({first_line(error)})"
            raise ModelError(directory / CONFIG, what, "give an architecture that transformers has") from None
    return model


def _quantise(model: PreTrainedModel) -> dict[str, int]:
    """Set the types of a model under qlora: all but the linear layers float32. Return the number of 4-bit weights by
    name: those of every linear layer but the head.
    """
    layers = {id(layer.weight) for layer in linear_layers(model).values()}
    packed = {}
    for name, parameter in model.named_parameters():
        if id(parameter) in layers and not parameter.requires_grad:
            packed[name] = parameter.numel()
        else:
            parameter.data = parameter.data.float()
    return packed


def _make_fake(model: nn.Module) -> None:
    """Replace tensors of the meta device by fake ones of the CPU, so that attention is chosen as on a CPU."""
    before = [*model.parameters(), *model.buffers()]  # alive, so that none of their ids is reused
    fakes: dict[int, torch.Tensor] = {}
    for module in model.modules():
        every: tuple[dict[str, Any], ...] = (module._parameters, module._buffers)
        for places in every:
            for name, tensor in places.items():
                if tensor is None:
                    continue
                if id(tensor) not in fakes:
                    fake = torch.empty(tensor.shape, dtype=tensor.dtype)
                    is_parameter = isinstance(tensor, nn.Parameter)
                    fakes[id(tensor)] = nn.Parameter(fake, tensor.requires_grad) if is_parameter else fake
                places[name] = fakes[id(tensor)]
    before.clear()


def _step(model: TrainableModel, recipe: Recipe, shape: RowShape, live: LiveBytes) -> None:
    """Run rows forward and backward as the Trainer does, under autocast if it computes in bfloat16."""
    model.train()
    if recipe.gradient_checkpointing:
        model.activation_checkpointing_enable(activation_checkpointing_kwargs=CHECKPOINTING)
        if isinstance(model, PeftModel):
            model.enable_input_require_grads()
    for parameter in filter(lambda each: each.requires_grad, model.parameters()):
        parameter.register_post_accumulate_grad_hook(live.completed)
    batch = _batch(model, recipe, shape)
    mixed = recipe.method == Method.QLORA or recipe.dtype == "bfloat16"
    live.begin()
    with torch.autocast("cpu", torch.bfloat16) if mixed and shape.held != "bfloat16" else nullcontext():
        loss = _loss(model, batch, shape, recipe)
    loss.backward()


def _batch(model: TrainableModel, recipe: Recipe, shape: RowShape) -> dict[str, torch.Tensor]:
    rows = recipe.batch_size
    batch = {
        "input_ids": torch.zeros(rows, shape.length, dtype=torch.long),
        "attention_mask": torch.ones(rows, shape.length, dtype=torch.long),
    }
    if architecture_of(model) == Architecture.SEQ2SEQ:
        batch["labels"] = torch.zeros(rows, shape.answer, dtype=torch.long)
    return batch


def _loss(model: TrainableModel, batch: Mapping[str, torch.Tensor], shape: RowShape, recipe: Recipe) -> torch.Tensor:
    """Compute a loss as `completion_loss` does, with the head only at the last learned positions, because the labels
    have no values from which these could be read.
    """
    caches = recipe.method == Method.PREFIX
    with _head_at_the_end(model, 0 if "labels" in batch else shape.answer):
        logits = model(**batch, use_cache=caches).logits
    logits = logits.flatten(0, 1).float()
    labels = torch.zeros(len(logits), dtype=torch.long)
    return nn.functional.cross_entropy(logits, labels, reduction="sum")


@contextmanager
def _head_at_the_end(model: TrainableModel, learned: int) -> Iterator[None]:
    """Compute the head only at the last `learned` positions of each row; 0: at all."""
    head = model.get_output_embeddings()
    if not learned or head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda _, args: (args[0][:, -learned:].flatten(0, 1)[None], *args[1:]))
    try:
        yield
    finally:
        hook.remove()


def _summed(recipe: Recipe, model: TrainableModel, packed: Mapping[str, int], live: LiveBytes) -> MemoryForecast:
    trained, whole = parameter_counts(model)
    gradients = sum(each.nbytes for each in model.parameters() if each.requires_grad)
    beside = gradients if recipe.definition.adapter else 0
    every = sum(each.nbytes for each in (*model.parameters(), *model.buffers())) - beside
    weights = every + round(sum(packed.values()) * (NF4_BYTES - 2))
    unpacked = 2 * max(packed.values(), default=0)  # one layer at a time, in bfloat16
    activations, moments = live.activations + unpacked, MOMENTS * trained
    most = gradients + activations if recipe.gradient_accumulation > 1 else live.peak + unpacked
    return MemoryForecast(
        method=recipe.method,
        parameters=whole,
        trainable=trained,
        weights=weights,
        adapter=beside,
        gradients=gradients,
        optimiser=moments,
        activations=activations,
        peak=weights + beside + moments + max(most, gradients),
        disk=_disk(recipe, model, trained, whole),
    )


def _disk(recipe: Recipe, model: TrainableModel, trained: int, whole: int) -> int:
    """Count the bytes of the saved tensors: with p-tuning the virtual tokens without their network, with full weights
    all in the type of config.json.
    """
    if not isinstance(model, PeftModel):
        config = model_config(directory_of(parse(recipe.base)))
        stated = recipe.save_dtype or config.get("dtype") or config.get("torch_dtype")
        return whole * DTYPES.get(str(stated), torch.float32).itemsize
    if recipe.method == Method.P_TUNING:
        tokens: Any = model.peft_config["default"]
        trained = tokens.num_virtual_tokens * tokens.token_dim
    return trained * (SAVED if recipe.save_dtype is None else DTYPES[recipe.save_dtype].itemsize)
