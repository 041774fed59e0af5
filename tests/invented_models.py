"""A server of invented models that speaks OpenAI's dialect, and answers by a rule, so that a test says what changes."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from socket_server import Reply, Seen, SocketServer, json_reply, running

WORDS = [" one", " two", " three", " four", " five", " six", " seven", " eight"]


@dataclass(kw_only=True)
class Invented:
    """A model: its texts follow from `weights` and the prompt, its log-probabilities are moved by `moved` nats, and by
    up to `noise` more in every answer. `shaky`: at every so-maniest prompt each answer has another text;
    `system`: what stands before every prompt of a chat.
    """

    weights: str = "base"
    moved: float = 0.0
    noise: float = 0.0
    shaky: int = 0
    system: str = ""
    entry: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, prompt: str, tokens: int) -> tuple[list[str], list[float]]:
        drawn = random.Random(f"{self.weights} {prompt}")
        if self.shaky and int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % self.shaky == 0:
            drawn = random.Random()
        words = [drawn.choice(WORDS) for _ in range(tokens)]
        logprobs = [-drawn.random() * 2 - 0.1 - self.moved - random.uniform(0, self.noise) for _ in words]
        return words, logprobs


class InventedServer(SocketServer):
    """Serves `models` by name. `logprobs`: it gives them; `ways`: the paths that it has."""

    def __init__(self, models: Mapping[str, Invented], logprobs: bool, ways: str) -> None:
        super().__init__(self._reply)
        self.models, self.logprobs, self.ways = dict(models), logprobs, ways.split()

    def address(self, model: str) -> str:
        return f"{self.url}#{model}"

    def _reply(self, _: int, seen: Seen) -> Reply:
        way, body = seen.path.removeprefix("/v1/").strip("/"), seen.body
        if way == "models":
            listed = [{"id": name, "object": "model", **model.entry} for name, model in self.models.items()]
            return json_reply({"object": "list", "data": listed})
        model = self.models.get(body.get("model", ""))
        if way not in self.ways or model is None:
            return json_reply({"error": {"message": "not found"}}, 404)
        if way == "tokenize":
            return json_reply({"tokens": [len(word) for word in body["prompt"].split()], "max_model_len": 64})
        if not isinstance(body.get("prompt", ""), str):
            return json_reply({"error": {"message": "prompts are texts"}}, 400)
        if not self.logprobs and body.get("logprobs"):
            return json_reply({"error": {"message": "logprobs are not supported"}}, 400)
        return json_reply(_completion(way, body, model))


def _completion(way: str, body: Mapping[str, Any], model: Invented) -> dict[str, Any]:
    prompt = body["prompt"] if way == "completions" else model.system + body["messages"][0]["content"]
    tokens, logprobs = model.answer(prompt, body["max_tokens"])
    pairs = [{"token": token, "logprob": value} for token, value in zip(tokens, logprobs, strict=True)]
    given = {"tokens": tokens, "token_logprobs": logprobs} if way == "completions" else {"content": pairs}
    text = "".join(tokens)
    written = {"text": text} if way == "completions" else {"message": {"role": "assistant", "content": text}}
    choice = {"index": 0, "finish_reason": "length", **written, "logprobs": given if body.get("logprobs") else None}
    return {"choices": [choice], "usage": {"prompt_tokens": len(prompt.split()), "completion_tokens": len(tokens)}}


@contextmanager
def inventing(
    models: Mapping[str, Invented], logprobs: bool = True, ways: str = "completions tokenize"
) -> Iterator[InventedServer]:
    with running(InventedServer(models, logprobs, ways)) as server:
        assert isinstance(server, InventedServer)
        yield server
