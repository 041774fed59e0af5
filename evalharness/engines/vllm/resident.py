"""Keep one base open in vLLM, put LoRA adapters on it one after the other, and ask it."""

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
from evalharness.engines.vllm.options import VllmOptions, room_for
from evalharness.errors import ModelError, first_line, pass_on_memory_error
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings

NO_LORA = "LoRA is not supported"  # what vLLM says of an architecture
Key = tuple[str, ...]


class ResidentBase:
    """A base in vLLM's memory. Adapters are known by their fingerprints, so that none is taken for another that was
    there before, nor are the prefixes that it cached.
    """

    def __init__(self, llm: LLM, key: Key, room: int) -> None:
        self.llm, self.key, self.room = llm, key, room
        self._numbers: dict[str, int] = {}
        self._adapter: LoRARequest | None = None

    @property
    def limits(self) -> ModelLimits:
        """What the opened model holds. vLLM has room for one token beside the window, which it writes and never
        reads.
        """
        config = self.llm.model_config
        return ModelLimits(
            window=int(config.max_model_len) - 1,
            vocabulary=int(config.get_vocab_size()),
            certain=bool(self.llm.llm_engine.vllm_config.use_v2_model_runner),
        )

    def holds(self, rank: int) -> bool:
        """Whether an adapter of this rank can be put on."""
        return rank <= self.room

    def ask(self, calls: Sequence[Call], adapter: bool = True) -> Sequence[AnsweredCall]:
        """The answers to all calls, in their order."""
        if not calls:
            return []
        prompts = [TokensPrompt(prompt_token_ids=list(call.tokens)) for call in calls]
        sampling = [SamplingParams(**call.sampling) for call in calls]
        request = self._adapter if adapter else None
        answers: Sequence[AnsweredCall] = self.llm.generate(prompts, sampling, use_tqdm=False, lora_request=request)
        return answers

    def put_on(self, checkpoint: Checkpoint, folder: Path) -> None:
        """Load a LoRA's matrices from a folder. Raises ModelError where vLLM does not take them."""
        identity = checkpoint.fingerprint
        number = self._numbers.setdefault(identity, len(self._numbers) + 1)
        request = LoRARequest(lora_name=identity, lora_int_id=number, lora_path=str(folder))
        try:
            if not self.llm.llm_engine.add_lora(request):
                raise ValueError("it says that it has not")
        except Exception as error:  # whatever vLLM's workers raise
            pass_on_memory_error(error)
            what = f"vLLM does not load its adapter ({first_line(error)})"
            raise ModelError(checkpoint.path, what, "use --engine hf, which answers with it") from error
        self._adapter = request

    def take_off(self) -> None:
        """Answer as the base again, and forget the adapter's matrices."""
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
    """What is the same of all checkpoints that answer from one resident base."""
    return fingerprint.of_weights(private.weights), private.precision, info.fingerprint


def open_base(private: Checkpoint, settings: EngineSettings, info: EngineInfo, options: VllmOptions) -> ResidentBase:
    """Open the full weights that answer, with room for adapters where their architecture and type of numbers have it.
    Raises ModelError where vLLM cannot open them.
    """
    arguments, key = _arguments(private, settings, options), key_of(private, info)
    room = room_for(max(options.max_lora_rank, rank_of(private)))  # a larger one later opens the base again
    try:
        if settings.dtype == "float32" and info.details["device"] != "cpu":
            return ResidentBase(LLM(**arguments), key, 0)
        try:
            return ResidentBase(LLM(**arguments, **_room(private, room)), key, room)
        except ValueError as error:
            if NO_LORA not in str(error) or private.adapter:
                raise
            return ResidentBase(LLM(**arguments), key, 0)
    except Exception as error:  # whatever vLLM and its workers raise
        pass_on_memory_error(error)
        what = f"vLLM cannot open it ({first_line(error)})"
        raise ModelError(private.weights, what, "see vLLM's log above, or use --engine hf") from error


def _arguments(private: Checkpoint, settings: EngineSettings, options: VllmOptions) -> dict[str, Any]:
    other = ("max_lora_rank", "max_model_len")
    given = {name: value for name, value in asdict(options).items() if name not in other}
    lengths = [length for length in (private.window, options.max_model_len) if length is not None]
    room = {"max_model_len": min(lengths) + 1} if lengths else {}  # vLLM always writes a token
    alone = {"distributed_executor_backend": "uni"} if options.tensor_parallel_size == 1 else {}
    return {
        "model": str(private.weights),
        "tokenizer": str(tokenizer_directory(private)),
        "dtype": settings.dtype,
        "generation_config": "vllm",  # none but the rules that each call states
        "enable_prefix_caching": True,
        "max_logprobs": -1,
        "seed": 0,
        **room,
        **alone,
        **given,
    }


def _room(private: Checkpoint, rank: int) -> dict[str, Any]:
    """For one adapter at a time. Where the layers are known the head is left out: its LoRA is computed with the rows
    that write, and not with those of a prompt.
    """
    layers = linear_layers(private)
    targets = {"lora_target_modules": layers} if layers else {}
    return {"enable_lora": True, "max_loras": 1, "max_lora_rank": rank, **targets}
