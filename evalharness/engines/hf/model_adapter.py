"""Ask a loaded model: what rows it reads, what fits its window, and the forward pass that computes the logits which are
scored.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch.utils.hooks import RemovableHandle
from transformers import PreTrainedModel

from evalharness.checkpoints.load import LoadedModel, VirtualPrefix
from evalharness.engines.hf.rows import BatchRow, Tokens, scored_places
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, TokenPair, Untokenizable

UNLIMITED = 2048  # tokens of a piece of text where the model states no limit; lm-eval's default


class ModelAdapter(ABC):
    """One loaded model, asked as its architecture wants it. `window` bounds what it reads; None: no limit is known.

    `own_rules`: what its greedy decoding takes from a checkpoint's generation config beside the rest; `padded_rules`:
    rules of decoding that would read the padding.
    """

    padded_rules: ClassVar[tuple[str, ...]]

    def __init__(self, loaded: LoadedModel, tokenizer: TokenizerAdapter, window: int | None) -> None:
        self.loaded, self.tokenizer, self.window = loaded, tokenizer, window
        self.own_rules: dict[str, Any] = {}

    @property
    def piece_limit(self) -> int:
        """Most tokens of one piece of a text that is scored whole."""
        return UNLIMITED if self.window is None else self.window - self.loaded.lead.tokens

    def pieces(self, text: str, limit: int | None = None, special: bool = True) -> tuple[TokenPair, ...]:
        """A whole text in pieces that the window holds beside the virtual tokens, of at most `limit` tokens; `special`
        as in TokenizerAdapter. Raises Untokenizable.
        """
        most = self.piece_limit if limit is None else min(limit, self.piece_limit)
        if most < 1:
            raise Untokenizable(
                f"{self.loaded.lead.tokens} virtual tokens leave no room for text in the window of {self.window}"
            )
        return self.tokenizer.pieces(text, most, special)

    @abstractmethod
    def read(self, pair: TokenPair) -> tuple[Tokens, Tokens]:
        """What encoder and decoder read to predict the continuation; pairs that read the same share a row."""

    @abstractmethod
    def row(self, prompt: Tokens) -> BatchRow:
        """A row that predicts what comes first after the prompt."""

    @abstractmethod
    def size(self, row: BatchRow) -> int:
        """The length by which batches are planned; virtual tokens are not counted, so that they do not change the
        plan.
        """

    @abstractmethod
    def too_long(self, pair: TokenPair) -> str:
        """Why the pair does not fit the window; "" where it does."""

    @abstractmethod
    def too_much(self, prompt: Tokens, new: int) -> str:
        """Why the prompt and so many new tokens do not fit the window; "" where they do."""

    @abstractmethod
    def inputs(
        self, rows: Sequence[BatchRow], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """What the model's forward pass is given for these rows, and how many of its positions stand before the first
        that a row is fed.
        """

    @abstractmethod
    def begin(
        self, prompts: Sequence[Tokens], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """What `generate` is given for these prompts, and how many tokens stand before the first new one in what it
        gives back.
        """

    @torch.no_grad()
    def logits(self, rows: Sequence[BatchRow], adapter: bool = True) -> torch.Tensor:
        """Logits (positions, vocabulary) at each row's scored positions, row after row; the model's head sees no other
        position.
        """
        with self.loaded.answering(adapter) as (model, lead):
            inputs, before = self.inputs(rows, model, lead)
            return logits_at(model, inputs, scored_places(rows, before, self.loaded.device))


def logits_at(
    model: PreTrainedModel, inputs: dict[str, Any], where: tuple[torch.Tensor, ...], last: torch.nn.Module | None = None
) -> torch.Tensor:
    """Logits (n, vocabulary) at n places, (rows, positions), of one forward pass; the model's head sees no other place,
    nor does `last`, the feed-forward part of its last layer.
    """
    head = model.get_output_embeddings()
    hooks = [] if head is None else [head.register_forward_pre_hook(lambda _, given: _at(where, given))]
    hooks += [] if last is None else _hooks_at(last, where)
    try:
        logits: torch.Tensor = model(**inputs).logits
    finally:
        for hook in hooks:
            hook.remove()
    return logits[where] if head is None else logits[0]


def last_feed_forward(model: PreTrainedModel) -> torch.nn.Module | None:
    """The feed-forward part of a decoder's last layer; None where it has none by the usual name."""
    count = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            part = getattr(module[-1], "mlp", None)
            return part if isinstance(part, torch.nn.Module) else None
    return None


def _at(where: tuple[torch.Tensor, ...], given: tuple[Any, ...]) -> tuple[Any, ...]:
    return given[0][where].unsqueeze(0), *given[1:]


def _hooks_at(module: torch.nn.Module, where: tuple[torch.Tensor, ...]) -> list[RemovableHandle]:
    """Hooks by which a module that reads every place by itself computes only some, and gives 0 at the others."""
    shape: list[torch.Size] = []

    def before(_: torch.nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
        shape.append(given[0].shape)
        return _at(where, given)

    def after(_: torch.nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
        whole = output.new_zeros(shape.pop())
        whole[where] = output[0]
        return whole

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
