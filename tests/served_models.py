"""Checkpoints of served models, and what their engines answer, in order."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from openai_server import ModelServer

from evalharness.engines.base import Engine
from evalharness.records.models import Checkpoint, ModelKind
from evalharness.records.requests import Failure, Request, Response

Answers = list[Response | Failure]


def checkpoint_of(server: ModelServer, model: str = "base") -> Checkpoint:
    """A model of the test server."""
    return served_at(server.url, model, window=512)


def served_at(url: str, model: str, **changes: object) -> Checkpoint:
    """A served model as it is recognised, but for the probes."""
    given: dict[str, object] = {
        "name": model,
        "kind": ModelKind.BASE,
        "path": Path(),
        "base": None,
        "fingerprint": f"served {model}",
        "parameters": 0,
        "trainable": 0,
        "bytes": 0,
        "window": None,
        "endpoint": f"{url}#{model}",
    }
    return Checkpoint(**{**given, **changes})  # type: ignore[arg-type]


def ask(engine: Engine, requests: Sequence[Request]) -> Answers:
    """The answers in the order of the requests."""
    given = {answer.request_id: answer for answer in engine.answer(requests)}
    return [given[request.id] for request in requests]
