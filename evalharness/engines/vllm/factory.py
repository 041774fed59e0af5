"""Describe and open engines that answer with vLLM; vllm is imported when one is opened."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from evalharness import checkpoints, registry
from evalharness.checkpoints import files
from evalharness.checkpoints.device_names import check_dtype
from evalharness.checkpoints.fast_tokenizer import prompt_tokens_in
from evalharness.checkpoints.precision import QUANTISED
from evalharness.checkpoints.special_tokens import prompt_directory
from evalharness.engines import OPTIONS
from evalharness.engines.base import Engine, check_options
from evalharness.engines.hf.factory import FACTORY as HF
from evalharness.engines.hf.factory import STEP
from evalharness.engines.vllm import REGISTRY, environment
from evalharness.engines.vllm.adapters import FIX, check_adapter, rank_of
from evalharness.engines.vllm.options import served_rank, vllm_options
from evalharness.errors import ModelError, UsageError, first_line
from evalharness.records.models import Architecture, Checkpoint, EngineInfo, EngineSettings
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

if TYPE_CHECKING:
    from evalharness.engines.vllm.engine import VllmEngine

ALGORITHM = 1  # raise it with any change that can change a score
LIBRARIES = ("torch", "transformers", "tokenizers")
FOLLOWED = ("repetition_penalty", "min_length", "min_new_tokens", "stop_strings")  # decoding rules that vLLM has


class VllmFactory:
    """Opens VllmEngines. Token counts, chat templates and decoding rules are those of the engine hf."""

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """Return all that can change a score, without importing vllm. Raises MissingPackageError without vLLM,
        UsageError without a GPU and for checkpoints and settings that vLLM does not support.
        """
        check_options(settings, OPTIONS["vllm"])
        options = asdict(vllm_options(settings.options))
        served_rank(max(options.pop("max_lora_rank"), rank_of(checkpoint)))
        vllm = environment.installed_vllm()
        device = environment.device_for(vllm, settings.device)
        check_dtype(settings.dtype, device)
        _check_checkpoint(checkpoint)
        _check_settings(checkpoint, settings, device)
        details: dict[str, Any] = {
            "algorithm": ALGORITHM,
            "device": device,
            "dtype": settings.dtype,
            "adapter_dtype": settings.dtype,
            "prefix_caching": True,
            **options,
            **environment.choices(vllm),
            "special_tokens": asdict(prompt_tokens_in(prompt_directory(checkpoint), checkpoint.architecture)),
            "generation_config": settings.generation_config,
            "generation_rules": _rules(checkpoint, settings),
            "vllm": vllm.version,
            **{name: importlib.metadata.version(name) for name in LIBRARIES},
        }
        return EngineInfo(name="vllm", details=details)

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> VllmEngine:
        """Load the model. Raises ModelError if vLLM cannot open it."""
        return self._open(checkpoint, settings, None)

    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> VllmEngine:
        """Load the model as `open` does. The base of `previous` stays open if it is the model's and has space for the
        adapter's rank; otherwise it is closed first.
        """
        return self._open(checkpoint, settings, previous)

    def _open(self, checkpoint: Checkpoint, settings: EngineSettings, previous: Engine | None) -> VllmEngine:
        info = self.describe(checkpoint, settings)
        environment.prepare()
        try:
            open_engine: Callable[..., VllmEngine] = registry.find(REGISTRY, "open", "engine step")
        except ModuleNotFoundError:
            raise
        except ImportError as error:  # such as a missing CUDA library that the installed vLLM needs
            what = f"the installed vLLM cannot be imported ({first_line(error)})"
            raise UsageError("--engine vllm", what, "install the vLLM that is built for this machine") from error
        return open_engine(checkpoint, settings, info, previous)

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        """Return the token counter of the engine hf."""
        return HF.token_counter(checkpoint)

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        """Return the chat template of the engine hf."""
        return HF.chat_renderer(checkpoint)

    def generation_differences(self, checkpoint: Checkpoint) -> Mapping[str, tuple[Any, Any]]:
        """Return the differences that the engine hf finds."""
        return HF.generation_differences(checkpoint)


def _check_checkpoint(checkpoint: Checkpoint) -> None:
    """Raise UsageError for a checkpoint that vLLM does not serve."""
    if checkpoint.architecture != Architecture.CAUSAL:
        raise UsageError(checkpoint.name, "an encoder-decoder model, and vLLM serves decoder-only ones", FIX)
    if checkpoint.adapter and checkpoint.base is None:
        raise ModelError(checkpoint.path, "an adapter without its base", "give --base PATH")
    if files.gguf_file(checkpoint.weights) is not None:
        raise UsageError(checkpoint.name, "weights in a GGUF file, which are not given to vLLM", FIX)
    if checkpoint.precision and QUANTISED not in files.model_config(checkpoint.weights):
        what = (
            f"weights that are quantised to {checkpoint.precision} on loading, and vLLM takes them as they are stored"
        )
        raise UsageError(checkpoint.name, what, FIX)
    check_adapter(checkpoint)


def _check_settings(checkpoint: Checkpoint, settings: EngineSettings, device: str) -> None:
    """Raise UsageError for settings that vLLM does not have."""
    plain = EngineSettings()
    if (settings.batch_size, settings.batch_tokens) != (plain.batch_size, plain.batch_tokens):
        raise UsageError("--batch-size", "the engine vllm plans its own batches", "leave it out")
    if settings.strict and (
        device == "cpu" or environment.choices(environment.installed_vllm())["batch_invariant"] != "1"
    ):
        what = "the engine vllm gives the same bits in any batch only where it is told so"
        raise UsageError("--strict", what, "set VLLM_BATCH_INVARIANT=1, on a GPU that can, or use --engine hf")
    if checkpoint.adapter and settings.dtype == "float32" and device != "cpu":
        what = "vLLM's kernels for LoRA compute in 16 bits on a GPU"
        raise UsageError("--dtype", what, "use --dtype bfloat16 or float16, for the base, too")


def _rules(checkpoint: Checkpoint, settings: EngineSettings) -> dict[str, Any]:
    """Return the decoding rules that all models share. Raises ModelError for one that cannot be followed, UsageError
    for one that vLLM does not have.
    """
    find = registry.find
    find(checkpoints.REGISTRY, "generation_config", STEP)(checkpoint, settings.generation_config)
    followed = find(checkpoints.REGISTRY, "rules", STEP)(checkpoint, settings.generation_config)
    if others := [key for key in followed if key not in FOLLOWED]:
        what = f"its generation config states {', '.join(others)}, which vLLM does not have"
        raise UsageError(checkpoint.name, what, "decode without: --generation-config plain, or use --engine hf")
    return dict(followed) if settings.generation_config == "base" else {}


FACTORY = VllmFactory()
