"""Servers that answer in a form that is right and mean another thing by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
from openai_server import ECHO, SILENT, TEXTS, VLLM, Dialect, ModelServer, changed
from served_models import ask
from socket_server import Seen

from evalharness.engines.base import Engine
from evalharness.errors import ModelError
from evalharness.experiments.demo import base
from evalharness.records.requests import Failure, Generate, Rank

Serve = Callable[..., ModelServer]
Open = Callable[..., Engine]
RANK = Rank(pairs=(("the fox and", " the"), ("the fox and", " dog")))


def alone(choice: dict[str, Any]) -> None:
    """No other token's log-probability stands beside that of a prompt's token."""
    for place in (choice.get("prompt_logprobs") or [])[1:]:
        for token in list(place)[1:]:
            del place[token]
    if (given := choice.get("logprobs")) and "top_logprobs" in given:
        pairs = zip(given["tokens"], given["token_logprobs"], strict=True)
        given["top_logprobs"] = [None, *({token: value} for token, value in list(pairs)[1:])]


def alone_without_ranks(choice: dict[str, Any]) -> None:
    alone(choice)
    for place in (choice.get("prompt_logprobs") or [])[1:]:
        for entry in place.values():
            del entry["rank"]


@pytest.mark.parametrize(
    ("dialect", "change"),
    [
        (VLLM, alone_without_ranks),
        (ECHO, alone),
        (TEXTS, alone),
        *(pytest.param(dialect, alone_without_ranks, marks=pytest.mark.slow) for dialect in (ECHO, TEXTS)),
        pytest.param(VLLM, alone, marks=pytest.mark.slow),
    ],
)
def test_without_other_tokens_nothing_is_greedy(
    serve: Serve, opened: Open, dialect: Dialect, change: Callable[[dict[str, Any]], None]
) -> None:
    server = serve(dialect)
    server.switch(changed(change))
    (ranked,) = ask(opened(server), [RANK])
    assert isinstance(ranked, Failure) and "likelie" in ranked.reason


def test_a_rank_without_the_likelier_token_is_no_score(serve: Serve, opened: Open) -> None:
    server = serve()
    engine = opened(server)
    server.switch(changed(alone))
    (ranked,) = ask(engine, [RANK])
    assert isinstance(ranked, Failure) and "likelier token than its own" in ranked.reason


@pytest.fixture(scope="module")
def other_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny base's with fewer merges: its tokens are others of the same ids."""
    directory = tmp_path_factory.mktemp("other") / "tokenizer"
    copytree(base(), directory, ignore=ignore_patterns("*.safetensors"))
    path = directory / "tokenizer.json"
    given = json.loads(path.read_text())
    given["model"]["merges"] = given["model"]["merges"][: len(given["model"]["merges"]) // 2]
    path.write_text(json.dumps(given))
    return directory


@pytest.mark.parametrize(
    ("dialect", "said"), [(VLLM, "/tokenize"), (TEXTS, "prompt_tokens"), (SILENT, "prompt_tokens")]
)
def test_the_tokenizer_of_another_model_is_refused(
    serve: Serve, opened: Open, other_tokenizer: Path, dialect: Dialect, said: str
) -> None:
    with pytest.raises(ModelError, match=f"holds another tokenizer.*{said}"):
        opened(serve(dialect), tokenizer=str(other_tokenizer))
    opened(serve(dialect), tokenizer=str(base()))


@pytest.mark.parametrize("only", [str, list])
@pytest.mark.parametrize("endpoint", ["completions", "chat"])
def test_answers_that_begin_with_their_prompt_are_refused(
    serve: Serve, opened: Open, endpoint: str, only: type
) -> None:
    """As text generation of transformers gives them, unless return_full_text is false."""
    server = serve()
    tokenizer = server.models["base"].tokenizer

    def fault(_: int, seen: Seen, given: Any) -> Any:
        if "messages" in seen.body:
            given["choices"][0]["message"]["content"] = seen.body["messages"][0]["content"] + " and"
        elif (
            isinstance(prompt := seen.body["prompt"], only) and not seen.body.get("echo") and len(given["choices"]) < 2
        ):
            text = prompt if isinstance(prompt, str) else tokenizer.decode(prompt)
            given["choices"][0]["text"] = text + given["choices"][0]["text"]
        return given

    server.switch(fault)
    with pytest.raises(ModelError, match="its answers begin with the prompt"):
        opened(server, endpoint=endpoint, tokenizer=str(base()))


@pytest.mark.parametrize("change", [{"index": [0]}, {"index": "0"}, {"finish_reason": {"a": [1]}}])
def test_a_choice_of_another_form_is_no_answer(serve: Serve, opened: Open, change: dict[str, Any]) -> None:
    server = serve()
    engine = opened(server)
    server.switch(changed(lambda choice: choice.update(change)))
    assert isinstance(ask(engine, [Generate(prompt="the fox", stop=(), max_tokens=3)])[0], Failure)


def test_a_whole_number_that_no_float_holds_is_no_score(serve: Serve, opened: Open) -> None:
    def huge(choice: dict[str, Any]) -> None:
        for entry in choice["prompt_logprobs"][2].values():
            entry["logprob"] = -(10**400)

    server = serve()
    engine = opened(server)
    server.switch(changed(huge))
    (ranked,) = ask(engine, [RANK])
    assert isinstance(ranked, Failure) and "not a finite number" in ranked.reason


def test_no_reason_of_a_server_and_no_name_of_its_software_holds_the_key(
    serve: Serve, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALHARNESS_API_KEY", "vllm")  # as the test server names its owner
    server = serve()
    engine = opened(server)
    assert str(engine.info.details["server"]).startswith("[key]")
    server.switch(changed(lambda choice: choice.update(finish_reason="Bearer vllm")))
    (written,) = ask(engine, [Generate(prompt="the fox", stop=(), max_tokens=3)])
    assert isinstance(written, Failure) and written.reason.endswith("Bearer [key]")
