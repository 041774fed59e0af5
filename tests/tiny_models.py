"""Tiny random checkpoints on disk, saved by transformers and peft themselves: architectures, each with its own habits
about special tokens.

llama  the tokenizer adds BOS; head of its own          gpt2  BOS = EOS, never added; tied head; no pad token
qwen3  no BOS at all, a pad token, two end tokens in the generation config; tied head
t5     encoder-decoder; EOS after every text, decoding starts with the pad token; relative positions, gated
       feed-forward, untied head
bart   encoder-decoder; BOS and EOS around every text, decoding starts with EOS and is forced to end; learnt positions,
       biases, tied head
"""

from __future__ import annotations

import json
import tempfile
import warnings
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import torch
from peft import LoraConfig, PeftConfig, PeftModel, PromptTuningConfig, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    BartConfig,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    T5Config,
)
from transformers.utils import logging

from evalharness.records.models import Checkpoint

TEXT = """the cat sat on a mat and a dog ran over red blue green houses while people talk about weather news today in
town
Question : what is it ? Answer : yes no true false maybe never always A B C D one two three four five"""
WORDS = TEXT.split()
ARCHITECTURES = ("llama", "gpt2", "qwen3")
SEQ2SEQ = ("t5", "bart")
SPECIAL = {
    "llama": ["<unk>", "<s>", "</s>"],
    "gpt2": ["<|endoftext|>"],
    "qwen3": ["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
    "t5": ["<pad>", "</s>", "<unk>"],
    "bart": ["<s>", "<pad>", "</s>", "<unk>"],
}
WINDOW = 96
VIRTUAL = 5


def make_tokenizer(architecture: str) -> PreTrainedTokenizerFast:
    special = SPECIAL[architecture]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    text = " ".join(WORDS * 4)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [text],
        trainers.BpeTrainer(vocab_size=360, special_tokens=special, initial_alphabet=alphabet, show_progress=False),
    )
    if architecture == "llama":
        tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    if architecture == "gpt2":
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token=special[0], eos_token=special[0], unk_token=special[0]
        )
    if architecture == "t5":
        tokenizer.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
        )
    if architecture == "bart":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
        )
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
        )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>")


def make_config(architecture: str, vocabulary: int) -> PreTrainedConfig:
    """Two layers of width 48; initialised widely, so that the model has opinions."""
    wide = {"vocab_size": vocabulary, "initializer_range": 0.3}
    if architecture == "gpt2":
        return GPT2Config(**wide, n_embd=48, n_layer=2, n_head=4, n_positions=WINDOW, bos_token_id=0, eos_token_id=0)
    if architecture == "t5":
        sizes = {
            "d_model": 48,
            "d_kv": 12,
            "d_ff": 96,
            "num_layers": 2,
            "num_heads": 4,
            "relative_attention_num_buckets": 8,
        }
        ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
        kind = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False, "initializer_factor": 1.5}
        return T5Config(vocab_size=vocabulary, **sizes, **ids, **kind)
    if architecture == "bart":
        sizes = {"layers": 2, "attention_heads": 4, "ffn_dim": 96}
        layers = {f"{half}_{what}": count for half in ("encoder", "decoder") for what, count in sizes.items()}
        ids = {
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": 2,
        }
        return BartConfig(
            vocab_size=vocabulary, d_model=48, init_std=0.3, max_position_embeddings=WINDOW, **layers, **ids
        )
    both = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": WINDOW,
    }
    if architecture == "llama":
        return LlamaConfig(
            **wide, **both, num_key_value_heads=2, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2
        )
    return Qwen3Config(
        **wide, **both, num_key_value_heads=2, head_dim=12, tie_word_embeddings=True, bos_token_id=None, eos_token_id=2
    )


def make_base(architecture: str, directory: Path, seed: int = 0) -> Path:
    logging.disable_progress_bar()
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(architecture)
    kind = AutoModelForSeq2SeqLM if architecture in SEQ2SEQ else AutoModelForCausalLM
    model = kind.from_config(make_config(architecture, len(tokenizer)))
    if architecture == "qwen3":
        model.generation_config.eos_token_id = [2, 0]
    if architecture == "t5":
        model.lm_head.weight.data *= (
            0.1  # its attention is unscaled: wide enough for opinions, the logits are large, and so is their rounding
        )
    model.save_pretrained(directory)
    tokenizer.save_pretrained(directory)
    return directory


def open_model(directory: Path) -> PreTrainedModel:
    kind = (
        AutoModelForSeq2SeqLM
        if json.loads((directory / "config.json").read_text()).get("is_encoder_decoder")
        else AutoModelForCausalLM
    )
    return kind.from_pretrained(directory)


def make_adapter(base: Path, directory: Path, config: PeftConfig, *, trained: bool = True) -> Path:
    """An adapter with random weights in place of trained ones; `trained=False` leaves it as peft initialises it."""
    torch.manual_seed(1)
    with warnings.catch_warnings(), patch.object(PeftModel, "create_or_update_model_card"):  # a third of saving
        warnings.simplefilter("ignore")
        wrapped = get_peft_model(open_model(base), config)
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
    facts = {
        "kind": "x",
        "fingerprint": str(path),
        "parameters": 1,
        "trainable": 1,
        "bytes": 1,
        "window": 96,
        "virtual_tokens": 0,
    }
    facts |= {
        "name": path.name,
        "path": path,
        "base": base,
        "architecture": architecture,
        "adapter": kind,
        "adapter_task": task,
    }
    return Checkpoint(**{**facts, **more})


def options(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {"input_ids": IDS, "decoder_input_ids": DECODED} if model.config.is_encoder_decoder else {"input_ids": IDS}


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.no_grad():
        return model(**options(model)).logits


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
