"""Measure the peak memory of eight LoRA adapters on one base against one, and how often the base's weights are read.

Each case runs the engine factory on a random Llama of 100 million parameters in its own process. The aim: at most 1.15
times as much, and once.

    python benchmarks/resident_base.py
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from unittest.mock import patch

import torch
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from evalharness.checkpoints.open_model import from_pretrained
from evalharness.checkpoints.recognise import recognise
from evalharness.engines.hf.factory import FACTORY
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Generate, Rank, Request

AIM = 1.15
ADAPTERS = 8
SETTINGS = EngineSettings(device="cpu", batch_size=4)
REQUESTS: list[Request] = [
    Rank(pairs=(("the cat sat on", " a"), ("the cat sat on", " the mat"))),
    Generate(prompt="the dog", stop=(), max_tokens=4),
]


def make(root: Path) -> None:
    """The base and its adapters, random."""
    torch.manual_seed(0)
    words = ["<unk>", "</s>", *"the cat dog sat on a mat".split()]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    config = LlamaConfig(
        hidden_size=768,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=12,
        vocab_size=16000,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        bos_token_id=None,
        eos_token_id=1,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(root / "base")
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="</s>").save_pretrained(
        root / "base"
    )
    wrapped = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", task_type="CAUSAL_LM"))
    for number in range(ADAPTERS):
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.02)
        wrapped.save_pretrained(str(root / f"lora-{number}"))


def run(root: Path, count: int) -> dict[str, float]:
    """Adapters one after another: peak bytes of this process, seconds, and how often full weights were read."""
    engine, begun = None, time.perf_counter()
    with patch("evalharness.checkpoints.load.from_pretrained", wraps=from_pretrained) as read:
        for number in range(count):
            checkpoint = recognise(str(root / f"lora-{number}"), base=str(root / "base"))
            engine = FACTORY.open_after(engine, checkpoint, SETTINGS) if engine else FACTORY.open(checkpoint, SETTINGS)
            assert len(list(engine.answer(REQUESTS))) == len(REQUESTS)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"peak": peak, "seconds": time.perf_counter() - begun, "reads": read.call_count}


def measured(root: Path, count: int) -> dict[str, float]:
    process = subprocess.run(
        [sys.executable, __file__, str(root), str(count)], capture_output=True, text=True, check=True
    )
    return dict(json.loads(process.stdout.splitlines()[-1]))


def main() -> int:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        root = Path(folder)
        make(root)
        size = sum(path.stat().st_size for path in (root / "base").glob("*.safetensors"))
        print(
            f"base: {size / 2**20:.0f} MiB; adapter: "
            f"{(root / 'lora-0' / 'adapter_model.safetensors').stat().st_size / 2**20:.1f} MiB"
        )
        one, eight = measured(root, 1), measured(root, ADAPTERS)
    for count, cost in ((1, one), (ADAPTERS, eight)):
        print(
            f"{count} LoRA: peak {cost['peak'] / 2**20:.0f} MiB, {cost['seconds']:.1f} s, base read "
            f"{cost['reads']:.0f} time(s)"
        )
    ratio = eight["peak"] / one["peak"]
    print(f"ratio {ratio:.3f} (aim: at most {AIM})")
    return 0 if ratio <= AIM and eight["reads"] == 1 else 1


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(run(Path(sys.argv[1]), int(sys.argv[2]))))
    else:
        sys.exit(main())
