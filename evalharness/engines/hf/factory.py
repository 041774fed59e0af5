"""Describe and open engines that answer with transformers, count their tokens and render their chats.

Only opening an engine imports torch. Facts that an earlier run remembered are read without transformers, too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalharness import checkpoints, registry
from evalharness.checkpoints import files
from evalharness.checkpoints.conclusions import conclude_once
from evalharness.checkpoints.device_names import check_dtype
from evalharness.checkpoints.fast_tokenizer import prompt_tokens_in, splitting_tokenizer
from evalharness.checkpoints.fingerprint import of_tokenizer
from evalharness.checkpoints.special_tokens import SpecialTokens, prompt_directory, tokenizer_directory
from evalharness.engines import OPTIONS
from evalharness.engines.base import Engine, check_options
from evalharness.engines.hf import REGISTRY
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.info import info_of, processor
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.errors import ModelError, UsageError
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

if TYPE_CHECKING:
    from evalharness.engines.hf.engine import HFEngine

STEP = "checkpoint step"
CONFIGURED = ("attention", "generation_config", "rules")


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerCounter:
    """Counts and returns tokens.

    Counters of equal tokenizers are equal, so that a text is counted once for all candidates. `tokenizer`: the
    tokenizer's fingerprint. `around`: the special tokens around every text. `adapter`: encodes with the tokenizer.
    """

    tokenizer: str  # fingerprint
    around: SpecialTokens
    adapter: TokenizerAdapter = field(compare=False)

    def __call__(self, text: str) -> int:
        return len(self.adapter.encode(text))

    def token_ids(self, text: str) -> tuple[int, ...]:
        """Return the tokens of a text without the special tokens around it."""
        return self.adapter.encode(text, special=False)


class HFFactory:
    """Opens HFEngines, and answers questions about a checkpoint without loading its weights."""

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """Return all settings that can change a score, without loading weights. Raises UsageError for settings that are
        impossible on this machine, ModelError for a config that cannot be used.
        """
        check_options(settings, OPTIONS["hf"])
        device, threads = processor(settings.device, settings.strict)
        check_dtype(settings.dtype, device)
        if settings.batch_size < 1 or settings.batch_tokens < 1:
            raise UsageError(
                "--batch-size", f"{settings.batch_size} rows of {settings.batch_tokens} tokens", "both at least 1"
            )
        if checkpoint.adapter and checkpoint.base is None:
            raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
        attention, rules = _configured(checkpoint, settings)
        around = prompt_tokens_in(prompt_directory(checkpoint), checkpoint.architecture)
        info = info_of(settings, device, threads, dtype=settings.dtype, attention=attention, around=around)
        decoding = {"generation_config": settings.generation_config, "generation_rules": rules}
        return replace(info, details={**info.details, **decoding})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> HFEngine:
        """Load the model. Raises ModelError if it cannot be loaded whole, and if its files changed since it was
        recognised.
        """
        return self._open(checkpoint, settings, None)

    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> HFEngine:
        """Load the model as `open` does. The weights of `previous` stay in memory if the model has the same, and are
        freed first if it has others.
        """
        return self._open(checkpoint, settings, previous)

    def _open(self, checkpoint: Checkpoint, settings: EngineSettings, previous: Engine | None) -> HFEngine:
        open_engine: Callable[..., HFEngine] = registry.find(REGISTRY, "open", "engine step")
        return open_engine(checkpoint, settings, self.describe(checkpoint, settings), previous)

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        """Return a counter of a text's tokens as this model reads it alone, with the special tokens around it."""
        directory = tokenizer_directory(checkpoint)
        around = prompt_tokens_in(prompt_directory(checkpoint), checkpoint.architecture)
        tokenizer = splitting_tokenizer(directory, around.prefix)
        adapter = TokenizerAdapter(tokenizer, checkpoint.architecture, around)
        return TokenizerCounter(tokenizer=of_tokenizer(directory), around=around, adapter=adapter)

    def generation_differences(self, checkpoint: Checkpoint) -> dict[str, tuple[Any, Any]]:
        """Return the decoding rules and special tokens in which the checkpoint's generation config differs from its
        base's: key -> (the base's value, the checkpoint's). Raises ModelError for a config that cannot be read.
        """
        if checkpoint.base is None or checkpoint.weights == checkpoint.base:
            return {}
        values = conclude_once(
            "generation",
            _configs(checkpoint),
            _places(checkpoint),
            lambda: registry.find(checkpoints.REGISTRY, "generation_differences", STEP)(checkpoint),
        )
        return {key: (base, own) for key, (base, own) in values.items()}

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """Return the chat template of the checkpoint's tokenizer. Raises ModelError for one that cannot be used."""
        directory = tokenizer_directory(checkpoint)
        return template_of(directory, splitting_tokenizer(directory, None))


def _configured(checkpoint: Checkpoint, settings: EngineSettings) -> tuple[str, dict[str, Any]]:
    """Return the attention implementation of the checkpoint, and the decoding rules that all models share. Raises
    ModelError for a config that transformers does not know, and for decoding rules that cannot be followed.
    """

    def conclude() -> list[Any]:
        attention, check, rules = (registry.find(checkpoints.REGISTRY, name, STEP) for name in CONFIGURED)
        implementation = attention(checkpoint.weights, checkpoint.architecture)
        check(checkpoint, settings.generation_config)  # raises for rules that cannot be followed
        return [implementation, rules(checkpoint, "base") if settings.generation_config == "base" else {}]

    arguments = [checkpoint.architecture, settings.generation_config, *_places(checkpoint)]
    attention, rules = conclude_once("configuration", _configs(checkpoint), arguments, conclude)
    return attention, rules


def _configs(checkpoint: Checkpoint) -> list[Path]:
    """List the config files of the checkpoint and its base, and GGUF files with their metadata."""
    places = {checkpoint.weights, checkpoint.base or checkpoint.weights}
    inside = [path for place in places if (path := files.gguf_file(place)) is not None]
    configs = [place / name for place in places for name in (files.CONFIG, files.GENERATION_CONFIG)]
    return [*(path for path in configs if path.is_file()), *inside]


def _places(checkpoint: Checkpoint) -> list[str]:
    return [str(checkpoint.weights), str(checkpoint.base)]


FACTORY = HFFactory()
