"""Make the inputs of an encoder-decoder model: the encoder reads the context, the decoder the continuation.

A context is encoded once for all rows that share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutput

from evalharness.checkpoints.load import LoadedModel, VirtualPrefix
from evalharness.engines.hf.model_adapter import ModelAdapter
from evalharness.engines.hf.rows import BatchRow, Tokens, after_lead, lead_cache, right_padded
from evalharness.engines.hf.tokenizer_adapter import TokenizerAdapter, TokenPair
from evalharness.errors import ModelError


class Seq2Seq(ModelAdapter):
    """Adapts an encoder-decoder model. The window holds for the encoder and for the decoder, each by itself.

    The decoder's start token is that of the generation config, else of the model's config, else BOS.
    """

    padded_rules = ("encoder_repetition_penalty", "encoder_no_repeat_ngram_size")

    def __init__(self, loaded: LoadedModel, tokenizer: TokenizerAdapter, window: int | None) -> None:
        super().__init__(loaded, tokenizer, window)
        self.start = _start(loaded.model)
        config = loaded.model.generation_config
        self.own_rules = {
            "decoder_start_token_id": self.start,
            **{name: getattr(config, name, None) for name in self.padded_rules},
        }

    def read(self, pair: TokenPair) -> tuple[Tokens, Tokens]:
        return pair.context, (self.start, *pair.continuation[:-1])

    def row(self, prompt: Tokens) -> BatchRow:
        return BatchRow(prompt, (self.start,), ((self.tokenizer.pad,),))  # any token will do as the run

    def size(self, row: BatchRow) -> int:
        return max(len(row.source), len(row.fed))

    def too_long(self, pair: TokenPair) -> str:
        return self._over(len(pair.context), "encoder") or self._over(len(pair.continuation), "decoder")

    def too_much(self, prompt: Tokens, new: int) -> str:
        return self._over(len(prompt), "encoder") or self._over(new, "decoder")

    def _over(self, tokens: int, half: str) -> str:
        """Return why the encoder or decoder cannot read so many tokens after its virtual ones; "" if it can."""
        there = self.loaded.lead.embeddings is not None if half == "encoder" else self.loaded.lead.cache is not None
        total = tokens + (self.loaded.lead.tokens if there else 0)
        fits = self.window is None or total <= self.window
        return "" if fits else f"{total} tokens do not fit the window of {self.window} of the {half}"

    def inputs(
        self, rows: Sequence[BatchRow], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        # no token of a row sees the padding after it
        ids, _ = right_padded([row.fed for row in rows], self.tokenizer.pad, self.loaded.device)
        inputs = {**self.encoded([row.source for row in rows], model, lead), "decoder_input_ids": ids}
        inputs["use_cache"] = "past_key_values" in inputs
        return inputs, 0

    def begin(
        self, prompts: Sequence[Tokens], model: PreTrainedModel, lead: VirtualPrefix
    ) -> tuple[dict[str, Any], int]:
        """Return the encoder's states of the prompts, and their ids, which penalties read."""
        ids, _ = right_padded(prompts, self.tokenizer.pad, self.loaded.device)
        return {"input_ids": ids, **self.encoded(prompts, model, lead)}, 1

    def encoded(self, sources: Sequence[Tokens], model: PreTrainedModel, lead: VirtualPrefix) -> dict[str, Any]:
        """Return the encoder's states and mask for every row, and the decoder's cached virtual tokens."""
        distinct = {source: i for i, source in enumerate(dict.fromkeys(sources))}
        ids, mask = right_padded(list(distinct), self.tokenizer.pad, self.loaded.device)
        read: dict[str, Any] = {"input_ids": ids}
        if lead.embeddings is not None:
            text = model.get_input_embeddings()(ids)  # (distinct, width, hidden)
            read = {"inputs_embeds": torch.cat([lead.embeddings.expand(len(text), -1, -1), text], dim=1)}
            mask = after_lead(mask, lead.tokens)
        states = model.get_encoder()(**read, attention_mask=mask, return_dict=True).last_hidden_state
        which = torch.tensor([distinct[source] for source in sources], device=ids.device)
        inputs = {"encoder_outputs": BaseModelOutput(last_hidden_state=states[which]), "attention_mask": mask[which]}
        if lead.cache is not None:
            inputs["past_key_values"] = EncoderDecoderCache(lead_cache(lead, len(sources)), DynamicCache())
        return inputs


def _start(model: PreTrainedModel) -> int:
    for name in ("decoder_start_token_id", "bos_token_id"):
        for config in (model.generation_config, model.config):
            if isinstance(start := getattr(config, name, None), int):
                return start
    what = "neither decoder_start_token_id nor bos_token_id in its configuration: the decoder has nothing to begin with"
    raise ModelError(
        model.config.name_or_path or type(model).__name__, what, "set decoder_start_token_id in config.json"
    )
