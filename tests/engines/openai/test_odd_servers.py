"""Servers that answer in a form that is right and mean another thing by it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from openai_server import ECHO, TEXTS, VLLM, Dialect, ModelServer, changed
from served_models import ask

from evalharness.engines.base import Engine
from evalharness.records.requests import Failure, Rank

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


@pytest.mark.parametrize("change", [alone, alone_without_ranks])
@pytest.mark.parametrize("dialect", [VLLM, ECHO, TEXTS])
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
