"""Tiny random checkpoints with and without adapters, saved by transformers and peft themselves, each made once."""

from __future__ import annotations

import tempfile
import warnings
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PromptTuningConfig, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from tiny_architectures import (
    ARCHITECTURES,
    SEQ2SEQ,
    SPECIAL,
    WINDOW,
    WORDS,
    make_base,
    make_config,
    make_tokenizer,
    open_model,
)
from transformers import PreTrainedModel

from evalharness.checkpoints import files
from evalharness.checkpoints.derived import at_precision
from evalharness.errors import ModelError
from evalharness.records.models import Checkpoint

__all__ = ["ARCHITECTURES", "WINDOW", "WORDS", "make_config", "make_tokenizer"]
VIRTUAL = 5


def make_adapter(
    base: Path, directory: Path, config: PeftConfig, *, trained: bool = True, rows: int | None = None
) -> Path:
    """An adapter with random weights in place of trained ones; `trained=False` leaves it as peft initialises it.

    `rows`: what the base's embeddings are resized to before.
    """
    torch.manual_seed(1)
    with warnings.catch_warnings(), patch.object(PeftModel, "create_or_update_model_card"):  # a third of saving
        warnings.simplefilter("ignore")
        model = open_model(base)
        if rows is not None:
            model.resize_token_embeddings(rows)
        wrapped = get_peft_model(model, config)
        if trained:
            train(wrapped)
        wrapped.save_pretrained(directory)
    return directory


def train(wrapped: torch.nn.Module) -> None:
    """Random values for every trained parameter, instead of training. Integers (VeRA's and others' choices) stay."""
    for name, parameter in wrapped.named_parameters():
        if parameter.requires_grad and parameter.is_floating_point() and "lora_A" not in name:
            torch.nn.init.normal_(parameter, std=0.3)


def lora(**options: object) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 8, "task_type": "CAUSAL_LM", "target_modules": "all-linear", **options})


def prompt_tuning() -> PromptTuningConfig:
    return PromptTuningConfig(num_virtual_tokens=VIRTUAL, task_type="CAUSAL_LM")


# what a type of adapter needs beside its defaults on models this small
OPTIONS: dict[str, dict[str, object]] = {
    "LORA": {"r": 4},
    "ADALORA": {"init_r": 4, "target_r": 4, "total_step": 10},
    "ADAMSS": {"r": 8, "num_subspaces": 2},
    "ADAPTION_PROMPT": {"adapter_len": 3, "adapter_layers": 2, "target_modules": None},
    "C3A": {"block_size": 4},
    "CPT": {"cpt_token_ids": [5, 6, 7], "cpt_mask": [1, 1, 1], "cpt_tokens_type_mask": [1, 2, 3]},
    "CARTRIDGE": {"num_virtual_tokens": VIRTUAL},
    "FOURIERFT": {"n_frequency": 20},
    "FROD": {"progressbar": False},
    "GRALORA": {"r": 4},
    "LN_TUNING": {"target_modules": None},
    "MISS": {"r": 4},
    "MULTITASK_PROMPT_TUNING": {"num_virtual_tokens": VIRTUAL, "num_tasks": 2, "num_transformer_submodules": 1},
    "OFT": {"oft_block_size": 4},
    "OSF": {"effective_rank": 4},
    "P_TUNING": {"num_virtual_tokens": VIRTUAL, "encoder_hidden_size": 16},
    "POLY": {"r": 4, "n_tasks": 2},
    "PREFIX_TUNING": {"num_virtual_tokens": VIRTUAL},
    "PROMPT_TUNING": {"num_virtual_tokens": VIRTUAL},
    "PSOFT": {"r": 4},
    "PVERA": {"r": 4},
    "RANDLORA": {"r": 4},
    "ROAD": {"group_size": 4},
    "SHADOW": {"target_modules": None, "r": 4},
    "SHIRA": {"r": 4},
    "TINYLORA": {"u": 4},
    "TRAINABLE_TOKENS": {"token_indices": [40, 50, 60], "target_modules": None},
    "VBLORA": {"vector_length": 4, "num_vectors": 8},
    "VERA": {"r": 4},
    "WAVEFT": {"n_frequency": 20},
}
PROMPTS = ("PROMPT_TUNING", "P_TUNING", "PREFIX_TUNING", "MULTITASK_PROMPT_TUNING", "CPT", "CARTRIDGE")
TARGETS = {"gpt2": ["c_attn"], "t5": ["q", "v"]}
FEEDFORWARD = {"gpt2": ["mlp.c_proj"], "t5": ["wo"], "bart": ["fc2"]}


