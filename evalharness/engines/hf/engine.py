"""Open a checkpoint as an engine that answers with transformers on this machine, by one plain loop for every kind of
checkpoint.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.checkpoints.devices import DTYPES, device_of, dtype_of
from evalharness.checkpoints.fingerprint import of_tokenizer
from evalharness.checkpoints.generation_rules import differences, generation_config, rules, stated
from evalharness.checkpoints.load import LoadedModel, ResidentWeights, load, resident_of
from evalharness.checkpoints.open_model import attention_of
from evalharness.checkpoints.tokenizer import (
    SpecialTokens,
    load_tokenizer,
    prompt_tokens,
    shared_prompt_tokens,
    tokenizer_directory,
)
from evalharness.engines import OPTIONS
from evalharness.engines.base import Engine, Unmergeable, check_options
from evalharness.engines.hf.architectures import model_adapter, pair_scorer
from evalharness.engines.hf.arithmetic import Arithmetic
from evalharness.engines.hf.batches import BatchLimits, free_memory, plan
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.decoding import Decoder
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.profiles import Profiler
from evalharness.engines.hf.rows import BatchRow
from evalharness.engines.hf.scoring import Scorer
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, TokenPair
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Generate, Profile, Rank, Request, Response, Score
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

ALGORITHM = 4  # raise it with any change that can move a number
LIBRARIES = ("torch", "transformers", "tokenizers", "peft")


class HFEngine:
    """One opened model. Batches are planned inside the block that `answer` is given, the same for a base and its
    candidates.

    While it is open the model is in eval mode; closed, nothing about it is other than it was.
    """

    def __init__(self, loaded: LoadedModel, info: EngineInfo, settings: EngineSettings, window: int | None) -> None:
        self.info, self._window = info, window
        self._limits = BatchLimits(1 if loaded.alone or settings.strict else settings.batch_size, settings.batch_tokens)
        self._arithmetic = Arithmetic.set(settings.strict)
        self._loaded: LoadedModel | None = loaded
        model = model_adapter(loaded, window)
        self._scorer = Scorer(model, lambda: pair_scorer(model, self._limits))
        self._decoder, self._profiler = Decoder(model, self._limits), Profiler(model, self._limits)
        wholes = [whole for whole in (loaded.adapter, loaded.model, loaded.bare) if whole is not None]
        self._training = [module for whole in wholes for module in whole.modules() if module.training]
        for module in self._training:
            module.training = False

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """One response or failure per request: rankings first, then texts scored whole, generations, profiles. Equal
        requests are answered each.
        """
        return itertools.chain(
            self._scorer.rank([request for request in requests if isinstance(request, Rank)]),
            self._scorer.score([request for request in requests if isinstance(request, Score)]),
            self._decoder.generate([request for request in requests if isinstance(request, Generate)]),
            self._profiler.profile([request for request in requests if isinstance(request, Profile)]),
        )

    @property
    def plain_because(self) -> str:
        """Why requests are answered by plain batches of whole rows, where that is not what was asked for; "" else."""
        return self._scorer.pair_scorer.plain_because

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the code that scores or the code that decodes."""
        if path == "decode":
            return self._decoder.next_logits(prompts, adapter)
        tokens = [self._scorer.model.tokenizer.prompt(prompt) for prompt in prompts]
        return self._scorer.pair_scorer.last_logits(tokens, adapter)

    def merge_logits(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Logits where the last three quarters of each text's tokens, and what comes after them, are predicted. Raises
        Unmergeable.
        """
        assert self._loaded is not None
        with self._loaded.merged() as model:
            if model is None:
                raise Unmergeable(self._loaded.unmergeable)
            merged = _logits_within(
                texts, model_adapter(replace(self._loaded, model=model), self._window), self._limits
            )
        return _logits_within(texts, self._scorer.model, self._limits), merged

    def close(self) -> None:
        """Free the model's memory; the engine answers no more."""
        self.hand_over()

    def hand_over(self) -> ResidentWeights | None:
        """Close, but keep the base's weights for the engine opened next; None where they cannot be kept."""
        if self._loaded is None:
            return None
        for module in self._training:
            module.training = True
        resident = resident_of(self._loaded)
        self._loaded, self._training = None, []
        self._arithmetic.restore()
        del self._scorer, self._decoder, self._profiler
        free_memory()
        return resident


def _logits_within(texts: Sequence[str], model: ModelAdapter, limits: BatchLimits) -> NDArray[np.float64]:
    """(positions, vocabulary), text after text, the longest first."""
    rows = []
    for text in texts:
        tokens = model.tokenizer.prompt(text)
        cut = max(1, len(tokens) // 4)
        pair = TokenPair(tokens[:cut], (*tokens[cut:], model.tokenizer.pad))  # the last token does not matter here
        rows.append(BatchRow(*model.read(pair), (pair.continuation,)))
    batches = plan([model.size(row) for row in rows], limits)
    logits = [model.logits([rows[i] for i in batch]) for batch in batches]
    return torch.cat(logits).double().cpu().numpy()


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerCounter:
    """Counts tokens, and says which they are. Counters of equal tokenizers are equal, so that a text need not be
    counted once for every candidate.
    """

    tokenizer: str  # fingerprint
    around: SpecialTokens
    adapter: TokenizerAdapter = field(compare=False)

    def __call__(self, text: str) -> int:
        return len(self.adapter.encode(text))

    def token_ids(self, text: str) -> tuple[int, ...]:
        """The tokens of a text without the special tokens around it."""
        return self.adapter.encode(text, special=False)


class HFFactory:
    """Opens HFEngines."""

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """What can move a number, known without loading weights. Raises UsageError for settings that cannot be had,
        ModelError for a config.
        """
        check_options(settings, OPTIONS["hf"])
        device = device_of(settings.device)
        dtype_of(settings.dtype, device)
        if settings.batch_size < 1 or settings.batch_tokens < 1:
            raise UsageError(
                "--batch-size", f"{settings.batch_size} rows of {settings.batch_tokens} tokens", "both at least 1"
            )
        attention = attention_of(_weights_of(checkpoint), checkpoint.architecture)
        generation_config(checkpoint, settings.generation_config)  # raises for one that cannot be followed
        shared = rules(checkpoint, "base") if settings.generation_config == "base" else {}
        decoding = {"generation_config": settings.generation_config, "generation_rules": shared}
        info = _info(settings, device, settings.dtype, attention, shared_prompt_tokens(checkpoint))
        return replace(info, details={**info.details, **decoding})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> HFEngine:
        """The model in memory. Raises ModelError where it cannot be loaded completely, and where its files are not
        those any more that were recognised.
        """
        return self._open(checkpoint, settings)

    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> HFEngine:
        """The model in memory, on the weights that `previous` had where these are the same, else in their place. Raises
        ModelError as `open` does.
        """
        return self._open(checkpoint, settings, previous.hand_over() if isinstance(previous, HFEngine) else None)

    def _open(
        self, checkpoint: Checkpoint, settings: EngineSettings, resident: ResidentWeights | None = None
    ) -> HFEngine:
        info = self.describe(checkpoint, settings)
        if device_of(settings.device).type == "cuda":
            torch.backends.cuda.matmul.allow_tf32 = False
        loaded = load(checkpoint, settings.dtype, settings.device, resident, settings.generation_config)
        assert loaded.around is not None
        shared = stated(loaded.bare.generation_config) if settings.generation_config == "base" else {}
        read = {"special_tokens": asdict(loaded.around), "generation_rules": shared}
        info = replace(info, details={**info.details, **read})
        return HFEngine(loaded, info, settings, checkpoint.window)

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        """Tokens of a text as this model would read it alone, special tokens around it included."""
        directory, around = tokenizer_directory(checkpoint), shared_prompt_tokens(checkpoint)
        adapter = TokenizerAdapter(load_tokenizer(directory), checkpoint.architecture, around)
        return TokenizerCounter(tokenizer=of_tokenizer(directory), around=around, adapter=adapter)

    def generation_differences(self, checkpoint: Checkpoint) -> dict[str, tuple[Any, Any]]:
        """Rules of decoding and special tokens in which its generation config differs from its base's: by key, the
        base's value and its own. Raises ModelError for a config that cannot be read.
        """
        return differences(checkpoint)

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """The chat template of the tokenizer that speaks for the checkpoint. Raises ModelError for one that cannot be
        used.
        """
        directory = tokenizer_directory(checkpoint)
        return template_of(directory, load_tokenizer(directory))


def opened(loaded: LoadedModel, checkpoint: Checkpoint, settings: EngineSettings) -> HFEngine:
    """An engine on a model that is in memory already, whatever device, dtype and mode it is in; only batch sizes are
    the settings'.
    """
    dtype = next((name for name, kind in DTYPES.items() if kind == loaded.model.dtype), str(loaded.model.dtype))
    attention = loaded.model.config._attn_implementation
    info = _info(settings, loaded.device, dtype, attention, prompt_tokens(loaded.tokenizer, loaded.architecture))
    return HFEngine(loaded, info, settings, checkpoint.window)


def _info(
    settings: EngineSettings, device: torch.device, dtype: str, attention: str, around: SpecialTokens
) -> EngineInfo:
    details: dict[str, Any] = {
        "algorithm": ALGORITHM,
        "device": device.type if device.type == "cpu" else torch.cuda.get_device_name(device),
        "dtype": dtype,
        "adapter_dtype": "float32",
        "attention": attention,
        "batch_size": 1 if settings.strict else settings.batch_size,
        "batch_tokens": settings.batch_tokens,
        "threads": None if device.type != "cpu" else 1 if settings.strict else torch.get_num_threads(),
        **({"strict": True} if settings.strict else {}),
        "tf32": False,
        "special_tokens": asdict(around),
    }
    return EngineInfo(
        name="hf", details={**details, **{name: importlib.metadata.version(name) for name in LIBRARIES}, **_quantiser()}
    )


def _quantiser() -> dict[str, str]:
    """The library of quantised weights, where it is installed: which of the models need it is not the engine's to
    say.
    """
    installed = importlib.util.find_spec("bitsandbytes") is not None
    return {"bitsandbytes": importlib.metadata.version("bitsandbytes")} if installed else {}


def _weights_of(checkpoint: Checkpoint) -> Path:
    if checkpoint.adapter and checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    return checkpoint.weights


FACTORY = HFFactory()
