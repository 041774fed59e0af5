"""Answer from a function or a file of answers, without a model: for tests, and to try a suite or a gate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalharness.engines import OPTIONS
from evalharness.engines.base import check_options
from evalharness.engines.script_file import script_of
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Request, Response
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

Reply = Callable[[Request], Response | Failure]
VOCABULARY = 8


class ScriptedEngine:
    """An engine without a model: answers with the function `reply`, in the order of the requests. Its logits depend on
    the prompt and on the checkpoint's adapter.
    """

    def __init__(self, info: EngineInfo, checkpoint: Checkpoint, reply: Reply) -> None:
        self.info, self.closed = info, False
        self._checkpoint, self._reply = checkpoint, reply

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        return map(self._reply, requests)

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"]
    ) -> NDArray[np.float64]:
        moved = 1.0 if adapter and self._checkpoint.adapter not in ("", "PLACEBO") else 0.0
        return np.array(
            [[(len(prompt) + token) % 5 + moved * token for token in range(VOCABULARY)] for prompt in prompts],
            dtype=np.float64,
        )

    def close(self) -> None:
        self.closed = True


class ScriptFileFactory:
    """Opens ScriptedEngines that answer from the file of the option `answers`; every word is a token."""

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        """Return the info of an engine on the script. Raises UsageError for an unknown option or a malformed file."""
        check_options(settings, OPTIONS["scripted"])
        return EngineInfo(name="scripted", details={"version": 1, "answers": script_of(settings.options).digest})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ScriptedEngine:
        reply = script_of(settings.options).reply_of(checkpoint.name)
        return ScriptedEngine(self.describe(checkpoint, settings), checkpoint, reply)

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        return count_words

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        return None


class ScriptedFactory:
    """Opens ScriptedEngines, and records what they were sent.

    `replies`: checkpoint name -> the function that answers for it; `reply` answers for all others. `chats`: checkpoint
    name -> its chat template. `opened_names`: the names of the checkpoints, in the order in which they were opened.
    `requests`: (checkpoint name, request) of every answered request.
    """

    def __init__(
        self, reply: Reply, replies: Mapping[str, Reply] | None = None, chats: Mapping[str, ChatRenderer] | None = None
    ) -> None:
        self.reply, self.replies, self.chats = reply, replies or {}, chats or {}
        self.opened_names: list[str] = []
        self.requests: list[tuple[str, Request]] = []

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return EngineInfo(name="scripted", details={"batch_size": settings.batch_size})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ScriptedEngine:
        self.opened_names.append(checkpoint.name)
        reply = self.replies.get(checkpoint.name, self.reply)

        def recorded(request: Request) -> Response | Failure:
            self.requests.append((checkpoint.name, request))
            return reply(request)

        return ScriptedEngine(self.describe(checkpoint, settings), checkpoint, recorded)

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        return count_words

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        return self.chats.get(checkpoint.name)


def count_words(text: str) -> int:
    """Count the words of a text, which are a script's tokens."""
    return len(text.split())


FACTORY = ScriptFileFactory()
