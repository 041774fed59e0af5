"""A server of invented models that speaks OpenAI's dialect, and answers by a rule, so that a test says what changes."""

from __future__ import annotations

import hashlib
import json
import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = [" one", " two", " three", " four", " five", " six", " seven", " eight"]


@dataclass(kw_only=True)
class Invented:
    """A model: its texts follow from `weights` and the prompt, its log-probabilities are moved by `moved` nats, and by
    up to `noise` more in every answer. `shaky`: at every so-maniest prompt each answer has another text.
    """

    weights: str = "base"
    moved: float = 0.0
    noise: float = 0.0
    shaky: int = 0
    entry: Mapping[str, Any] = field(default_factory=dict)

    def answer(self, prompt: str, tokens: int) -> tuple[list[str], list[float]]:
        drawn = random.Random(f"{self.weights} {prompt}")
        if self.shaky and int(hashlib.sha256(prompt.encode()).hexdigest(), 16) % self.shaky == 0:
            drawn = random.Random()
        words = [drawn.choice(WORDS) for _ in range(tokens)]
        logprobs = [-drawn.random() * 2 - 0.1 - self.moved - random.uniform(0, self.noise) for _ in words]
        return words, logprobs


class Serving(ThreadingHTTPServer):
    """Serves `models` by name. `logprobs`: it gives them; `ways`: the paths that it has; `asked`: paths and bodies so
    far.
    """

    daemon_threads = True

    def __init__(self, models: dict[str, Invented], logprobs: bool = True, ways: str = "completions tokenize") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models, self.logprobs, self.ways = models, logprobs, ways.split()
        self.asked: list[tuple[str, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def address(self, model: str) -> str:
        return f"{self.url}#{model}"


@contextmanager
def serving(models: Mapping[str, Invented], **options: Any) -> Iterator[Serving]:
    server = Serving(dict(models), **options)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Serving
    protocol_version, wbufsize = "HTTP/1.1", 1 << 16  # one segment an answer

    def do_GET(self) -> None:
        listed = [{"id": name, "object": "model", **model.entry} for name, model in self.server.models.items()]
        self._reply(200, {"object": "list", "data": listed}) if self.path == "/v1/models" else self._reply(404, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        way = self.path.removeprefix("/v1/").strip("/")
        self.server.asked.append((way, body))
        model = self.server.models.get(body.get("model"))
        if way not in self.server.ways or model is None:
            self._reply(404, {"error": {"message": "not found"}})
        elif way == "tokenize":
            self._reply(200, {"tokens": [len(word) for word in body["prompt"].split()], "max_model_len": 64})
        elif not self.server.logprobs and body.get("logprobs"):
            self._reply(400, {"error": {"message": "logprobs are not supported"}})
        else:
            self._reply(200, self._completion(way, body, model))

    def _completion(self, way: str, body: dict[str, Any], model: Invented) -> dict[str, Any]:
        prompt = body["prompt"] if way == "completions" else body["messages"][0]["content"]
        tokens, logprobs = model.answer(prompt, body["max_tokens"])
        text = "".join(tokens)
        if way == "completions":
            given = {"tokens": tokens, "token_logprobs": logprobs} if body.get("logprobs") else None
            choice = {"text": text, "logprobs": given}
        else:
            pairs = [{"token": token, "logprob": value} for token, value in zip(tokens, logprobs, strict=True)]
            given = {"content": pairs} if body.get("logprobs") else None
            choice = {"message": {"role": "assistant", "content": text}, "logprobs": given}
        usage = {"prompt_tokens": len(prompt.split()), "completion_tokens": len(tokens)}
        return {"choices": [{"index": 0, "finish_reason": "length", **choice}], "usage": usage}

    def _reply(self, status: int, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass
