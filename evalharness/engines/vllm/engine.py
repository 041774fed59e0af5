"""Open a checkpoint as an engine that answers with vLLM; LoRA adapters share one base in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from transformers import GenerationConfig

from evalharness.checkpoints.derived import check_unchanged
from evalharness.checkpoints.generation_rules import generation_config
from evalharness.checkpoints.kinds import PLACEBO
from evalharness.checkpoints.sealed import sealed
from evalharness.checkpoints.special_tokens import tokenizer_directory
from evalharness.checkpoints.tokenizer import shared_prompt_tokens, tokenizer_in
from evalharness.engines.base import Engine
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.engines.vllm.adapters import rank_of
from evalharness.engines.vllm.answers import VllmAnswers
from evalharness.engines.vllm.calls import AnsweredCall, Call
from evalharness.engines.vllm.options import vllm_options
from evalharness.engines.vllm.placebo import write_placebo
from evalharness.engines.vllm.resident import ResidentBase, key_of, open_base
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Request, Response


class VllmEngine:
    """One opened model that answers with vLLM.

    A block's rankings are one call of vLLM, its scored texts another, and so are each round of its generations and its
    profiles. vLLM plans its own batches within a call.
    """

    def __init__(
        self, resident: ResidentBase, tokenizer: TokenizerAdapter, config: GenerationConfig, info: EngineInfo
    ) -> None:
        self.info = info
        self._resident: ResidentBase | None = resident
        self._answers = VllmAnswers(self._ask, tokenizer, config, resident.limits)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """Yield one response or failure per request; equal requests are all answered."""
        return self._answers.to(requests)

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        """Return each prompt's next-token log-probabilities (logits less a constant), (prompts, vocabulary)."""
        return self._answers.next_token_logits(prompts, adapter=adapter, path=path)

    def close(self) -> None:
        """End vLLM and free its memory; the engine cannot answer afterwards."""
        if (resident := self.hand_over()) is not None:
            resident.close()

    def hand_over(self) -> ResidentBase | None:
        """Close the engine, and return the base without its adapter for the engine that opens next; None at a second
        call.
        """
        resident, self._resident = self._resident, None
        if resident is not None:
            resident.take_off()
        return resident

    def _ask(self, calls: Sequence[Call], adapter: bool = True) -> Sequence[AnsweredCall]:
        if self._resident is None:
            raise RuntimeError("the engine is closed")
        return self._resident.ask(calls, adapter)


def open_engine(
    checkpoint: Checkpoint, settings: EngineSettings, info: EngineInfo, previous: Engine | None = None
) -> VllmEngine:
    """Load the checkpoint into vLLM and return an engine on it.

    `previous`, an engine that is still open, is closed first. If the checkpoint has the same base and the base has
    space for its adapter, the base stays open and only the adapter is loaded; otherwise a new base is opened. `info`:
    the engine's description.

    Raises ModelError if vLLM cannot open it, or if its files changed since it was recognised.
    """
    resident = previous.hand_over() if isinstance(previous, VllmEngine) else None
    options = vllm_options(settings.options)
    with sealed(checkpoint) as private:
        tokenizer = TokenizerAdapter(
            tokenizer_in(tokenizer_directory(private)), checkpoint.architecture, shared_prompt_tokens(private)
        )
        config = generation_config(private, settings.generation_config)
        if resident is not None and (resident.key != key_of(private, info) or not resident.holds(rank_of(private))):
            resident.close()
            resident = None
        if resident is None:
            resident = open_base(private, settings, info, options)
        try:
            _put_on(private, resident)
            check_unchanged(private)
        except BaseException:
            resident.close()
            raise
    return VllmEngine(resident, tokenizer, config, info)


def _put_on(private: Checkpoint, resident: ResidentBase) -> None:
    """Load the checkpoint's adapter; for a placebo, an adapter that changes nothing."""
    with tempfile.TemporaryDirectory(prefix="evalharness-") as folder:
        if private.adapter == PLACEBO:
            write_placebo(private, Path(folder))
        if private.adapter:
            resident.put_on(private, Path(folder) if private.adapter == PLACEBO else private.path)
