"""Open any kind of checkpoint as an engine that answers with transformers on this machine."""

from __future__ import annotations

import gc
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from evalharness.checkpoints.devices import DTYPES, device_of
from evalharness.checkpoints.generation_rules import stated
from evalharness.checkpoints.load import LoadedModel, ResidentWeights, load, resident_of
from evalharness.checkpoints.special_tokens import prompt_tokens
from evalharness.engines.base import Engine, Unmergeable
from evalharness.engines.hf.architectures import model_adapter, pair_scorer
from evalharness.engines.hf.arithmetic import Arithmetic
from evalharness.engines.hf.batches import BatchLimits, free_memory, plan
from evalharness.engines.hf.decoding import Decoder
from evalharness.engines.hf.info import info_of
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.profiles import Profiler, in_forward_passes
from evalharness.engines.hf.rows import BatchRow
from evalharness.engines.hf.scoring import Scorer
from evalharness.engines.hf.tokenizer_adapter import TokenPair
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Generate, Profile, Rank, Request, Response, Score


class HFEngine:
    """One opened model that answers with transformers.

    Batches are planned within the block of requests, so that they are the same for a base and its candidates. While the
    engine is open the model is in eval mode; closing restores the model's modes.
    """

    def __init__(self, loaded: LoadedModel, info: EngineInfo, settings: EngineSettings, window: int | None) -> None:
        self.info, self._window = info, window
        self._limits = BatchLimits(1 if loaded.alone or settings.strict else settings.batch_size, settings.batch_tokens)
        self._arithmetic = Arithmetic.set(settings.strict)
        self._loaded: LoadedModel | None = loaded
        model = model_adapter(loaded, window)
        self._model, self._scorer = model, Scorer(model, lambda: pair_scorer(model, self._limits))
        self._decoder, self._profiler = (
            Decoder(model, self._limits),
            Profiler(model, partial(in_forward_passes, model, self._limits)),
        )
        wholes = [whole for whole in (loaded.adapter, loaded.model, loaded.bare) if whole is not None]
        self._training = [module for whole in wholes for module in whole.modules() if module.training]
        for module in self._training:
            module.training = False

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        """Yield one response or failure per request: rankings, then scores of whole texts, generations, profiles. Equal
        requests are all answered.
        """
        return self.answer_with_drafts(requests, {})

    def answer_with_drafts(
        self, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> Iterator[Response | Failure]:
        """Answer as `answer` does, with drafts: request id -> another model's text."""
        return itertools.chain(
            self._scorer.rank([request for request in requests if isinstance(request, Rank)]),
            self._scorer.score([request for request in requests if isinstance(request, Score)]),
            self._decoder.generate([request for request in requests if isinstance(request, Generate)], drafts),
            self._profiler.profile([request for request in requests if isinstance(request, Profile)]),
        )

    @property
    def plain_because(self) -> str:
        """Return which requests so far were answered by plain batches of whole rows, and why; "" if none were, or if
        the settings ask for such batches.
        """
        reasons = {"scoring": self._scorer.pair_scorer.plain_because, "writing": self._decoder.plain_because}
        return "; ".join(f"{what} ({reason})" for what, reason in reasons.items() if reason)

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        """Return the logits after each prompt, (n, vocabulary), by the code that scores or the code that decodes."""
        if path == "decode":
            return self._decoder.next_logits(prompts, adapter)
        tokens = [self._model.tokenizer.prompt(prompt) for prompt in prompts]
        return self._scorer.pair_scorer.last_logits(tokens, adapter)

    def merge_logits(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the logits that predict the last three quarters of each text's tokens and the token after them,
        (positions, vocabulary), unmerged and merged. Raises Unmergeable.
        """
        assert self._loaded is not None
        with self._loaded.merged() as model:
            if model is None:
                raise Unmergeable(self._loaded.unmergeable)
            merged = _logits_within(
                texts, model_adapter(replace(self._loaded, model=model), self._window), self._limits
            )
        return _logits_within(texts, self._model, self._limits), merged

    def close(self) -> None:
        """Free the model's memory; the engine cannot answer afterwards."""
        self.hand_over()

    def hand_over(self) -> ResidentWeights | None:
        """Close the engine, and return the base's weights for the engine that opens next; None if they cannot be
        reused.
        """
        if self._loaded is None:
            return None
        for module in self._training:
            module.training = True
        resident = resident_of(self._loaded)
        self._loaded, self._training = None, []
        self._arithmetic.restore()
        del self._model, self._scorer, self._decoder, self._profiler
        free_memory()
        return resident


def _logits_within(texts: Sequence[str], model: ModelAdapter, limits: BatchLimits) -> NDArray[np.float64]:
    """Return logits (positions, vocabulary), text after text, the longest first."""
    rows = []
    for text in texts:
        tokens = model.tokenizer.prompt(text)
        cut = max(1, len(tokens) // 4)
        pair = TokenPair(tokens[:cut], (*tokens[cut:], model.tokenizer.pad))  # any token will do as the last
        rows.append(BatchRow(*model.read(pair), (pair.continuation,)))
    batches = plan([model.size(row) for row in rows], limits)
    logits = [model.logits([rows[i] for i in batch]) for batch in batches]
    return torch.cat(logits).double().cpu().numpy()


def open_engine(
    checkpoint: Checkpoint, settings: EngineSettings, info: EngineInfo, previous: Engine | None = None
) -> HFEngine:
    """Load the checkpoint and return an engine on it.

    `previous`, an engine that is still open, is closed first. If the checkpoint has the same base weights, they stay in
    memory and only the adapter is loaded; otherwise they are freed and the checkpoint's are loaded. `info`: the
    engine's description, to which the special tokens and decoding rules of the loaded model are added.

    Raises ModelError if the checkpoint cannot be loaded whole, or if its files changed since they were recognised.
    """
    resident = previous.hand_over() if isinstance(previous, HFEngine) else None
    if device_of(settings.device).type == "cuda":
        torch.backends.cuda.matmul.allow_tf32 = False
    loaded = load(checkpoint, settings.dtype, settings.device, resident, settings.generation_config)
    assert loaded.around is not None
    shared = stated(loaded.bare.generation_config) if settings.generation_config == "base" else {}
    read = {"special_tokens": asdict(loaded.around), "generation_rules": shared}
    info = replace(info, details={**info.details, **read})
    return HFEngine(loaded, info, settings, checkpoint.window)


def engine_on(loaded: LoadedModel, checkpoint: Checkpoint, settings: EngineSettings) -> HFEngine:
    """Make an engine on a model that is in memory already. Device, dtype and mode are the model's; the settings give
    only the batch sizes.
    """
    dtype = next((name for name, kind in DTYPES.items() if kind == loaded.model.dtype), str(loaded.model.dtype))
    attention = loaded.model.config._attn_implementation
    around = prompt_tokens(loaded.tokenizer, loaded.architecture)
    info = info_of(settings, *processor_of(loaded.device), dtype=dtype, attention=attention, around=around)
    return HFEngine(loaded, info, settings, checkpoint.window)


def processor(name: str) -> tuple[str, int | None]:
    """Return the name of a device's processor, and torch's threads, None for an accelerator. Raises UsageError."""
    return processor_of(device_of(name))


def processor_of(device: torch.device) -> tuple[str, int | None]:
    """Return the name of a torch device's processor, and torch's threads, None for an accelerator."""
    if device.type == "cpu":
        return device.type, torch.get_num_threads()
    return torch.cuda.get_device_name(device), None


if gc.get_freeze_count():  # in the command line's process: collections then skip the libraries' objects
    gc.freeze()
