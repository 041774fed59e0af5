"""The server that transformers brings: it writes, and has no log-probabilities."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from served_models import ask, served_at

from evalharness.engines.base import Engine, PartialAnswers, factory_of
from evalharness.errors import ModelError
from evalharness.experiments.demo import base
from evalharness.openai_api.client import ApiClient
from evalharness.records.models import EngineSettings
from evalharness.records.requests import Failure, Generate, Generation, Rank, Request, Score

SECONDS = 240
SETTINGS = EngineSettings(name="openai", options={"timeout": "120"})


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    if importlib.util.find_spec("fastapi") is None:
        pytest.skip("needs transformers[serving]")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(base()), "--device", "cpu"]
    log = tmp_path_factory.mktemp("serve") / "log"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [*command, "--port", str(port)],
            stdout=output,
            stderr=output,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    address = f"http://127.0.0.1:{port}/v1"
    try:
        _wait_for(address, server, log)
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _wait_for(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + SECONDS
    while time.monotonic() < until and server.poll() is None:
        with ApiClient(address) as api:
            try:
                api.get(f"{api.root}/health")
            except ModelError:
                if not api.was_reached:
                    time.sleep(0.5)
                    continue
            return
    raise RuntimeError(log.read_text())


@pytest.mark.slow
def test_it_writes_as_here_and_ranks_nothing(
    url: str, local: Callable[..., Engine], suite_requests: Sequence[Request]
) -> None:
    factory, checkpoint = factory_of(SETTINGS), served_at(url, str(base()))
    assert isinstance(factory, PartialAnswers)
    engine = factory.open(checkpoint, SETTINGS)
    assert {Rank, Score} <= set(factory.unanswered(checkpoint)) and Generate not in factory.unanswered(checkpoint)
    asked = [request for request in suite_requests if isinstance(request, Generate)][:12]
    try:
        for one, other in zip(ask(engine, asked), ask(local(), asked), strict=True):
            assert isinstance(one, Generation) and isinstance(other, Generation)
            assert one.text == other.text
        (ranked,) = ask(engine, [Rank(pairs=(("the fox", " ran"),))])
        assert isinstance(ranked, Failure) and "no logprobs" in ranked.reason
    finally:
        engine.close()
