"""Open the weights that training starts from, of the base or of the stage before, and describe the new candidate's
lineage.
"""

from __future__ import annotations

import importlib.util
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from peft import PeftConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from safetensors.torch import load_file
from transformers import PreTrainedModel

from evalharness.checkpoints.derived import check_unchanged
from evalharness.checkpoints.devices import device_of
from evalharness.checkpoints.discover import base_named_in
from evalharness.checkpoints.files import ADAPTER
from evalharness.checkpoints.load import LoadedModel, load
from evalharness.checkpoints.naming import parse
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.sealed import sealed
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import Architecture, Checkpoint, Method, ModelKind
from evalharness.training.adapt import TABLE, TrainableModel, adapt, expected_warnings
from evalharness.training.methods import flag
from evalharness.training.origin import Origin, origin_of
from evalharness.training.recipe import Recipe

PRECISION = "nf4"  # of the weights under qlora
NO_BITSANDBYTES, INSTALL = "bitsandbytes is not installed", "pip install 'evalharness[quant]'"
PEFT_FIELDS = {  # option -> the field of peft's configurations with the same meaning
    "rank": "r",
    "alpha": "lora_alpha",
    "dropout": "lora_dropout",
    "targets": "target_modules",
    "dora": "use_dora",
    "rslora": "use_rslora",
    "virtual_tokens": "num_virtual_tokens",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingPoint:
    """The checkpoint that a training starts from.

    `weights`: the full weights (for an adapter, those of its base). `base`: the checkpoint that the candidate is
    compared with by default. Both are the same, except for full weights trained after a stage (an earlier training),
    which are compared with the first base. `origin`: facts of their files. `after`: the stage before, None without one.
    """

    weights: Checkpoint
    base: Checkpoint
    origin: Origin
    after: Checkpoint | None = None

    @property
    def adapter(self) -> Checkpoint | None:
        """Return the adapter of the stage before, which is trained further; None without one."""
        return self.after if self.after is not None and self.after.adapter else None


def check_machine(recipe: Recipe) -> None:
    """Raise UsageError, before anything is read, for a missing device, and for quantisation that this machine lacks."""
    device = device_of(recipe.device)
    if (device.index or 0) > 0:
        raise UsageError(
            "--device",
            f"{recipe.device}: training uses the first accelerator that it sees",
            "set CUDA_VISIBLE_DEVICES and give --device cuda",
        )
    if recipe.method == Method.QLORA and device.type != "cuda":
        raise UsageError(
            "--method qlora",
            "4-bit weights need an NVIDIA GPU, and this training has none",
            "--method lora trains the same updates",
        )
    if recipe.method == Method.QLORA and importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("--method qlora", NO_BITSANDBYTES, f"{INSTALL}, or use --method lora")
    name = recipe.optimizer or ""
    if "paged" in name and device.type != "cuda":
        what = f"{name} pages its states out of an NVIDIA GPU, and there is none"
        raise UsageError("--optimizer", what, "use adamw_8bit, adamw_torch or adafactor")
    if "bit" in name and importlib.util.find_spec("bitsandbytes") is None:
        raise UsageError("--optimizer", f"{name}: {NO_BITSANDBYTES}", f"{INSTALL}, or use adamw_torch or adafactor")


def starting_point(recipe: Recipe) -> StartingPoint:
    """Recognise the weights that training starts from. Raises ModelError or UsageError if the base or the stage before
    cannot be trained further.
    """
    start = _from_base(recipe) if recipe.after is None else _after_stage(recipe, recipe.after)
    if start.weights.precision and not recipe.definition.adapter:
        raise ModelError(
            start.weights.path,
            f"its weights are quantised ({start.weights.precision}), which only adapters can be trained on",
            "give the weights before quantisation, or --method lora",
        )
    return start


def _from_base(recipe: Recipe) -> StartingPoint:
    base = recognise(recipe.base, role="base")
    if base.kind != ModelKind.BASE:
        raise ModelError(
            base.path,
            "is an adapter, not a base to train",
            "go on from it with --after, or merge it into its base first",
        )
    return StartingPoint(weights=base, base=base, origin=origin_of(base, base))


def _after_stage(recipe: Recipe, stage: str) -> StartingPoint:
    after = recognise(stage, base=recipe.base or None)
    verify(after)
    first_base = recognise(str(after.base), role="base") if after.base is not None else None
    if not after.adapter:
        weights = recognise(str(after.path), role="base")
        compared = weights if recipe.definition.adapter or first_base is None else first_base
        return StartingPoint(weights=weights, base=compared, origin=origin_of(weights, compared), after=after)
    assert first_base is not None  # adapters are not recognised without
    _check_continuable(recipe, after)
    return StartingPoint(weights=first_base, base=first_base, origin=origin_of(first_base, first_base), after=after)


def _check_continuable(recipe: Recipe, after: Checkpoint) -> None:
    """Raise UsageError for an adapter that the method cannot train further."""
    adapter = recipe.definition.adapter
    if adapter != after.adapter and (adapter or after.virtual_tokens):
        raise UsageError(
            "--after",
            f"{after.path} is an adapter of type {after.adapter}, on which {recipe.method} cannot be put",
            _instead(after),
        )
    if after.adapter == "P_TUNING":
        raise UsageError(
            "--after",
            f"{after.path}: p-tuning leaves no network to go on training",
            "train it in one go, or use --method prompt",
        )
    if (recipe.method == Method.QLORA) != (after.precision == PRECISION) and adapter:
        raise UsageError(
            "--after",
            f"{after.path} was trained on weights of another precision",
            "go on with the method that it was trained with",
        )


def _instead(after: Checkpoint) -> str:
    """Return what can be done with an adapter instead. Virtual tokens are not in the weights and cannot be merged."""
    if not after.virtual_tokens:
        return "go on with the same method, or merge it into its base first"
    anew = f"begin anew with --base {after.base}: virtual tokens cannot be merged into weights"
    return anew if after.adapter == "P_TUNING" else f"go on with the same method, or {anew}"


def open_weights(recipe: Recipe, start: StartingPoint) -> LoadedModel:
    """Open the weights that training starts from. Methods that change the weights themselves train them in float32.

    Weights under qlora are in 4 bits and compute in bfloat16; those that are not quantised are float32 (Dettmers et al.
    2023).
    """
    if recipe.method != Method.QLORA:
        return load(start.weights, recipe.dtype if recipe.definition.adapter else "float32", recipe.device)
    loaded = load(replace(start.weights, precision=PRECISION), "bfloat16", recipe.device)
    loaded.model = prepare_model_for_kbit_training(loaded.model, use_gradient_checkpointing=False)
    return loaded


def make_trainable(model: PreTrainedModel, recipe: Recipe, start: StartingPoint) -> tuple[TrainableModel, Recipe]:
    """Return the model with its trainable parts, and the recipe with the rank, targets and length of an adapter that is
    trained further.

    Full weights start from the adapter merged into its base. Raises UsageError for options that differ from the
    adapter's, ModelError if its files changed since it was recognised.
    """
    if start.adapter is None:
        return adapt(model, recipe), recipe
    with expected_warnings():
        with sealed(start.adapter) as private:
            check_unchanged(private)
            if recipe.definition.soft:
                wrapped = _with_virtual_tokens(model, private)
            else:
                is_trainable = bool(recipe.definition.adapter)
                wrapped = PeftModel.from_pretrained(model, str(private.path), is_trainable=is_trainable)
        if not recipe.definition.adapter:
            return adapt(wrapped.merge_and_unload(safe_merge=True), recipe), recipe
        return wrapped, _with_options_of(wrapped.peft_config["default"], recipe)


@torch.no_grad()
def _with_virtual_tokens(model: PreTrainedModel, after: Checkpoint) -> PeftModel:
    """Wrap the model with the stage's virtual tokens for further training, which peft itself loads for inference only.
    The values that a network computed before are trained directly.
    """
    config = PeftConfig.from_pretrained(str(after.path))
    config.inference_mode, config.base_model_name_or_path = False, None
    for name, value in (("prefix_projection", False), ("prompt_tuning_init", "RANDOM")):
        if hasattr(config, name):
            setattr(config, name, value)
    wrapped: PeftModel = get_peft_model(model, config)
    wrapped.get_parameter(TABLE).copy_(load_file(after.path / ADAPTER)["prompt_embeddings"])
    return wrapped


def _with_options_of(config: PeftConfig, recipe: Recipe) -> Recipe:
    """Return the recipe with the options of the adapter that is trained further. Raises UsageError for other ones."""
    options: dict[str, Any] = {}
    for option, name in PEFT_FIELDS.items():
        if option not in recipe.definition.options or not hasattr(config, name):
            continue
        has, value = getattr(config, name), getattr(recipe, option)
        has = tuple(sorted(has)) if isinstance(has, set | list) else has
        in_order = tuple(sorted(value)) if isinstance(value, tuple) else value
        if value not in (None, False) and in_order != has and not (option == "targets" and isinstance(value, str)):
            raise UsageError(flag(option), f"{value!r}: the adapter that goes on has {has!r}", "leave it out")
        options[option] = has
    return replace(recipe, **options)


def token_limits(recipe: Recipe, start: StartingPoint) -> tuple[int | None, int | None]:
    """Return the most tokens of an example (or of the encoder's text), and of a decoder's answer; None: no limit.

    They follow from the window without virtual tokens, and from --max-length. Raises UsageError if the virtual tokens
    fill the window.
    """
    window, virtual = start.weights.window, 0
    if recipe.definition.soft:
        virtual = start.adapter.virtual_tokens if start.adapter is not None else recipe.option("virtual_tokens")
    on_decoder = recipe.method == Method.PREFIX and start.weights.architecture == Architecture.SEQ2SEQ
    limit, answer_limit = (
        None if window is None else window - (0 if off else virtual) for off in (on_decoder, not on_decoder)
    )
    if any(each is not None and each < 2 for each in (limit, answer_limit)):
        raise UsageError("--virtual-tokens", f"{virtual} leave no space in a window of {window}", "fewer")
    longest = recipe.max_length
    if longest is None:
        return limit, answer_limit
    return min(longest, limit or longest), min(longest, answer_limit or longest)


def _typed_base(start: StartingPoint, recipe: Recipe) -> str:
    """Return the base as it was named: on the command line, else by the stage before, a local one as its path from
    here.
    """
    after = start.after
    if after is not None and start.base.path == start.weights.path and start.adapter is None:
        return str(recipe.after)
    if recipe.base:
        return recipe.base
    own_name = base_named_in(after.path) if after is not None else None
    return own_name if own_name is not None and parse(own_name).on_hub else os.path.relpath(start.base.path)


def base_named(start: StartingPoint, recipe: Recipe) -> tuple[str, str | None]:
    """Return the name of the weights under an adapter, for adapter_config.json: (hub id, revision), or (path as it was
    typed, None). A path cannot be mistaken for a hub id.
    """
    spec = parse(_typed_base(start, recipe))
    if spec.on_hub:
        return spec.location, spec.revision
    path = str(spec.path)
    return (path if path.startswith((".", "/")) else f"./{path}"), None


def lineage(start: StartingPoint, recipe: Recipe, place: Path) -> dict[str, Any]:
    """Describe the base and the stage before for training.json. Their paths are relative to `place`, the candidate's
    directory, so that all can move together.
    """
    out, after = place.resolve(), start.after
    typed = _typed_base(start, recipe)
    base = typed if parse(typed).on_hub else os.path.relpath(start.base.path, out)
    names: dict[str, Any] = {"base": base, "base_as_given": typed}
    if after is not None:
        path = recipe.after if parse(str(recipe.after)).on_hub else os.path.relpath(after.path, out)
        stage = {"path": path, "name": after.name, "kind": after.kind}
        names["after"] = {**stage, "fingerprint": after.fingerprint, "target_task": after.target_task}
        if after.base is not None and start.base.path == after.path:
            names["first_base"] = os.path.relpath(after.base, out)
    return names
