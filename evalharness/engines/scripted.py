"""A function from requests to responses, as an engine: for tests and for trying things without a model. Counts what it
is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from evalharness import fingerprint
from evalharness.records.models import Checkpoint, EngineInfo, EngineSettings
from evalharness.records.requests import Failure, Request, Response
from evalharness.records.tokenizers import ChatRenderer, TokenCounter

Reply = Callable[[Request], Response | Failure]
VOCABULARY = 8


class ScriptedEngine:
    """Answers by `reply`, in the order asked. Its logits depend on the prompt, and on the adapter where the checkpoint
    has one.
    """

    def __init__(self, factory: ScriptedFactory, checkpoint: Checkpoint, info: EngineInfo) -> None:
        self.info, self.closed = info, False
        self._factory, self._checkpoint = factory, checkpoint
        self._reply = factory.replies.get(checkpoint.name, factory.reply)

    def answer(self, requests: Sequence[Request]) -> Iterator[Response | Failure]:
        for request in requests:
            self._factory.asked.append((self._checkpoint.name, request))
            yield self._reply(request)

    def next_token_logits(
        self, prompts: Sequence[str], *, adapter: bool, path: Literal["score", "decode"], merged: bool = False
    ) -> NDArray[np.float64]:
        moved = 1.0 if adapter and self._checkpoint.adapter not in ("", "PLACEBO") else 0.0
        return np.array(
            [[(len(prompt) + token) % 5 + moved * token for token in range(VOCABULARY)] for prompt in prompts],
            dtype=np.float64,
        )

    def close(self) -> None:
        self.closed = True


class ScriptedChat:
    """A chat template of angle brackets: every turn a line after its role and `mark`, the model's opened at the end."""

    def __init__(self, mark: str = "", takes_system: bool = True) -> None:
        self.mark, self.takes_system = mark, takes_system
        self.fingerprint = fingerprint.of_value(["scripted chat", mark, takes_system])

    def render(self, messages: Sequence[Mapping[str, str]], continued: bool) -> str:
        shown = [each for each in messages if self.takes_system or each["role"] != "system"]
        lines = "\n".join(f"<{each['role']}{self.mark}>{each['content']}" for each in shown)
        return lines if continued else f"{lines}\n<assistant{self.mark}>"


class ScriptedFactory:
    """Opens ScriptedEngines that answer by `reply`, or by `replies[checkpoint name]` where there is one; `chats` are
    their chat templates.

    `opened` lists the names of checkpoints opened, `asked` has (checkpoint name, request) of every request answered.
    """

    def __init__(
        self, reply: Reply, replies: Mapping[str, Reply] | None = None, chats: Mapping[str, ChatRenderer] | None = None
    ) -> None:
        self.reply, self.replies, self.chats = reply, replies or {}, chats or {}
        self.opened: list[str] = []
        self.asked: list[tuple[str, Request]] = []

    def describe(self, checkpoint: Checkpoint, settings: EngineSettings) -> EngineInfo:
        return EngineInfo("scripted", {"batch_size": settings.batch_size})

    def open(self, checkpoint: Checkpoint, settings: EngineSettings) -> ScriptedEngine:
        self.opened.append(checkpoint.name)
        return ScriptedEngine(self, checkpoint, self.describe(checkpoint, settings))

    def token_counter(self, checkpoint: Checkpoint) -> TokenCounter:
        return lambda text: len(text.split())

    def chat_renderer(self, checkpoint: Checkpoint) -> ChatRenderer | None:
        return self.chats.get(checkpoint.name)
