"""Answer by shouting the last word of the prompt; adapters only mumble."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from evalharness.engines.base import check_options
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Generate, Generation, Request, Response

OPTIONS = ("suffix",)


@dataclass(frozen=True, slots=True)
class Shouter:
    info: EngineInfo
    mumbles: bool
    suffix: str

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        for request in requests:
            if not isinstance(request, Generate):
                yield Failure(request_id=request.id, reason="it can only shout")
                continue
            word = request.prompt.split()[-1] if request.prompt.split() and request.max_tokens else ""
            loud = (word.lower() if self.mumbles else word.upper()) + (self.suffix if word else "")
            text, stopped = request.answer_in(loud)
            reason: Literal["stop", "eos"] = "stop" if stopped else "eos"
            yield Generation(request_id=request.id, text=text, finish_reason=reason, tokens=1 if word else 0)

    def close(self) -> None: ...


class ShouterFactory:
    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        check_options(settings, OPTIONS)
        return EngineInfo(name="shouting", details={"version": 1, **settings.options})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Shouter:
        suffix = settings.options.get("suffix", "")
        return Shouter(self.describe(checkpoint, settings), bool(checkpoint.adapter), suffix)


FACTORY = ShouterFactory()
