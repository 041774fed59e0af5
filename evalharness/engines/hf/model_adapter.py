"""Adapt a loaded model to scoring and decoding: the rows it reads, its window, and its forward pass."""

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
    """Makes the inputs of one loaded model as its architecture needs them.

    `window`: the most tokens that the model reads, None if no limit is known. `own_rules`: keys of the generation
    config that only this architecture uses in greedy decoding. `padded_rules`: decoding rules that would read the
    padding.
    """

    padded_rules: ClassVar[tuple[str, ...]]

    def __init__(self, loaded: LoadedModel, tokenizer: TokenizerAdapter, window: int | None) -> None:
        self.loaded, self.tokenizer, self.window = loaded, tokenizer, window
        self.own_rules: dict[str, Any] = {}

    @property
    def piece_limit(self) -> int:
        """Return the most tokens of one piece of a text that is scored whole."""
        return UNLIMITED if self.window is None else self.window - self.loaded.lead.tokens

    def pieces(self, text: str, limit: int | None = None, special: bool = True) -> tuple[TokenPair, ...]:
        """Split a whole text into pieces that fit the window together with the virtual tokens. A piece has at most
        `limit` tokens (None: `piece_limit`). `special`: as in TokenizerAdapter.pieces. Raises Untokenizable.
        """
        most = self.piece_limit if limit is None else min(limit, self.piece_limit)
        if most < 1:
            raise Untokenizable(
                f"{self.loaded.lead.tokens} virtual tokens leave no space for text in the window of {self.window}"
            )
        return self.tokenizer.pieces(text, most, special)

    @abstractmethod
    def read(self, pair: TokenPair) -> tuple[Tokens, Tokens]:
        """Return the tokens that encoder and decoder read to predict the continuation; pairs with equal ones share a
        row.
        """

    @abstractmethod
    def row(self, prompt: Tokens) -> BatchRow:
        """Return a row that predicts the first token after the prompt."""

    @abstractmethod
    def size(self, row: BatchRow) -> int:
        """Return the length by which batches are planned, without virtual tokens, so that these do not change the
        plan.
        """

    @abstractmethod
    def too_long(self, pair: TokenPair) -> str:
        """Return why the pair does not fit the window; "" if it does."""

    @abstractmethod
    def too_much(self, prompt: Tokens, new: int) -> str:
        """Return why the prompt and so many new tokens do not fit the window; "" if they do."""

    @abstractmethod
    def inputs(
        self, rows: Sequence[BatchRow], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """Return the inputs of the forward pass for these rows, and how many of its positions come before the rows'
        first token.
        """

    @abstractmethod
    def begin(
        self, prompts: Sequence[Tokens], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """Return the inputs of `generate` for these prompts, and how many tokens come before the first new one in its
        output.
        """

    @torch.no_grad()
    def logits(self, rows: Sequence[BatchRow], adapter: bool = True) -> torch.Tensor:
        """Return the logits (positions, vocabulary) at each row's scored positions, row after row; the model's head
        computes no other position.
        """
        with self.loaded.answering(adapter) as (model, lead):
            inputs, before = self.inputs(rows, model, lead)
            return logits_at(model, inputs, scored_places(rows, before, self.loaded.device))


def logits_at(
    model: PreTrainedModel, inputs: dict[str, Any], where: tuple[torch.Tensor, ...], last: torch.nn.Module | None = None
) -> torch.Tensor:
    """Return the logits (n, vocabulary) of one forward pass at n places, (rows, positions). The model's head and
    `last`, the feed-forward part of its last layer, compute no other place.
    """
    head = model.get_output_embeddings()
    hooks = [] if head is None else [head.register_forward_pre_hook(lambda _, args: _at(where, args))]
    hooks += [] if last is None else _hooks_at(last, where)
    try:
        logits: torch.Tensor = model(**inputs).logits
    finally:
        for hook in hooks:
            hook.remove()
    return logits[where] if head is None else logits[0]


def last_feed_forward(model: PreTrainedModel) -> torch.nn.Module | None:
    """Return the feed-forward part of a decoder's last layer; None if no part has one of the usual names."""
    count = getattr(model.config.get_text_config(decoder=True), "num_hidden_layers", None)
    for module in model.modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count:
            part = getattr(module[-1], "mlp", None)
            return part if isinstance(part, torch.nn.Module) else None
    return None


def _at(where: tuple[torch.Tensor, ...], args: tuple[Any, ...]) -> tuple[Any, ...]:
    return args[0][where].unsqueeze(0), *args[1:]


def _hooks_at(module: torch.nn.Module, where: tuple[torch.Tensor, ...]) -> list[RemovableHandle]:
    """Register hooks on a module that computes each position by itself, so that it computes only the positions `where`,
    and returns 0 elsewhere.
    """
    shape: list[torch.Size] = []

    def before(_: torch.nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        shape.append(args[0].shape)
        return _at(where, args)

    def after(_: torch.nn.Module, __: object, output: torch.Tensor) -> torch.Tensor:
        whole = output.new_zeros(shape.pop())
        whole[where] = output[0]
        return whole

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]
