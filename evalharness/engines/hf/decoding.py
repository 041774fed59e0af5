"""Generate requests to greedy texts: batches handed to transformers' `generate`, each row stopped and cut on its
own.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedModel,
    StoppingCriteria,
    StoppingCriteriaList,
)

from evalharness.checkpoints.load import LoadedModel
from evalharness.engines.hf.architectures import asker_of
from evalharness.engines.hf.batches import Refused, answered, plan
from evalharness.engines.hf.scoring import NONFINITE
from evalharness.engines.hf.tokenizer_adapter import Texts, Untokenizable
from evalharness.records.requests import Failure, Generate, Generation

# what greedy decoding takes from a checkpoint's generation config; sampling, beams, limits and caches are not the
# checkpoint's to choose
HONOURED = (
    "bos_token_id",
    "eos_token_id",
    "pad_token_id",
    "repetition_penalty",
    "no_repeat_ngram_size",
    "min_length",
    "min_new_tokens",
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "exponential_decay_length_penalty",
    "sequence_bias",
    "stop_strings",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """One Generate request as tokens."""

    request: Generate
    prompt: tuple[int, ...]


class _Ends(StoppingCriteria):
    """Per row: how many new tokens it has when it ends, by a stop string in its text or an end token; rows that ended
    stay ended.
    """

    def __init__(self, texts: Texts, stops: Sequence[tuple[str, ...]], ends: frozenset[int]) -> None:
        self.texts, self.stops, self.ends = texts, stops, ends
        self.step = 0
        self.length: list[int | None] = [None] * len(stops)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        self.step += 1
        for row, new in enumerate(input_ids[:, -self.step :].tolist()):
            if self.length[row] is None and (new[-1] in self.ends or self._stopped(row, new)):
                self.length[row] = len(new)
        return torch.tensor([length is not None for length in self.length], device=input_ids.device)

    def _stopped(self, row: int, new: list[int]) -> bool:
        return bool(self.stops[row]) and _first(self.texts.decode(new), self.stops[row]) is not None


class _Watch(LogitsProcessor):
    """Notes the first step at which a row's logits have NaN or +inf, or nothing finite; changes nothing."""

    def __init__(self, rows: int) -> None:
        self.step = 0
        self.first_bad: list[int | None] = [None] * rows

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        self.step += 1
        bad = (scores.isnan() | scores.isposinf()).any(-1) | ~scores.isfinite().any(-1)
        for row in bad.nonzero().flatten().tolist():
            if self.first_bad[row] is None:
                self.first_bad[row] = self.step
        return scores


def _first(text: str, stops: Sequence[str]) -> int | None:
    """Where the first stop string begins, or None."""
    return min((place for stop in stops if stop and (place := text.find(stop)) >= 0), default=None)


@contextlib.contextmanager
def _configured(model: PreTrainedModel, config: GenerationConfig) -> Iterator[None]:
    """With this generation config for the time of one call: what `generate` is not told it takes from the model's
    own.
    """
    own, model.generation_config = model.generation_config, config
    try:
        yield
    finally:
        model.generation_config = own


