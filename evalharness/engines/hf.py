"""A Checkpoint to an engine that answers with transformers on this machine, one plain loop for every kind of checkpoint."""

from __future__ import annotations

import gc
import importlib.metadata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.checkpoints.fingerprint import of_tokenizer
from evalharness.checkpoints.weights import Loaded, attention_of, device_of, dtype_of, load, load_tokenizer, tokenizer_directory
from evalharness.engines.base import ChatRenderer, Engine, TokenCounter, Unmergeable
from evalharness.engines.chat import template_of
from evalharness.engines.decoding import Decoder
from evalharness.engines.scoring import Scorer
from evalharness.engines.texts import Texts
from evalharness.errors import ModelError, UsageError
from evalharness.records import Checkpoint, EngineInfo, EngineSettings, Failure, Generate, Rank, Request, Response, Score

ALGORITHM = 1  # raise it with any change that can move a number
LIBRARIES = ("torch", "transformers", "tokenizers", "peft")


class HFEngine:
    """One opened model. Batches are planned inside the block that `answer` is given, the same for a base and its candidates."""

    def __init__(self, loaded: Loaded, info: EngineInfo, settings: EngineSettings, window: int | None) -> None:
        texts, bounds = Texts(loaded.tokenizer), (settings.batch_size, settings.batch_tokens)
        self.info = info
        self._loaded: Loaded | None = loaded
        self._scorer = Scorer(loaded, texts, window, bounds, _free)
        self._decoder = Decoder(loaded, texts, window, bounds, _free)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """One response or failure per request: rankings first, then texts scored whole, then generations. Equal requests are answered each."""
        yield from self._scorer.rank([request for request in requests if isinstance(request, Rank)])
        yield from self._scorer.score([request for request in requests if isinstance(request, Score)])
        yield from self._decoder.generate([request for request in requests if isinstance(request, Generate)])

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"], merged: bool = False
    ) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the code that scores or the code that decodes."""
        if merged:
            raise Unmergeable("this engine cannot merge")
        return self._scorer.last_logits(prompts, adapter) if path == "score" else self._decoder.next_logits(prompts, adapter)

    def close(self) -> None:
        """Free the model's memory; the engine answers no more."""
        if self._loaded is not None:
            self._loaded = None
            del self._scorer, self._decoder
            _free()


@dataclass(frozen=True, slots=True)
class Counter:
    """Counts tokens. Counters of equal tokenizers are equal, so that a text need not be counted once for every candidate."""

    tokenizer: str  # fingerprint
    texts: Texts = field(compare=False)

    def __call__(self, text: str) -> int:
        return len(self.texts.encode(text))


class Factory:
    """Opens HFEngines."""

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """What can move a number, known without loading weights. Raises UsageError for settings that cannot be had, ModelError for a config."""
        device = device_of(settings.device)
        dtype_of(settings.dtype, device)
        if settings.batch_size < 1 or settings.batch_tokens < 1:
            raise UsageError("--batch-size", f"{settings.batch_size} rows of {settings.batch_tokens} tokens", "both at least 1")
        details: dict[str, Any] = {
            "algorithm": ALGORITHM,
            "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
            "dtype": settings.dtype,
            "adapter_dtype": "float32",
            "attention": attention_of(_weights_directory(checkpoint)),
            "batch_size": settings.batch_size,
            "batch_tokens": settings.batch_tokens,
            "threads": torch.get_num_threads() if device.type == "cpu" else None,
            "tf32": False,
        }
        return EngineInfo("hf", {**details, **{name: importlib.metadata.version(name) for name in LIBRARIES}})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings, after: Engine | None = None) -> HFEngine:
        """The model in memory. Raises ModelError where it cannot be loaded completely."""
        if after is not None:
            after.close()
        info = self.describe(checkpoint, settings)
        if device_of(settings.device).type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False
        return HFEngine(load(checkpoint, settings.dtype, settings.device), info, settings, checkpoint.window)

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        """Tokens of a text as this model would read it alone, special tokens that the tokenizer adds included."""
        directory = tokenizer_directory(checkpoint)
        return Counter(of_tokenizer(directory), Texts(load_tokenizer(directory)))

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """The chat template of the tokenizer that speaks for the checkpoint. Raises ModelError for one that cannot be used."""
        directory = tokenizer_directory(checkpoint)
        return template_of(directory, load_tokenizer(directory))


def _weights_directory(checkpoint: Checkpoint) -> Path:
    if not checkpoint.adapter:
        return checkpoint.path
    if checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    return checkpoint.base


def _free() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


FACTORY = Factory()
