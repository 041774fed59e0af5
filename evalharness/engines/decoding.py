"""Generate requests to greedy texts: left-padded batches handed to transformers' `generate`, each row stopped and cut on its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList, StoppingCriteria, StoppingCriteriaList

from evalharness.checkpoints.weights import Loaded
from evalharness.engines.batches import Refused, answered, plan
from evalharness.engines.scoring import NONFINITE
from evalharness.engines.texts import Texts, Untokenizable
from evalharness.records import Failure, Generate, Generation

# what greedy decoding takes from a checkpoint's generation config; sampling, beams, limits and caches are not the checkpoint's to choose
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
READ_THE_PROMPT = ("no_repeat_ngram_size", "min_length", "repetition_penalty", "exponential_decay_length_penalty")


@dataclass(frozen=True, slots=True)
class Asked:
    """One Generate request as tokens."""

    request: Generate
    prompt: tuple[int, ...]


class _Ends(StoppingCriteria):
    """Per row: how many new tokens it has when it ends, by a stop string in its text or an end token; rows that ended stay ended."""

    def __init__(self, texts: Texts, stops: Sequence[tuple[str, ...]], ends: frozenset[int], start: int) -> None:
        self.texts, self.stops, self.ends, self.start = texts, stops, ends, start
        self.length: list[int | None] = [None] * len(stops)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: object) -> torch.Tensor:
        for row, new in enumerate(input_ids[:, self.start :].tolist()):
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


class Decoder:
    """Decodes with one loaded model, whose generation config it replaces by its greedy part."""

    def __init__(self, loaded: Loaded, texts: Texts, window: int | None, bounds: tuple[int, int], recover: Callable[[], None]) -> None:
        self.loaded, self.texts, self.window, self.bounds, self.recover = loaded, texts, window, bounds, recover
        given = loaded.model.generation_config or GenerationConfig()
        kept = {name: getattr(given, name, None) for name in HONOURED}
        ends = kept["eos_token_id"]
        own = texts.tokenizer.eos_token_id
        self.ends = frozenset([*(ends if isinstance(ends, list | tuple) else [ends]), own]) - {None}
        self.end_text = "" if own is None else texts.tokenizer.decode([own])
        strings = kept.pop("stop_strings")  # ours to stop at, so that the text is cut there
        self.stop_strings = (strings,) if isinstance(strings, str) else tuple(strings or ())
        pad = kept["pad_token_id"] if isinstance(kept["pad_token_id"], int) and kept["pad_token_id"] >= 0 else texts.pad
        loaded.model.generation_config = GenerationConfig(**{**kept, "eos_token_id": sorted(self.ends) or None, "pad_token_id": pad})
        penalty = {name: kept[name] for name in READ_THE_PROMPT}
        self.level = any(value not in (None, 0, 1.0) for value in penalty.values())  # such rules must not see padding: equal lengths only

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
                for index, found in answered(batch, lambda some, group=group: self._decode([group[i] for i in some]), self.recover):
                    yield Failure(group[index].request.id, found.reason) if isinstance(found, Refused) else found

    def next_logits(self, prompts: Sequence[str], adapter: bool) -> NDArray[np.float64]:
        """Logits after each prompt, (n, vocabulary), by the pass that decodes."""
        rows = [self.texts.prompt(prompt) for prompt in prompts]
        found: dict[int, NDArray[np.float64]] = {}
        for batch in plan([len(row) for row in rows], *self.bounds):
            with torch.inference_mode(), self.loaded.answering(adapter) as (model, lead):
                inputs = self._inputs([rows[i] for i in batch], lead.embeddings)
                output = model.generate(**inputs, do_sample=False, max_new_tokens=1, output_logits=True, return_dict_in_generate=True)
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
        total = self.loaded.lead.tokens + len(prompt) + request.max_tokens
        if self.window is not None and total > self.window:
            return Failure(request.id, f"{total} tokens, {request.max_tokens} of them new, do not fit the window of {self.window}")
        return Asked(request, prompt)

    def _inputs(self, prompts: Sequence[tuple[int, ...]], soft: torch.Tensor | None) -> dict[str, torch.Tensor]:
        """Left-padded inputs of `generate`. With a soft prompt the embeddings are [pads][virtual][text]; the ids are there for penalties to read."""
        device, width = self.loaded.device, max(map(len, prompts))
        pads = [width - len(prompt) for prompt in prompts]
        ids = torch.tensor([(self.texts.pad,) * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)], device=device)
        virtual = 0 if soft is None else len(soft)
        mask = torch.tensor([[0] * pad + [1] * (virtual + width - pad) for pad in pads], device=device)
        inputs = {"input_ids": ids, "attention_mask": mask}
        if soft is not None:
            text = self.loaded.model.get_input_embeddings()(ids)  # (rows, width, hidden)
            inputs["inputs_embeds"] = torch.stack([torch.cat([row[:pad], soft, row[pad:]]) for pad, row in zip(pads, text, strict=True)])
        return inputs

    @torch.inference_mode()
    def _decode(self, asked: Sequence[Asked]) -> list[Generation | Failure]:
        with self.loaded.answering(True) as (model, lead):
            inputs = self._inputs([one.prompt for one in asked], lead.embeddings)
            start = inputs["input_ids"].shape[1]
            stops = [(*one.request.stop, *self.stop_strings, *([self.end_text] if self.end_text else [])) for one in asked]
            ends, watch = _Ends(self.texts, stops, self.ends, start), _Watch(len(asked))
            tokens = model.generate(
                **inputs,
                do_sample=False,
                num_beams=1,
                max_new_tokens=asked[0].request.max_tokens,
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
