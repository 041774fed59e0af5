"""Make the models that are measured, random but seeded: their tokenizer, decoder-only models of about 30 and 150
million parameters, a T5-like one, and candidates of the smallest one.

Weights lie in a cache folder outside version control and are made once. The greedy text of the decoder-only models
varies with the prompt: word embeddings are drawn wide, and pieces of words narrow, so that what is written is words
and the tokenizer reads them back as the tokens that they were.
"""

from __future__ import annotations

import itertools
import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from texts import prose
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

PIECES = 1500  # learned from prose: about four characters a token
EOS, PAD = "</s>", "<pad>"
SYLLABLES = ["".join(pair) for pair in itertools.product("bdfgklmnprstvz", "aeiou")]
STOP = "zu"  # a syllable: a text ends after some 25 tokens, as summaries do
RANK = 8
VIRTUAL_TOKENS = 16


def tokenizer(size: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE learned from prose and filled up to `size` tokens with invented words."""
    learner = Tokenizer(models.BPE())
    learner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES,
        special_tokens=[EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    learner.train_from_iterator([" ".join(prose())], trainer)
    state = json.loads(learner.to_str())["model"]
    vocabulary = dict(state["vocab"])
    words = ("Ġ" + "".join(parts) for parts in itertools.product(SYLLABLES, repeat=3))
    for word in itertools.chain(("Ġyes", "Ġno", "ĠA", "ĠB", "ĠC", "ĠD"), words):
        if len(vocabulary) == size:
            break
        vocabulary.setdefault(word, len(vocabulary))
    full = Tokenizer(models.BPE(vocabulary, [tuple(pair) for pair in state["merges"]], ignore_merges=True))
    full.pre_tokenizer, full.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=full, eos_token=EOS, pad_token=PAD)


def small_config() -> LlamaConfig:
    """About 34 million parameters with 32,000 tokens."""
    return LlamaConfig(
        vocab_size=32_000,
        hidden_size=448,
        intermediate_size=1216,
        num_hidden_layers=8,
        num_attention_heads=7,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )


def large_config() -> Qwen2Config:
    """About 150 million parameters with 128,000 tokens."""
    return Qwen2Config(
        vocab_size=128_000,
        hidden_size=576,
        intermediate_size=2048,
        num_hidden_layers=17,
        num_attention_heads=9,
        num_key_value_heads=3,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=0,
        pad_token_id=1,
    )


def t5_config() -> T5Config:
    """About 48 million parameters with 32,000 tokens."""
    sizes = {"vocab_size": 32_000, "d_model": 512, "d_ff": 1024, "num_layers": 6, "num_heads": 8}
    return T5Config.from_dict(sizes | {"decoder_start_token_id": 1, "eos_token_id": 0, "pad_token_id": 1})


def draw(model: PreTrainedModel, seed: int) -> None:
    """Draw a decoder-only model's weights: wide, so that what it writes depends on all that it read."""
    generator = torch.Generator().manual_seed(seed)
    layer = model.get_input_embeddings()
    assert isinstance(layer, torch.nn.Embedding)
    embeddings = layer.weight
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and weight is not embeddings:
                scale = 2.0 if "q_proj" in name or "k_proj" in name else 1.0
                weight.normal_(0, scale * weight.shape[1] ** -0.5, generator=generator)
        embeddings.normal_(0, 0.1, generator=generator)
        embeddings[:PIECES] *= 0.1  # pieces of words are never the likeliest


def make_base(folder: Path, kind: str) -> None:
    """Write one of the BASES."""
    config, build, seed = BASES[kind]
    torch.manual_seed(seed)
    model = build(config())
    if not model.config.is_encoder_decoder:
        draw(model, seed)
    model.save_pretrained(folder)
    tokenizer(model.config.vocab_size).save_pretrained(folder)


def make_full(folder: Path, base: Path) -> None:
    """Write a full fine-tune: every weight of the base moved a little."""
    generator = torch.Generator().manual_seed(10)
    model = AutoModelForCausalLM.from_pretrained(base)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(0.01 * weight.std() * torch.randn(weight.shape, generator=generator))
    model.save_pretrained(folder)
    for file in base.glob("tokenizer*"):
        shutil.copy(file, folder)


def make_prompt(folder: Path, base: Path) -> None:
    """Write a prompt-tuned candidate."""
    torch.manual_seed(11)
    model = AutoModelForCausalLM.from_pretrained(base)
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=VIRTUAL_TOKENS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        get_peft_model(model, config).save_pretrained(str(folder))


def lora_of(base: Path, seed: int) -> tuple[Any, Callable[[float], None]]:
    """A random LoRA on the base, and what sets the size of the change that it makes."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(base)
    wrapped = get_peft_model(model, LoraConfig(r=RANK, target_modules="all-linear", task_type="CAUSAL_LM"))
    matrices = [weight for name, weight in wrapped.named_parameters() if "lora_B" in name]
    directions = [torch.randn(weight.shape) for weight in matrices]

    def scale(size: float) -> None:
        with torch.no_grad():
            for weight, direction in zip(matrices, directions, strict=True):
                weight.copy_(size * direction)

    return wrapped, scale


def make_lora(folder: Path, base: Path, seed: int, size: float = 0.01) -> None:
    """Write a LoRA candidate that changes answers."""
    model, scale = lora_of(base, seed)
    scale(size)
    model.save_pretrained(folder)


def agreement(model: Any, texts: list[tuple[list[int], list[int]]]) -> float:
    """The share of tokens of the base's greedy texts, (prompt, text) in token ids, that come before a model first
    writes another.
    """
    before = 0
    for prompt, text in texts:
        ids = torch.tensor([prompt + text])
        with torch.inference_mode():
            likeliest = model(ids, logits_to_keep=len(text) + 1).logits[0, :-1].argmax(-1)
        equal = (likeliest == torch.tensor(text)).tolist()
        before += equal.index(False) if False in equal else len(text)
    return before / sum(len(text) for _, text in texts)


def make_agreeing(folder: Path, base: Path, share: float, texts: list[tuple[list[int], list[int]]]) -> float:
    """Write the LoRA whose `agreement` is nearest to `wanted`, found by bisection over its size; returns its
    agreement. It is never without any effect.
    """
    model, scale = lora_of(base, seed=12)
    low, high, reached = 1e-7, 0.3, {}
    for _ in range(14 if share else 1):
        size = (low * high) ** 0.5 if share else high
        scale(size)
        reached[size] = agreement(model, texts)
        low, high = (size, high) if reached[size] >= share else (low, size)
    size = min(reached, key=lambda one: abs(reached[one] - share))
    scale(size)
    model.save_pretrained(folder)
    return reached[size]


BASES: dict[str, tuple[Callable[[], Any], type[PreTrainedModel], int]] = {
    "30M": (small_config, LlamaForCausalLM, 1),
    "150M": (large_config, Qwen2ForCausalLM, 2),
    "T5": (t5_config, T5ForConditionalGeneration, 3),
}


def cached(folder: Path, make: Callable[[Path], object]) -> Path:
    """The folder, made first where an earlier call has not finished it."""
    if not folder.is_dir():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder
