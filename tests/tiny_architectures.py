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
from pathlib import Path
from typing import Any

import torch
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

WIDTH = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4}
LAYERS = {
    "encoder_layers": 2,
    "encoder_attention_heads": 4,
    "encoder_ffn_dim": 96,
    "decoder_layers": 2,
    "decoder_attention_heads": 4,
    "decoder_ffn_dim": 96,
}
CONFIGS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    # two layers of width 48; initialised widely, so that the model has opinions
    "llama": (
        LlamaConfig,
        {
            **WIDTH,
            "max_position_embeddings": WINDOW,
            "initializer_range": 0.3,
            "num_key_value_heads": 2,
            "tie_word_embeddings": False,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
    "gpt2": (
        GPT2Config,
        {
            "n_embd": 48,
            "n_layer": 2,
            "n_head": 4,
            "n_positions": WINDOW,
            "initializer_range": 0.3,
            "bos_token_id": 0,
            "eos_token_id": 0,
        },
    ),
    "qwen3": (
        Qwen3Config,
        {
            **WIDTH,
            "max_position_embeddings": WINDOW,
            "initializer_range": 0.3,
            "num_key_value_heads": 2,
            "head_dim": 12,
            "tie_word_embeddings": True,
            "bos_token_id": None,
            "eos_token_id": 2,
        },
    ),
    "t5": (
        T5Config,
        {
            "d_model": 48,
            "d_kv": 12,
            "d_ff": 96,
            "num_layers": 2,
            "num_heads": 4,
            "relative_attention_num_buckets": 8,
            "pad_token_id": 0,
            "eos_token_id": 1,
            "decoder_start_token_id": 0,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
            "initializer_factor": 1.5,
        },
    ),
    "bart": (
        BartConfig,
        {
            "d_model": 48,
            "init_std": 0.3,
            "max_position_embeddings": WINDOW,
            **LAYERS,
            "bos_token_id": 0,
            "pad_token_id": 1,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
            "forced_eos_token_id": 2,
        },
    ),
}


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
    kind, options = CONFIGS[architecture]
    return kind(vocab_size=vocabulary, **options)


def make_base(architecture: str, directory: Path, seed: int = 0) -> Path:
    logging.disable_progress_bar()
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(architecture)
    kind = AutoModelForSeq2SeqLM if architecture in SEQ2SEQ else AutoModelForCausalLM
    model = kind.from_config(make_config(architecture, len(tokenizer)))
    if architecture == "qwen3":
        model.generation_config.eos_token_id = [2, 0]
    if architecture == "t5":
        # its attention is unscaled: wide enough for opinions, the logits are large, and so is their rounding
        model.lm_head.weight.data *= 0.1
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
