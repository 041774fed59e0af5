"""An engine for workers that are to be lost: some prompts kill the process, some raise, some do so a few times only."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from evalharness.engines.base import check_options
from evalharness.engines.scripted import count_words
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Generate, Generation, Request, Response


class Lethal:
    """Writes the process's id; "kill", "raise" and "once FILE" in a prompt are what they say."""

    def __init__(self, info: EngineInfo) -> None:
        self.info = info

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        for request in requests:
            assert isinstance(request, Generate)
            words = request.prompt.split()
            if "kill" in words:
                os.kill(os.getpid(), signal.SIGKILL)
            if "raise" in words:
                raise KeyError("poison")
            if "once" in words and not (mark := Path(words[-1])).exists():
                mark.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield Generation(request_id=request.id, text=str(os.getpid()), finish_reason="eos", tokens=1)

    def close(self) -> None: ...


class LethalFactory:
    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        check_options(settings, ())
        return EngineInfo(name="lethal", details={"threads": os.environ.get("OMP_NUM_THREADS")})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> Lethal:
        return Lethal(self.describe(checkpoint, settings))

    def token_counter(self, checkpoint: Checkpoint) -> object:
        return count_words

    def chat_renderer(self, checkpoint: Checkpoint) -> None:
        return None


FACTORY = LethalFactory()
