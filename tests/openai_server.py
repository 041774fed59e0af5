"""A server that speaks vLLM's dialect over a tiny model, computed by plain transformers, with faults to switch on."""

from __future__ import annotations

import json
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from socket_server import Reply, Seen, SocketServer, json_reply, running
from transformers import AutoModelForCausalLM, AutoTokenizer

Ids = list[int]


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What the server can do. By default as vLLM; what it cannot is ignored without a word, or (`strict`) refused."""

    prompt_logprobs: bool = True
    echo: bool = True
    ids: bool = True
    lists: bool = True
    marked: bool = True
    no_new_tokens: bool = True  # max_tokens may be 0
    tokenize: bool = True
    stop_reason: bool = True
    usage: bool = True
    models: bool = True
    late: int = 0  # places by which the log-probabilities beside a prompt's token come after it


VLLM = Dialect()
ECHO = Dialect(prompt_logprobs=False)  # SGLang's
TEXTS = Dialect(prompt_logprobs=False, ids=False, marked=False, tokenize=False, lists=False)
SILENT = Dialect(  # `transformers serve`
    prompt_logprobs=False, echo=False, ids=False, lists=False, tokenize=False, stop_reason=False, models=False
)


class BadRequest(ValueError):
    """What the server refuses with status 400."""


@dataclass(kw_only=True)
class Served:
    """One model that answers."""

    model: Any
    tokenizer: Any
    parent: str | None = None
    window: int = 512
    ends: set[int] = field(default_factory=set)

    @torch.no_grad()
    def logprobs(self, ids: Ids) -> torch.Tensor:
        """(length, vocabulary)"""
        return torch.log_softmax(self.model(torch.tensor([ids])).logits[0].float(), -1)

    @torch.no_grad()
    def write(self, ids: Ids, most: int, stops: Sequence[str]) -> tuple[Ids, str, str, str | None]:
        """New tokens, their text, why it ended, and the stop string."""
        new: Ids = []
        read, cache = ids, None
        while len(new) < most:
            output = self.model(torch.tensor([read]), past_key_values=cache, use_cache=True)
            token = int(output.logits[0, -1].argmax())
            read, cache = [token], output.past_key_values
            new.append(token)
            text = self.tokenizer.decode(new, skip_special_tokens=True)
            if token in self.ends:
                return new, text, "stop", None
            if stop := next((stop for stop in stops if stop in text), None):
                return new, text[: text.index(stop)], "stop", stop
        return new, self.tokenizer.decode(new, skip_special_tokens=True), "length", None


def load(path: Path, **more: Any) -> Served:
    model = AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(path)
    ends = model.generation_config.eos_token_id
    every = {*(ends if isinstance(ends, list) else [ends]), tokenizer.eos_token_id} - {None}
    return Served(model=model, tokenizer=tokenizer, ends=every, **more)


def with_lora(base: Path, adapter: Path, parent: str, **more: Any) -> Served:
    """The base behind an adapter."""
    served = load(base, parent=parent, **more)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # peft still asks for what transformers has another name for
        served.model = PeftModel.from_pretrained(served.model, adapter).eval()
    return served


Fault = Callable[[int, Seen, dict[str, Any] | None], Any]


class ModelServer(SocketServer):
    """Answers for models by name. `fault`: given the number of a completion since it was switched on, the request and
    the answer, it gives what is sent in the answer's place: another answer, a Reply, or None for a closed connection.
    """

    def __init__(self, models: Mapping[str, Served], dialect: Dialect = VLLM) -> None:
        super().__init__(self._reply)
        self.models, self.dialect = dict(models), dialect
        self.fault: Fault | None = None
        self.faulty = 0  # completions since the fault was switched on
        self._computing = threading.Lock()

    def switch(self, fault: Fault | None) -> None:
        self.fault, self.faulty = fault, 0

    def _reply(self, _: int, seen: Seen) -> Reply | None:
        try:
            answer = self._answer(seen)
        except BadRequest as error:
            return json_reply({"error": {"message": str(error), "type": "BadRequestError", "code": 400}}, 400)
        if isinstance(answer, Reply):
            return answer
        if self.fault is not None and seen.path.endswith("completions"):
            with self.lock:
                number, self.faulty = self.faulty, self.faulty + 1
            answer = self.fault(number, seen, answer)
        return answer if answer is None or isinstance(answer, Reply) else json_reply(answer)

    def _answer(self, seen: Seen) -> dict[str, Any] | Reply:
        path, body = seen.path.partition("?")[0], seen.body
        if path == "/version":
            return {"version": "0.33.0"}
        if path == "/v1/models":
            return self._models() if self.dialect.models else json_reply({"detail": "offline"}, 500)
        if path == "/tokenize" and self.dialect.tokenize:
            served = self._served(body)
            ids = served.tokenizer.encode(body["prompt"], add_special_tokens=body["add_special_tokens"])
            return {"tokens": ids, "count": len(ids), "max_model_len": served.window}
        if path == "/v1/completions":
            return self._completions(body)
        if path == "/v1/chat/completions":
            return self._chat(body)
        return json_reply({"detail": "Not Found"}, 404)

    def _models(self) -> dict[str, Any]:
        entries = [
            {"id": name, "object": "model", "owned_by": "vllm", "root": name, "parent": served.parent}
            | ({"max_model_len": served.window} if served.parent is None else {"max_model_len": None})
            for name, served in self.models.items()
        ]
        return {"object": "list", "data": entries}

    def _served(self, body: Mapping[str, Any]) -> Served:
        try:
            return self.models[body["model"]]
        except KeyError:
            raise BadRequest(f"The model `{body.get('model')}` does not exist.") from None

    def _completions(self, body: Mapping[str, Any]) -> dict[str, Any]:
        served = self._served(body)
        prompts = self._prompts(body["prompt"])
        choices, read, wrote = [], 0, 0
        for index, prompt in enumerate(prompts):
            with self._computing:
                choice, ids, new = self._choice(served, body, prompt)
            choices.append({"index": index, **choice})
            read, wrote = read + ids, wrote + new
        usage = {"prompt_tokens": read, "completion_tokens": wrote, "total_tokens": read + wrote}
        return {"id": "cmpl-1", "object": "text_completion", "model": body["model"], "choices": choices} | (
            {"usage": usage} if self.dialect.usage else {}
        )

    def _prompts(self, given: Any) -> list[str | Ids]:
        prompts = given if isinstance(given, list) and not (given and isinstance(given[0], int)) else [given]
        if len(prompts) > 1 and not self.dialect.lists:
            raise BadRequest("one prompt at a time")
        if not self.dialect.ids and any(isinstance(prompt, list) for prompt in prompts):
            raise BadRequest("prompts are strings")
        return prompts

    def _choice(self, served: Served, body: Mapping[str, Any], prompt: str | Ids) -> tuple[dict[str, Any], int, int]:
        ids = served.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        most = body.get("max_tokens", 16)
        if most < 1 and not (self.dialect.no_new_tokens and body.get("echo")):
            raise BadRequest("max_tokens must be at least 1")
        if len(ids) + most > served.window:
            raise BadRequest(f"maximum context length is {served.window} tokens")
        new, text, reason, stop = served.write(ids, most, _stops(body))
        choice: dict[str, Any] = {"text": text, "finish_reason": reason, "logprobs": None}
        if self.dialect.stop_reason:
            choice["stop_reason"] = stop
        if self.dialect.prompt_logprobs and body.get("prompt_logprobs") is not None:
            choice["prompt_logprobs"] = _prompt_logprobs(served, ids, body["prompt_logprobs"], self.dialect.late)
        if self.dialect.echo and body.get("logprobs") is not None and body.get("echo"):
            marked = self.dialect.marked and body.get("return_tokens_as_token_ids", False)
            choice["logprobs"] = _echoed(served, [*ids, *new], body["logprobs"], marked, self.dialect.late)
            choice["text"] = served.tokenizer.decode(ids) + text
        elif self.dialect.echo and body.get("logprobs") is not None:
            choice["logprobs"] = _of_new_tokens(served, ids, new)
        return choice, len(ids), len(new)

    def _chat(self, body: Mapping[str, Any]) -> dict[str, Any]:
        served = self._served(body)
        prompt = "".join(f"<{each['role']}>{each['content']}\n" for each in body["messages"])
        answer = self._completions({**body, "prompt": served.tokenizer.encode(prompt)})
        for choice in answer["choices"]:
            choice["message"] = {"role": "assistant", "content": choice.pop("text")}
        return {**answer, "object": "chat.completion"}


def _stops(body: Mapping[str, Any]) -> list[str]:
    stop = body.get("stop") or []
    return [stop] if isinstance(stop, str) else stop


def _prompt_logprobs(served: Served, ids: Ids, top: int, late: int) -> list[dict[str, Any] | None]:
    logprobs = served.logprobs(ids).roll(-late, 0)
    places: list[dict[str, Any] | None] = [None]
    for place, token in enumerate(ids[1:]):
        likely = [token, *logprobs[place].topk(top).indices.tolist()]
        places.append({str(each): _entry(served, logprobs[place], each) for each in likely})
    return places


def _entry(served: Served, logprobs: torch.Tensor, token: int) -> dict[str, Any]:
    word = served.tokenizer.decode([token])
    return {
        "logprob": float(logprobs[token]),
        "rank": int((logprobs > logprobs[token]).sum()) + 1,
        "decoded_token": word,
    }


def _echoed(served: Served, ids: Ids, top: int, marked: bool, late: int) -> dict[str, Any]:
    logprobs = served.logprobs(ids).roll(-late, 0)

    def words(tokens: Ids) -> Iterator[str]:
        """Texts that add up to the whole; those of tokens that stand before a text first."""
        for token in tokens:
            yield f"token_id:{token}" if marked else _piece(served, token)

    tokens, offsets = list(words(ids)), [0]
    for token in tokens:
        offsets.append(offsets[-1] + len(token))
    likely = [logprobs[place].topk(top) for place in range(len(ids) - 1)]
    return {
        "tokens": tokens,
        "token_logprobs": [None, *(float(logprobs[place][token]) for place, token in enumerate(ids[1:]))],
        "top_logprobs": [
            None,
            *(dict(zip(words(each.indices.tolist()), each.values.tolist(), strict=True)) for each in likely),
        ],
        "text_offset": offsets[:-1],
    }


def _of_new_tokens(served: Served, ids: Ids, new: Ids) -> dict[str, Any]:
    logprobs = served.logprobs([*ids, *new])[len(ids) - 1 :]
    return {
        "tokens": [_piece(served, token) for token in new],
        "token_logprobs": [float(logprobs[place][token]) for place, token in enumerate(new)],
    }


def _piece(served: Served, token: int) -> str:
    """A token's text as it stands within a longer one."""
    lead = served.tokenizer.encode("a", add_special_tokens=False)
    return served.tokenizer.decode([*lead, token])[len(served.tokenizer.decode(lead)) :]


