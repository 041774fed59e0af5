"""A language model of ten words that answers every type of request as `engines/base.py` promises, in plain Python."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from evalharness import fingerprint
from evalharness.engines.base import Engine, check_options
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings, ModelKind
from evalharness.records.requests import (
    Failure,
    Generate,
    Generation,
    Profile,
    Profiling,
    Rank,
    Ranking,
    Request,
    Response,
    Score,
    Scoring,
)

WORDS = (" red", " boat", " and", " sat", " mat", " yes", " it", "\n", "")  # "": the text ends
OTHER = 1e-3  # the probability that is left for all that is no word of it
WINDOW, LAST = 48, len(WORDS) - 1


def tokens_of(text: str) -> list[str]:
    """A word with the white space before it is a token. Raises UnicodeEncodeError."""
    text.encode()
    return re.findall(r"\s?\S+|\s", text)


class ToyEngine:
    """Its numbers hang on the weights, all tokens before, and the token. `loaded` counts what is open."""

    loaded = 0

    def __init__(self, info: EngineInfo, weights: str, adapter: str) -> None:
        self.info, self.weights, self.adapter = info, weights, adapter
        self.is_open = True
        type(self).loaded += 1

    # ---- the model

    def logprobs(self, before: Sequence[str]) -> list[float]:
        """Of every word after these tokens."""
        key = [self.weights, self.adapter, *before]
        logits = [8 * fingerprint.uniform_hash([*key, word]) for word in WORDS]
        whole = math.log(sum(map(math.exp, logits)) / (1 - OTHER))
        return [logit - whole for logit in logits]

    def logprob(self, before: Sequence[str], token: str) -> float:
        if token in WORDS:
            return self.logprobs(before)[WORDS.index(token)]
        return math.log(OTHER) - 1 - fingerprint.uniform_hash([*before, token])

    def along(self, before: Sequence[str], tokens: Sequence[str]) -> list[float]:
        whole = [*before, *tokens]
        return [self.logprob(whole[: len(before) + i], token) for i, token in enumerate(tokens)]

    def greedy(self, before: Sequence[str], tokens: Sequence[str]) -> bool:
        whole = [*before, *tokens]
        return all(self.best(whole[: len(before) + i]) == token for i, token in enumerate(tokens))

    def best(self, before: Sequence[str]) -> str:
        return WORDS[int(np.argmax(self.logprobs(before)))]

    # ---- requests

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        return self.answer_with_drafts(requests, {})

    def answer_with_drafts(
        self, requests: Sequence[Request], drafts: Mapping[str, str]
    ) -> Iterator[Response | Failure]:
        return map(self.reply, requests)

    def reply(self, request: Request) -> Response | Failure:
        try:
            if isinstance(request, Rank):
                return self.rank(request)
            if isinstance(request, Generate):
                return self.generate(request)
            return self.score(request) if isinstance(request, Score) else self.profile(request)
        except ValueError as error:
            return Failure(request_id=request.id, reason=f"no such text: {error}")

    def rank(self, request: Rank) -> Ranking:
        pairs = [(tokens_of(context), tokens_of(continuation)) for context, continuation in request.pairs]
        if any(not after or len(before) + len(after) > WINDOW for before, after in pairs):
            raise ValueError("empty, or longer than the window")
        return Ranking(
            request_id=request.id,
            logprobs=tuple(sum(self.along(before, after)) for before, after in pairs),
            tokens=tuple(len(after) for _, after in pairs),
            greedy=tuple(self.greedy(before, after) for before, after in pairs),
        )

    def generate(self, request: Generate) -> Generation:
        before, new = tokens_of(request.prompt), list[str]()
        if len(before) + request.max_tokens > WINDOW:
            raise ValueError("longer than the window")
        reason: Literal["stop", "eos", "length"] = "length"
        while reason == "length" and len(new) < request.max_tokens:
            new.append(self.best([*before, *new]))
            reason = "eos" if new[-1] == WORDS[LAST] else reason
            reason = "stop" if request.answer_in("".join(new))[1] else reason
        text = request.answer_in("".join(new))[0]
        return Generation(request_id=request.id, text=text, finish_reason=reason, tokens=len(new))

    def score(self, request: Score) -> Scoring:
        tokens = tokens_of(request.text)
        return Scoring(request_id=request.id, logprob=sum(self.along([], tokens)), tokens=len(tokens))

    def profile(self, request: Profile) -> Profiling:
        before, tokens = tokens_of(request.context), tokens_of(request.text)
        places = [self.logprobs([*before, *tokens[:i]]) for i in range(len(tokens))]
        ordered = [tuple(sorted(range(len(WORDS)), key=lambda word: -place[word])) for place in places]
        ids = request.at or tuple(order[: request.top_k] for order in ordered)
        top = tuple(tuple(place[word] for word in few) for place, few in zip(places, ids, strict=True))
        return Profiling(
            request_id=request.id,
            tokens=tuple(WORDS.index(token) if token in WORDS else len(WORDS) for token in tokens),
            logprobs=tuple(self.along(before, tokens)),
            argmax=tuple(order[0] for order in ordered),
            ids=() if request.at else ids,
            top=top,
            rest=tuple(math.log1p(-sum(map(math.exp, few))) for few in top),
        )

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        plain = ToyEngine(self.info, self.weights, self.adapter if adapter else "")
        plain.close()
        return np.array([plain.logprobs(tokens_of(prompt)) for prompt in prompts])

    @property
    def plain_because(self) -> str:
        return ""

    def close(self) -> None:
        if self.is_open:
            self.is_open = False
            type(self).loaded -= 1


class ToyFactory:
    """Opens toy engines, `kind` of them, whose weights are a file's text."""

    def __init__(self, kind: type[ToyEngine] = ToyEngine) -> None:
        self.kind = kind

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        check_options(settings, ("tune",))
        return EngineInfo(name="toy", details={"version": 1, **settings.options})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ToyEngine:
        weights = (checkpoint.path / "model.safetensors").read_text()
        return self.kind(self.describe(checkpoint, settings), weights, checkpoint.adapter)

    def open_after(self, previous: Engine, checkpoint: Checkpoint, settings: EngineSettings) -> ToyEngine:
        return self.open(checkpoint, settings)

    def token_counter(self, checkpoint: Checkpoint) -> Any:
        return ToyCounter()

    def chat_renderer(self, checkpoint: Checkpoint) -> None:
        return None

    def generation_differences(self, checkpoint: Checkpoint) -> Mapping[str, tuple[Any, Any]]:
        return {}


class ToyCounter:
    """Counts words, and numbers them."""

    def __call__(self, text: str) -> int:
        return len(tokens_of(text))

    def token_ids(self, text: str) -> tuple[int, ...]:
        return tuple(range(len(tokens_of(text))))


def toy_checkpoint(folder: Path, adapter: str = "LORA") -> Checkpoint:
    """A checkpoint of one file."""
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_text("weights of a toy")
    return Checkpoint(
        name="toy",
        kind=ModelKind.FULL,
        path=folder,
        base=None,
        fingerprint="toy",
        parameters=1,
        trainable=1,
        bytes=1,
        window=WINDOW,
        adapter=adapter,
    )
