"""Answer by shouting the last word of the prompt; adapters only mumble."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

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
            word = request.prompt.split()[-1]
            text = word.lower() if self.mumbles else word.upper()
            yield Generation(request_id=request.id, text=text + self.suffix, finish_reason="eos", tokens=1)

    def close(self) -> None: ...


class ShouterFactory:
    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        check_options(settings, OPTIONS)
        return EngineInfo(name="shouting", details={"version": 1, **settings.options})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Shouter:
        suffix = settings.options.get("suffix", "")
        return Shouter(self.describe(checkpoint, settings), bool(checkpoint.adapter), suffix)


FACTORY = ShouterFactory()
