"""Let an engine answer with a model in training, and restore the model exactly afterwards."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel
from transformers import EncoderDecoderCache, PreTrainedModel, PreTrainedTokenizerBase

from evalharness.checkpoints.devices import DTYPES
from evalharness.checkpoints.files import window_of
from evalharness.checkpoints.kinds import TYPES, refusal
from evalharness.checkpoints.load import LoadedModel, VirtualPrefix
from evalharness.engines.base import Engine
from evalharness.engines.hf.chat import template_of
from evalharness.engines.hf.engine import HFEngine, engine_on
from evalharness.engines.hf.factory import TokenizerCounter
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter
from evalharness.errors import ModelError
from evalharness.records.models import Architecture, Checkpoint, EngineSettings, ModelKind
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

MODEL, BASE = "model", "base"
NOWHERE = Path()


@dataclass(slots=True, kw_only=True)
class LiveModel:
    """A model in training, plain or wrapped by peft, with its tokenizer. It has two checkpoints, `BASE` (the adapter
    off) and `MODEL`; `answering` opens an engine on either.
    """

    model: PreTrainedModel | PeftModel
    tokenizer: PreTrainedTokenizerBase

    @property
    def plain(self) -> PreTrainedModel:
        """Return the transformers model, with adapter layers inside if it has any."""
        plain = self.model.get_base_model() if isinstance(self.model, PeftModel) else self.model
        assert isinstance(plain, PreTrainedModel)
        return plain

    @property
    def adapter(self) -> str:
        """Return peft's type of the active adapter; "" for a plain model."""
        return str(self.model.active_peft_config.peft_type.value) if isinstance(self.model, PeftModel) else ""

    @property
    def architecture(self) -> Architecture:
        return Architecture.SEQ2SEQ if self.plain.config.is_encoder_decoder else Architecture.CAUSAL

    @property
    def dtype(self) -> str:
        return next((name for name, kind in DTYPES.items() if kind == self.plain.dtype), str(self.plain.dtype))

    def checkpoint(self, name: str, target: str | None = None) -> Checkpoint:
        """Describe the model as a checkpoint. Raises ModelError for an adapter that cannot be evaluated."""
        if self.adapter and (why := refusal(self.adapter, self.architecture)):
            raise ModelError(name, why, "evaluate it after training with an adapter that is supported")
        counts = [(parameter.numel(), parameter.requires_grad) for parameter in self.model.parameters()]
        whole, trained = sum(number for number, _ in counts), sum(number for number, is_on in counts if is_on)
        kind = ModelKind.BASE if name == BASE else TYPES[self.adapter].kind if self.adapter else ModelKind.FULL
        return Checkpoint(
            name=name,
            kind=kind,
            path=NOWHERE,
            base=NOWHERE,
            fingerprint=f"in memory: {name}",
            parameters=whole,
            trainable=0 if name == BASE else trained,
            bytes=0,
            window=window_of(self.plain.config.to_dict()),
            virtual_tokens=0 if name == BASE else self._virtual,
            target_task=target,
            architecture=self.architecture,
            adapter="" if name == BASE else self.adapter,
        )

    @property
    def _virtual(self) -> int:
        return (
            int(getattr(self.model.active_peft_config, "num_virtual_tokens", 0) or 0)
            if isinstance(self.model, PeftModel)
            else 0
        )

    @contextlib.contextmanager
    def answering(self, checkpoint: Checkpoint, settings: EngineSettings) -> Iterator[Engine]:
        """Open an engine on the model as it is now, or with its adapter off, and restore everything afterwards."""
        off = (
            self.model.disable_adapter()
            if isinstance(self.model, PeftModel) and checkpoint.name == BASE
            else contextlib.nullcontext()
        )
        with untouched(self.model), own_forward(self.plain), torch.no_grad(), off:
            engine = self._opened(checkpoint, settings)
            try:
                yield engine
            finally:
                engine.close()

    def _opened(self, checkpoint: Checkpoint, settings: EngineSettings) -> HFEngine:
        plain = self.plain
        loaded = LoadedModel(
            model=plain, bare=plain, tokenizer=self.tokenizer, device=plain.device, architecture=self.architecture
        )
        if isinstance(self.model, PeftModel) and checkpoint.name != BASE:
            loaded.adapter, loaded.lead = self.model, self._lead(self.model)
        return engine_on(loaded, checkpoint, settings)

    def _lead(self, wrapped: PeftModel) -> VirtualPrefix:
        """Compute what a soft prompt or a prefix puts before every text, as it will be once saved and loaded."""
        acts, plain = TYPES[self.adapter].acts, self.plain
        if acts == "layers":
            return VirtualPrefix()
        training = [module for module in wrapped.modules() if module.training]
        wrapped.eval()  # a prompt encoder may have dropout
        try:
            prompt = wrapped.get_prompt(1)
        finally:
            for module in training:
                module.training = True
        if isinstance(prompt, torch.Tensor):
            return VirtualPrefix(embeddings=prompt[0, : self._virtual].detach().to(plain.device, plain.dtype))
        cache = prompt.self_attention_cache if isinstance(prompt, EncoderDecoderCache) else prompt
        states = [(getattr(layer, "keys", None), getattr(layer, "values", None)) for layer in cache.layers]
        return VirtualPrefix(
            cache=tuple(
                (keys[0].detach().to(plain.dtype), values[0].detach().to(plain.dtype))
                for keys, values in states
                if keys is not None and values is not None
            )
        )

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        adapter = TokenizerAdapter(self.tokenizer, self.architecture)
        return TokenizerCounter(tokenizer="in memory", around=adapter.around, adapter=adapter)

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        return template_of(NOWHERE, self.tokenizer)


@contextlib.contextmanager
def own_forward(model: torch.nn.Module) -> Iterator[None]:
    """Remove the autocast that accelerate puts around `forward` in mixed precision, so that the weights answer as they
    will once saved.
    """
    around, original = vars(model).get("forward"), vars(model).get("_original_forward")
    if around is None or original is None:
        yield
        return
    model.forward = original
    try:
        yield
    finally:
        model.forward = around


@contextlib.contextmanager
def untouched(model: torch.nn.Module) -> Iterator[None]:
    """Restore the random states, the model's modes and its buffers at the end of the block."""
    python_state, numpy_state, torch_state = random.getstate(), np.random.get_state(), torch.get_rng_state()
    devices = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(module, name, buffer) for module in model.modules() for name, buffer in module._buffers.items()]
    try:
        yield
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)
        torch.set_rng_state(torch_state)
        if devices:
            torch.cuda.set_rng_state_all(devices)
        for module, training in modes:
            module.training = training
        for module, name, buffer in buffers:  # some rotary embeddings replace theirs for longer texts
            if module._buffers.get(name) is not buffer:
                module._buffers[name] = buffer
