"""Keep one base open in vLLM, and switch between LoRA adapters on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vllm import LLM, SamplingParams, TokensPrompt
from vllm.distributed.parallel_state import cleanup_dist_env_and_memory
from vllm.lora.request import LoRARequest

from evalharness.checkpoints import fingerprint
from evalharness.checkpoints.special_tokens import tokenizer_directory
from evalharness.engines.hf.batches import free_memory
from evalharness.engines.vllm.adapters import linear_layers, rank_of
from evalharness.engines.vllm.answers import ModelLimits
from evalharness.engines.vllm.calls import AnsweredCall, Call
from evalharness.engines.vllm.options import VllmOptions, served_rank
from evalharness.errors import ModelError, first_line, pass_on_memory_error
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings

NO_LORA = "LoRA is not supported"  # vLLM's message about an architecture
Key = tuple[str, ...]


class ResidentBase:
    """A base that is open in vLLM, with or without an adapter on it.

    Adapters are identified by their fingerprints, so that neither an adapter nor a cached prefix is mistaken for an
    earlier one. `key`: identifies the base and its settings. `largest_rank`: the largest rank of an adapter that fits.
    """

    def __init__(self, llm: LLM, key: Key, largest_rank: int) -> None:
        self.llm, self.key, self.largest_rank = llm, key, largest_rank
        self._numbers: dict[str, int] = {}
        self._adapter: LoRARequest | None = None

    @property
    def limits(self) -> ModelLimits:
        """Return the opened model's limits. vLLM has space for one token after the window, which it writes and never
        reads.
        """
        config = self.llm.model_config
        return ModelLimits(
            window=int(config.max_model_len) - 1,
            vocabulary=int(config.get_vocab_size()),
            certain=bool(self.llm.llm_engine.vllm_config.use_v2_model_runner),
        )

    def holds(self, rank: int) -> bool:
        """Return whether an adapter of this rank can be loaded."""
        return rank <= self.largest_rank

    def ask(self, calls: Sequence[Call], adapter: bool = True) -> Sequence[AnsweredCall]:
        """Answer all calls, in their order."""
        if not calls:
            return []
        prompts = [TokensPrompt(prompt_token_ids=list(call.tokens)) for call in calls]
        sampling = [SamplingParams(**call.sampling) for call in calls]
        request = self._adapter if adapter else None
        answers: Sequence[AnsweredCall] = self.llm.generate(prompts, sampling, use_tqdm=False, lora_request=request)
        return answers

    def put_on(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Load a LoRA's matrices from a folder. Raises ModelError if vLLM does not take them."""
        identity = checkpoint.fingerprint
        number = self._numbers.setdefault(identity, len(self._numbers) + 1)
        request = LoRARequest(lora_name=identity, lora_int_id=number, lora_path=str(folder))
        try:
            if not self.llm.llm_engine.add_lora(request):
                raise ValueError("it says that it has not")
        except Exception as error:  # vLLM's workers may raise anything
            pass_on_memory_error(error)
            what = f"vLLM does not load its adapter ({first_line(error)})"
            raise ModelError(checkpoint.path, what, "use --engine hf, which answers with it") from error
        self._adapter = request

    def take_off(self) -> None:
        """Remove the adapter, so that the base answers again."""
        if self._adapter is not None:
            self.llm.llm_engine.remove_lora(self._adapter.lora_int_id)
            self._adapter = None

    def close(self) -> None:
        """End vLLM's processes and free its memory."""
        self.llm.llm_engine.engine_core.shutdown()
        del self.llm
        cleanup_dist_env_and_memory()
        free_memory()


def key_of(private: Checkpoint, info: EngineInfo) -> Key:
    """Identify the base in memory: equal for all checkpoints that can share it."""
    return fingerprint.of_weights(private.weights), private.precision, info.fingerprint


def open_base(private: Checkpoint, settings: EngineSettings, info: EngineInfo, options: VllmOptions) -> ResidentBase:
    """Open full weights, with space for adapters if vLLM supports these for the architecture and the dtype. Raises
    ModelError if vLLM cannot open them.
    """
    arguments, key = _arguments(private, settings, options), key_of(private, info)
    rank = served_rank(max(options.max_lora_rank, rank_of(private)))  # for a larger one the base is opened again
    try:
        if settings.dtype == "float32" and info.details["device"] != "cpu":
            return ResidentBase(LLM(**arguments), key, 0)
        try:
            return ResidentBase(LLM(**arguments, **_lora_arguments(private, rank)), key, rank)
        except ValueError as error:
            if NO_LORA not in str(error) or private.adapter:
                raise
            return ResidentBase(LLM(**arguments), key, 0)
    except Exception as error:  # vLLM and its workers may raise anything
        pass_on_memory_error(error)
        what = f"vLLM cannot open it ({first_line(error)})"
        raise ModelError(private.weights, what, "see vLLM's log above, or use --engine hf") from error


def _arguments(private: Checkpoint, settings: EngineSettings, options: VllmOptions) -> dict[str, Any]:
    other = ("max_lora_rank", "max_model_len")
    plain = {name: value for name, value in asdict(options).items() if name not in other}
    lengths = [length for length in (private.window, options.max_model_len) if length is not None]
    length = {"max_model_len": min(lengths) + 1} if lengths else {}  # vLLM always writes a token
    alone = {"distributed_executor_backend": "uni"} if options.tensor_parallel_size == 1 else {}
    return {
        "model": str(private.weights),
        "tokenizer": str(tokenizer_directory(private)),
        "dtype": settings.dtype,
        "generation_config": "vllm",  # only the rules of each call
        "enable_prefix_caching": True,
        "max_logprobs": -1,
        "seed": 0,
        **length,
        **alone,
        **plain,
    }


def _lora_arguments(private: Checkpoint, rank: int) -> dict[str, Any]:
    """Return vLLM's arguments for one adapter at a time. If the layers are known the head is left out, because vLLM
    applies its LoRA to the rows that write, and not to those of a prompt.
    """
    layers = linear_layers(private)
    targets = {"lora_target_modules": layers} if layers else {}
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank, **targets}