def adapter_config(kind: str, architecture: str, **more: object) -> PeftConfig:
    """peft's configuration of any type of adapter for one of the architectures."""
    task = "SEQ_2_SEQ_LM" if architecture in SEQ2SEQ else "CAUSAL_LM"
    targets: dict[str, object] = (
        {} if kind in PROMPTS else {"target_modules": TARGETS.get(architecture, ["q_proj", "v_proj"])}
    )
    if kind == "IA3":
        feedforward = FEEDFORWARD.get(architecture, ["down_proj"])
        targets = {
            "target_modules": [*TARGETS.get(architecture, ["v_proj"]), *feedforward],
            "feedforward_modules": feedforward,
        }
    options = {"task_type": task, **targets, **OPTIONS.get(kind, {}), **more}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return PEFT_TYPE_TO_CONFIG_MAPPING[kind](
            **{name: value for name, value in options.items() if value is not None}
        )


# ---- asked directly --------------------------------------------------------------------------------------------------

IDS = torch.tensor([[40, 41, 50, 60, 7, 9]])
DECODED = torch.tensor([[0, 33, 44, 12]])
TASKS = ("POLY", "MULTITASK_PROMPT_TUNING")


def described(path: Path, base: Path | None, kind: str = "LORA", **more: object) -> Checkpoint:
    """What recognition would say of it, as far as loading asks."""
    architecture = "seq2seq" if path.name.partition("-")[0] in SEQ2SEQ else "causal"
    task = 1 if kind in TASKS else None
    facts = {"window": None, "virtual_tokens": 0, **dict.fromkeys(("parameters", "trainable", "bytes"), 1)}
    facts |= {"name": path.name, "path": path, "base": base, "kind": "x", "fingerprint": str(path)}
    facts |= {"architecture": architecture, "adapter": kind, "adapter_task": task}
    checkpoint = Checkpoint(**{**facts, **more})
    try:
        window = files.window_of(files.model_config(checkpoint.weights))
        return at_precision(replace(checkpoint, window=window), checkpoint.precision)
    except ModelError:  # a broken one, which loading refuses
        return checkpoint


def options(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {"input_ids": IDS, "decoder_input_ids": DECODED} if model.config.is_encoder_decoder else {"input_ids": IDS}


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model(**options(model)).logits


def by_peft(base: Path | PreTrainedModel, path: Path, **more: torch.Tensor) -> torch.Tensor:
    """Logits of one unpadded row by peft's own model."""
    under = open_model(base) if isinstance(base, Path) else base
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = PeftModel.from_pretrained(under, str(path)).eval()
        with torch.no_grad():
            return model(**options(model.get_base_model()), **more).logits


# ---- the zoo ---------------------------------------------------------------------------------------------------------


class Zoo(dict[str, Path]):
    """Checkpoints by name, each made when it is first needed: an architecture "X", "X-lora", "X-prompt", or "X-TYPE"
    of peft's types. Processes that have the same root share them.
    """

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def __missing__(self, name: str) -> Path:
        architecture, _, adapter = name.partition("-")
        if architecture not in SPECIAL:
            raise KeyError(name)
        self[name] = self.root / name
        if not self[name].exists():
            with tempfile.TemporaryDirectory(dir=self.root) as folder:
                complete = self._make(architecture, adapter, Path(folder) / name)
                with suppress(OSError):  # another process was faster
                    complete.rename(self[name])
        return self[name]

    def _make(self, architecture: str, adapter: str, folder: Path) -> Path:
        if not adapter:
            return make_base(architecture, folder)
        if adapter == "lora":
            task = {"task_type": "SEQ_2_SEQ_LM"} if architecture in SEQ2SEQ else {}
            return make_adapter(self[architecture], folder, lora(**task))
        kind = {"prompt": "PROMPT_TUNING"}.get(adapter, adapter)
        return make_adapter(self[architecture], folder, adapter_config(kind, architecture))

    def get(self, name: str, default: object = None) -> object:  # type: ignore[override]
        try:
            return self[name]
        except KeyError:
            return default