class Decoder:
    """Decodes with one loaded model, by the greedy part of its generation config."""

    def __init__(
        self,
        loaded: LoadedModel,
        texts: Texts,
        window: int | None,
        bounds: tuple[int, int],
        recover: Callable[[], None],
    ) -> None:
        self.loaded, self.texts, self.bounds, self.recover = loaded, texts, bounds, recover
        self.asker = asker_of(loaded, texts, window)
        given = loaded.model.generation_config or GenerationConfig()
        kept = {**{name: getattr(given, name, None) for name in HONOURED}, **self.asker.own_rules}
        ends = kept["eos_token_id"]
        own = texts.tokenizer.eos_token_id
        self.ends = frozenset([*(ends if isinstance(ends, list | tuple) else [ends]), own]) - {None}
        self.end_text = "" if own is None else texts.tokenizer.decode([own])
        rules = {name: kept[name] for name in self.asker.padded_rules}
        self.level = any(
            value not in (None, 0, 1.0) for value in rules.values()
        )  # such rules must not see padding: equal lengths only
        self.least = (kept.pop("min_length"), kept.pop("min_new_tokens"))
        strings = kept.pop("stop_strings")  # ours to stop at, so that the text is cut there
        self.stop_strings = (strings,) if isinstance(strings, str) else tuple(strings or ())
        pad = kept["pad_token_id"] if isinstance(kept["pad_token_id"], int) and kept["pad_token_id"] >= 0 else texts.pad
        self.config = GenerationConfig(**{**kept, "eos_token_id": sorted(self.ends) or None, "pad_token_id": pad})

    def generate(self, requests: Sequence[Generate]) -> Iterator[Generation | Failure]:
        """An answer per request, batch by batch."""
        groups: dict[tuple[int, int], list[Asked]] = {}
        for request in requests:
            asked = self._asked(request)
            if isinstance(asked, Asked):
                groups.setdefault((request.max_tokens, len(asked.prompt) if self.level else 0), []).append(asked)
            else:
                yield asked
        for group in groups.values():
            for batch in plan([len(asked.prompt) for asked in group], *self.bounds):
                for index, found in answered(
                    batch, lambda some, group=group: self._decode([group[i] for i in some]), self.recover
                ):
                    yield Failure(group[index].request.id, found.reason) if isinstance(found, Refused) else found

    def next_logits(self, prompts: Sequence[str], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the pass that decodes."""
        rows = [self.texts.prompt(prompt) for prompt in prompts]
        found: dict[int, NDArray[np.float64]] = {}
        for batch in plan([len(row) for row in rows], *self.bounds):
            output, _ = self._generate(
                [rows[i] for i in batch], 1, adapter, output_logits=True, return_dict_in_generate=True
            )
            found.update(zip(batch, output.logits[0].double().cpu().numpy(), strict=True))
        return np.stack([found[i] for i in range(len(rows))])

    def _asked(self, request: Generate) -> Asked | Generation | Failure:
        """The request as tokens, or its answer where the model need not be asked."""
        if request.max_tokens < 1:
            return Generation(request.id, "", "length", 0)
        try:
            prompt = self.texts.prompt(request.prompt)
        except Untokenizable as error:
            return Failure(request.id, str(error))
        too_much = self.asker.too_much(prompt, request.max_tokens)
        return Failure(request.id, too_much) if too_much else Asked(request, prompt)

    @torch.no_grad()
    def _generate(
        self, prompts: Sequence[tuple[int, ...]], new: int, adapter: bool = True, **options: Any
    ) -> tuple[Any, int]:
        """What `generate` gives for the prompts, and where new tokens begin in it."""
        with self.loaded.answering(adapter) as (model, lead), _configured(model, self.config):
            inputs, start = self.asker.begin(prompts, model, lead)
            least = min(new, self._least(start))
            return model.generate(
                **inputs, do_sample=False, num_beams=1, max_new_tokens=new, min_new_tokens=least or None, **options
            ), start

    def _least(self, start: int) -> int:
        """New tokens before an end token may come. The least length of all counts what `generate` gives back before the
        first new one;
        transformers would count what leads there too."""
        whole, new = self.least
        return new if new is not None else max(0, (whole or 0) - start)

    def _decode(self, asked: Sequence[Asked]) -> list[Generation | Failure]:
        stops = [(*one.request.stop, *self.stop_strings, *([self.end_text] if self.end_text else [])) for one in asked]
        ends, watch = _Ends(self.texts, stops, self.ends), _Watch(len(asked))
        tokens, start = self._generate(
            [one.prompt for one in asked],
            asked[0].request.max_tokens,
            stopping_criteria=StoppingCriteriaList([ends]),
            logits_processor=LogitsProcessorList([watch]),
        )
        news = tokens[:, start:].tolist()
        return [self._answer(one, news[i], ends, watch, i) for i, one in enumerate(asked)]

    def _answer(self, asked: Asked, new: list[int], ends: _Ends, watch: _Watch, row: int) -> Generation | Failure:
        new = new[: ends.length[row]]
        bad = watch.first_bad[row]
        if bad is not None and bad <= len(new):
            return Failure(asked.request.id, NONFINITE)
        text = self.texts.decode(new)
        cut = _first(text, ends.stops[row])
        if cut is not None:
            return Generation(asked.request.id, text[:cut], "stop", len(new))
        return Generation(asked.request.id, text, "eos" if new[-1] in self.ends else "length", len(new))