@contextmanager
def serving_models(models: Mapping[str, Served], dialect: Dialect = VLLM) -> Iterator[ModelServer]:
    with running(ModelServer(models, dialect)) as server:
        assert isinstance(server, ModelServer)
        yield server


# Faults: what is sent in place of an answer. Each is for every completion, or for those that `when` chooses.


def status(code: int, **headers: str) -> Fault:
    return lambda number, seen, answer: json_reply({"error": {"message": "fault"}}, code, **headers)


def cut_short(number: int, seen: Seen, answer: Any) -> Reply:
    content = json.dumps(answer).encode()
    return Reply(content=content[: len(content) // 2])


def closed(number: int, seen: Seen, answer: Any) -> None:
    return None


def a_web_page(number: int, seen: Seen, answer: Any) -> Reply:
    return Reply(content=b"<html>busy</html>", headers={"Content-Type": "text/html"})


def slow(seconds: float) -> Fault:
    def fault(number: int, seen: Seen, answer: Any) -> Any:
        time.sleep(seconds)
        return answer

    return fault


def changed(change: Callable[[dict[str, Any]], None]) -> Fault:
    """Every choice changed in place."""

    def fault(number: int, seen: Seen, answer: Any) -> Any:
        for choice in answer["choices"]:
            change(choice)
        return answer

    return fault


def when(is_faulty: Callable[[int], bool], fault: Fault) -> Fault:
    return lambda number, seen, answer: fault(number, seen, answer) if is_faulty(number) else answer
