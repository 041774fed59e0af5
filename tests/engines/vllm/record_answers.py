"""Write down what a vLLM answers on the tiny base, for tests where there is none: `python record_answers.py` in an
environment with vllm, where the engine vllm can open it, writes answers.json beside this file.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from asked import REQUESTS

from evalharness.checkpoints.recognise import recognise
from evalharness.engines.base import factory_of
from evalharness.engines.vllm import environment
from evalharness.engines.vllm.calls import AnsweredCall, Call, Position
from evalharness.records.models import EngineSettings

HERE = Path(__file__).parent
BASE = HERE.parents[2] / "fixtures" / "models" / "tiny-base"


def plain(place: Position | None) -> dict[str, list[float | int | None]] | None:
    """Token to nats and rank."""
    return {str(token): [entry.logprob, entry.rank] for token, entry in place.items()} if place else None


def written_down(call: Call, answer: AnsweredCall) -> dict[str, Any]:
    (written,) = answer.outputs
    return {
        "tokens": call.tokens,
        "sampling": dict(call.sampling),
        "prompt_logprobs": None if answer.prompt_logprobs is None else [plain(p) for p in answer.prompt_logprobs],
        "token_ids": list(written.token_ids),
        "logprobs": None if written.logprobs is None else [plain(place) for place in written.logprobs],
    }


def main() -> None:
    environment.prepare()
    checkpoint, settings = recognise(str(BASE), role="base"), EngineSettings(name="vllm")
    engine: Any = factory_of(settings).open(checkpoint, settings)
    resident, calls = engine._resident, []
    ask = resident.ask

    def recording(some: Sequence[Call], adapter: bool = True) -> Sequence[AnsweredCall]:
        answers = ask(some, adapter)
        calls.extend(map(written_down, some, answers))
        return answers

    resident.ask = recording
    list(engine.answer(REQUESTS))
    logits = {path: engine.next_token_logits(["The bank"], adapter=True, path=path) for path in ("score", "decode")}
    moved = abs(logits["score"] - logits["decode"]).max()
    calls = [
        call for call in calls if -1 not in (call["sampling"].get("logprobs"), call["sampling"].get("prompt_logprobs"))
    ]
    about = {"vllm": environment.installed_vllm().version, "torch": version("torch"), "paths_differ_by": float(moved)}
    engine.close()
    (HERE / "answers.json").write_text(json.dumps({**about, "calls": calls}) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
