"""A recipe to what training starts from: the base, or the stage before, in memory, and what the candidate will stand
on.
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

from evalharness.checkpoints.devices import device_of
from evalharness.checkpoints.files import ADAPTER
from evalharness.checkpoints.load import LoadedModel, load
from evalharness.checkpoints.recognise import recognise
from evalharness.checkpoints.verify import verify
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import Architecture, Checkpoint
from evalharness.training.adapt import Trained, adapt, expected_warnings
from evalharness.training.recipe import Recipe

PRECISION = "nf4"  # of the weights under qlora
OF_CONFIG = {  # options to the fields of peft's configurations that say the same
    "rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "targets": "target_modules",
    "dora": "use_dora", "rslora": "use_rslora", "virtual_tokens": "num_virtual_tokens",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Start:
    """`under`: the full weights that training starts from (an adapter's own base); `base`: what the candidate is
    compared with by default.

    They are one, but for full weights trained after a stage: those are compared with the first base. `after`: the stage
    before, if any.
    """

    under: Checkpoint
    base: Checkpoint
    after: Checkpoint | None = None

    @property
    def continues(self) -> bool:
        """Does training go on in the very adapter of the stage before?"""
        return self.after is not None and bool(self.after.adapter)


def check_machine(recipe: Recipe) -> None:
    """Raises UsageError, before anything is read, for a device that is not there and for 4-bit weights without what
    they need.
    """
    if (device_of(recipe.device).index or 0) > 0:
        what = f"{recipe.device}: training uses the first accelerator that it sees"
        raise UsageError("--device", what, "set CUDA_VISIBLE_DEVICES and give --device cuda")
    if recipe.method != "qlora":
        return
    if device_of(recipe.device).type != "cuda":
        raise UsageError(
            "--method qlora",
            "4-bit weights need an NVIDIA GPU, and this training has none",
            "--method lora trains the same updates",
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        fix = "pip install 'evalharness[quant]', or use --method lora"
        raise UsageError("--method qlora", "bitsandbytes is not installed", fix)


def starting(recipe: Recipe) -> Start:
    """Whose weights training starts from. Raises ModelError or UsageError where the base or the stage before cannot be
    trained on.
    """
    start = _starting(recipe)
    if start.under.precision and not recipe.way.adapter:
        what = f"its weights are quantised ({start.under.precision}), which only adapters can be trained on"
        raise ModelError(start.under.path, what, "give the weights before quantisation, or --method lora")
    return start


def _starting(recipe: Recipe) -> Start:
    if recipe.after is None:
        base = recognise(recipe.base, role="base")
        if base.kind != "base":
            raise ModelError(
                base.path,
                "is an adapter, not a base to train",
                "go on from it with --after, or merge it into its base first",
            )
        return Start(base, base)
    after = recognise(recipe.after, base=recipe.base or None)
    verify(after)
    given = recognise(str(after.base), role="base") if after.base is not None else None
    if not after.adapter:
        under = recognise(str(after.path), role="base")
        return Start(under, under if recipe.way.adapter or given is None else given, after)
    assert given is not None  # adapters are not recognised without
    _refuse_change(recipe, after)
    return Start(given, given, after)


def _refuse_change(recipe: Recipe, after: Checkpoint) -> None:
    """Raises UsageError for an adapter that the method cannot go on from."""
    if recipe.way.adapter != after.adapter and (recipe.way.adapter or after.virtual_tokens):
        what = f"{after.path} is an adapter of type {after.adapter}, on which {recipe.method} cannot be put"
        raise UsageError("--after", what, _instead(after))
    if after.adapter == "P_TUNING":
        raise UsageError(
            "--after",
            f"{after.path}: p-tuning leaves no network to go on training",
            "train it in one go, or use --method prompt",
        )
    if (recipe.method == "qlora") != (after.precision == PRECISION) and recipe.way.adapter:
        raise UsageError(
            "--after",
            f"{after.path} was trained on weights of another precision",
            "go on with the method that it was trained with",
        )


def _instead(after: Checkpoint) -> str:
    """What can be done with an adapter. Virtual tokens are not in the weights, so nothing can merge them."""
    if not after.virtual_tokens:
        return "go on with the same method, or merge it into its base first"
    anew = f"begin anew with --base {after.base}: virtual tokens cannot be merged into weights"
    return anew if after.adapter == "P_TUNING" else f"go on with the same method, or {anew}"


def opened(recipe: Recipe, start: Start) -> LoadedModel:
    """The weights that training starts from. All that changes weights themselves holds them in float32 while it trains.

    Those under qlora are held in 4 bits and compute in bfloat16; what is not quantised is float32 (Dettmers et al.
    2023).
    """
    if recipe.method != "qlora":
        return load(start.under, recipe.dtype if recipe.way.adapter else "float32", recipe.device)
    loaded = load(replace(start.under, precision=PRECISION), "bfloat16", recipe.device)
    loaded.model = prepare_model_for_kbit_training(loaded.model, use_gradient_checkpointing=False)
    return loaded


def trained(model: PreTrainedModel, recipe: Recipe, start: Start) -> tuple[Trained, Recipe]:
    """The model with what is to be trained, and the recipe as it is: an adapter that goes on keeps its own rank,
    targets and length.

    Full weights start from the adapter merged into its base. Raises UsageError for options that are not those of the
    adapter.
    """
    if not start.continues or start.after is None:
        return adapt(model, recipe), recipe
    with expected_warnings():
        if recipe.way.soft:
            wrapped = _soft(model, start.after)
            return wrapped, _kept(recipe, wrapped.peft_config["default"])
        wrapped = PeftModel.from_pretrained(model, str(start.after.path), is_trainable=bool(recipe.way.adapter))
        if not recipe.way.adapter:
            return adapt(wrapped.merge_and_unload(safe_merge=True), recipe), recipe
        return wrapped, _kept(recipe, wrapped.peft_config["default"])


@torch.no_grad()
def _soft(model: PreTrainedModel, after: Checkpoint) -> PeftModel:
    """Virtual tokens that go on, which peft itself loads to answer only. What was made by a network when they began are
    now values of their own.
    """
    config = PeftConfig.from_pretrained(str(after.path))
    config.inference_mode, config.base_model_name_or_path = False, None
    for name, plainly in (("prefix_projection", False), ("prompt_tuning_init", "RANDOM")):
        if hasattr(config, name):
            setattr(config, name, plainly)
    wrapped = get_peft_model(model, config)
    wrapped.prompt_encoder["default"].embedding.weight.copy_(load_file(after.path / ADAPTER)["prompt_embeddings"])
    return wrapped


def _kept(recipe: Recipe, config: PeftConfig) -> Recipe:
    found: dict[str, Any] = {}
    for option, name in OF_CONFIG.items():
        if option not in recipe.way.options or not hasattr(config, name):
            continue
        has, given = getattr(config, name), getattr(recipe, option)
        has = tuple(sorted(has)) if isinstance(has, set | list) else has
        asked = tuple(sorted(given)) if isinstance(given, tuple) else given
        if given not in (None, False) and asked != has and not (option == "targets" and isinstance(given, str)):
            raise UsageError(
                f"--{option.replace('_', '-')}", f"{given!r}: the adapter that goes on has {has!r}", "leave it out"
            )
        found[option] = has
    return replace(recipe, **found)


def room(recipe: Recipe, start: Start) -> tuple[int | None, int | None]:
    """Most tokens of (an example, or the encoder's text; what a decoder writes): the window, less virtual tokens, and
    --max-length.

    Raises UsageError where the virtual tokens leave none.
    """
    window, virtual = start.under.window, _virtual(recipe, start)
    on_decoder = recipe.method == "prefix" and start.under.architecture == Architecture.SEQ2SEQ
    given, written = (
        None if window is None else window - (0 if off else virtual) for off in (on_decoder, not on_decoder)
    )
    for left in (given, written):
        if left is not None and left < 2:
            raise UsageError("--virtual-tokens", f"{virtual} leave no room in a window of {window}", "fewer")
    if recipe.max_length is None:
        return given, written
    return min(recipe.max_length, given or recipe.max_length), min(recipe.max_length, written or recipe.max_length)


def _virtual(recipe: Recipe, start: Start) -> int:
    if not recipe.way.soft:
        return 0
    return (
        start.after.virtual_tokens if start.continues and start.after is not None else recipe.option("virtual_tokens")
    )


def named(start: Start, recipe: Recipe) -> dict[str, Any]:
    """How training.json names the base and the stage before: relative to the candidate's directory, so that all can
    move together.
    """
    out = Path(recipe.out).resolve()
    typed = (
        (recipe.base or str(start.base.path))
        if recipe.after is None or start.base.path != start.under.path or start.continues
        else recipe.after
    )
    local = Path(typed.partition("=")[2] or typed).expanduser().exists() or Path(typed).expanduser().exists()
    found = {"base": os.path.relpath(start.base.path, out) if local else typed, "base_as_given": typed}
    if start.after is not None:
        stage = {"path": os.path.relpath(start.after.path, out), "name": start.after.name, "kind": start.after.kind}
        found["after"] = {**stage, "fingerprint": start.after.fingerprint, "target_task": start.after.target_task}
        if start.after.base is not None and start.base.path == start.after.path:
            found["first_base"] = os.path.relpath(start.after.base, out)
    return found
